// Contrast of every text and line colour on every surface, in both themes, from the file that the page uses.
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'

const css = readFileSync('src/styles/tokens.css', 'utf8')
const tokens = new Map([...css.matchAll(/--([\w-]+): light-dark\((#\w{6}), (#\w{6})\)/g)].map((found) => [found[1]!, [found[2]!, found[3]!] as const]))

function luminance(colour: string): number {
  const [red = 0, green = 0, blue = 0] = [1, 3, 5].map((at) => {
    const part = parseInt(colour.slice(at, at + 2), 16) / 255
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4
  })
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue
}

function contrast(a: string, b: string): number {
  const [dark = 0, light = 0] = [luminance(a), luminance(b)].sort((x, y) => x - y)
  return (light + 0.05) / (dark + 0.05)
}

const cases = (names: string[], surfaces: string[], least: number) =>
  names.flatMap((name) => surfaces.flatMap((surface) => [0, 1].map((theme) => [name, surface, theme === 0 ? 'light' : 'dark', least] as const)))

test.each([
  ...cases(['text', 'text-quiet', 'accent', 'good', 'warn', 'bad'], ['page', 'panel', 'raised'], 4.5),
  ...cases(['on-accent'], ['accent'], 4.5),
  ...cases(['on-accent-soft'], ['accent-soft'], 4.5),
  ...cases(['outline', ...Array.from({ length: 8 }, (_, index) => `line-${index + 1}`)], ['page', 'panel'], 3),
])('%s on %s, %s: at least %f to 1', (name, surface, theme, least) => {
  const place = theme === 'light' ? 0 : 1
  expect(contrast(tokens.get(name)![place], tokens.get(surface)![place])).toBeGreaterThanOrEqual(least)
})
