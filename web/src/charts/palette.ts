// Colours of charts, read from the tokens of the theme that is shown, and the dashes beyond eight lines.

export interface Palette {
  lines: string[]
  text: string
  quiet: string
  hairline: string
  outline: string
  page: string
  accent: string
  warn: string
}

const DASHES: number[][] = [[], [6, 3], [2, 3], [8, 3, 2, 3], [12, 4], [1, 2]]

/** Solid for the first eight lines, then another dash each eight. */
export const dashOf = (place: number): number[] => DASHES[Math.floor(place / 8) % DASHES.length]!

export const colourOf = (palette: Palette, place: number): string => palette.lines[place % 8]!

/** The same as a CSS value, for elements of the page. */
export const colourVariable = (place: number): string => `var(--line-${(place % 8) + 1})`

/** Colours as the browser computed them: canvas knows no variables. */
export function readPalette(): Palette {
  const probe = document.createElement('span')
  document.body.append(probe)
  const read = (name: string): string => {
    probe.style.color = `var(--${name})`
    return getComputedStyle(probe).color
  }
  const palette: Palette = {
    lines: Array.from({ length: 8 }, (_, index) => read(`line-${index + 1}`)),
    text: read('text'),
    quiet: read('text-quiet'),
    hairline: read('hairline'),
    outline: read('outline'),
    page: read('page'),
    accent: read('accent'),
    warn: read('warn'),
  }
  probe.remove()
  return palette
}
