// Numbers as people type them and as recipes hold them. Inputs take `.` and the locale's decimal mark;
// recipes and commands always hold `.`.

/** The decimal mark of a locale. */
export function decimalMark(locale?: string): string {
  return new Intl.NumberFormat(locale).formatToParts(1.5).find((part) => part.type === 'decimal')?.value ?? '.'
}

/**
 * Reads `2e-4`, `0,5` (where the comma is the mark), `1 024`, `1_024`. A text that is no number is `null`.
 * With `.` as the mark, commas group: `1,024`.
 */
export function parseNumber(text: string, mark = decimalMark()): number | null {
  let digits = text.trim().replace(/[\s_’'\u00a0\u202f]/g, '')
  if (mark === ',') {
    // `1.024,5` groups with points; `0.5` and `2.5e-4` are typed by people used to code.
    digits = digits.includes(',') ? digits.replace(/\./g, '').replace(',', '.') : digits
  } else {
    digits = digits.replace(/,(?=\d{3}(\D|$))/g, '')
  }
  digits = digits.replace(/[−–]/g, '-')
  if (!/^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i.test(digits)) return null
  const value = Number(digits)
  return Number.isFinite(value) ? value : null
}

/** The text that a recipe holds: no grouping, `.`, small numbers as 2e-4. */
export function recipeText(value: number): string {
  if (value === 0) return '0'
  const size = Math.abs(value)
  if (size < 1e-3) return trimExponent(value.toExponential(6))
  return String(Number(value.toPrecision(12)))
}

function trimExponent(text: string): string {
  const [mantissa = '0', power = '0'] = text.split('e')
  return `${Number(mantissa)}e${Number(power)}`
}

/** Where a value lies on a slider, 0–1, and back; by factors where `isLogarithmic`. */
export function toShare(value: number, min: number, max: number, isLogarithmic: boolean): number {
  if (max <= min) return 0
  const clamped = Math.min(max, Math.max(min, value))
  if (!isLogarithmic || min <= 0) return (clamped - min) / (max - min)
  return Math.log(clamped / min) / Math.log(max / min)
}

export function fromShare(share: number, min: number, max: number, isLogarithmic: boolean): number {
  if (!isLogarithmic || min <= 0) return min + share * (max - min)
  return min * (max / min) ** share
}

/** Two significant digits for steps by factors, whole numbers for integers: what a slider lands on. */
export function rounded(value: number, isInteger: boolean, isLogarithmic: boolean): number {
  if (isInteger) return value > 100 && isLogarithmic ? Number(value.toPrecision(2)) : Math.round(value)
  return Number(value.toPrecision(isLogarithmic ? 2 : 3))
}
