// Numbers, times and sizes as a person reads them; everything goes through Intl.

const cache = new Map<string, Intl.NumberFormat>()

function format(value: number, options: Intl.NumberFormatOptions): string {
  const key = JSON.stringify(options)
  let formatter = cache.get(key)
  if (!formatter) cache.set(key, (formatter = new Intl.NumberFormat(undefined, options)))
  return formatter.format(value)
}

export const MISSING = '–'

type Maybe = number | null | undefined

const isNumber = (value: Maybe): value is number => typeof value === 'number' && Number.isFinite(value)

/** 12,480 */
export function count(value: Maybe): string {
  return isNumber(value) ? format(value, { maximumFractionDigits: 0 }) : MISSING
}

/** 3.1 M: for counts where the order of magnitude is what matters. */
export function short(value: Maybe): string {
  if (!isNumber(value)) return MISSING
  return format(value, { notation: 'compact', maximumSignificantDigits: 3 })
}

/** A loss: three decimals. */
export function loss(value: Maybe): string {
  return isNumber(value) ? format(value, { minimumFractionDigits: 3, maximumFractionDigits: 3 }) : MISSING
}

/** Any metric with four significant digits; very small and very large ones as 2e-4. */
export function significant(value: Maybe, digits = 4): string {
  if (!isNumber(value)) return MISSING
  const size = Math.abs(value)
  if (size !== 0 && (size < 1e-3 || size >= 1e7)) return exponent(value, digits)
  return format(value, { maximumSignificantDigits: digits })
}

/** 2e-4 as people write learning rates. */
export function exponent(value: number, digits = 3): string {
  const [mantissa = '0', power = '0'] = value.toExponential(digits - 1).split('e')
  return `${format(Number(mantissa), { maximumSignificantDigits: digits })}e${Number(power)}`
}

export function percent(share: Maybe, digits = 0): string {
  if (!isNumber(share)) return MISSING
  return format(share, { style: 'percent', maximumFractionDigits: digits })
}

/** −4% or +12%: how far `value` is from `base`. */
export function change(value: Maybe, base: Maybe): string {
  if (!isNumber(value) || !isNumber(base) || base === 0) return MISSING
  return format((value - base) / Math.abs(base), { style: 'percent', maximumFractionDigits: 1, signDisplay: 'exceptZero' })
}

const SIZES = ['B', 'kB', 'MB', 'GB', 'TB']

/** 1.3 GB (decimal units, as disks are sold). */
export function bytes(value: Maybe): string {
  if (!isNumber(value)) return MISSING
  let size = value
  let unit = 0
  while (Math.abs(size) >= 999.5 && unit < SIZES.length - 1) {
    size /= 1000
    unit += 1
  }
  return `${format(size, { maximumSignificantDigits: unit === 0 ? 3 : 2 + Number(size >= 100) })} ${SIZES[unit]}`
}

/** 2 h 05 min, 6 min, 12 s: the two largest parts. */
export function duration(ms: Maybe): string {
  if (!isNumber(ms)) return MISSING
  const seconds = Math.max(0, Math.round(ms / 1000))
  if (seconds < 60) return `${seconds} s`
  const minutes = Math.floor(seconds / 60)
  if (minutes < 60) return minutes < 10 && seconds % 60 ? `${minutes} min ${seconds % 60} s` : `${minutes} min`
  const hours = Math.floor(minutes / 60)
  if (hours < 24) return minutes % 60 ? `${hours} h ${String(minutes % 60).padStart(2, '0')}` : `${hours} h`
  const days = Math.floor(hours / 24)
  return hours % 24 ? `${days} d ${hours % 24} h` : `${days} d`
}

/** Working time on an axis or under a cursor: 1:02:05. */
export function clock(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000))
  const parts = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60]
  const [hours = 0, minutes = 0, rest = 0] = parts
  const tail = `${String(minutes).padStart(hours ? 2 : 1, '0')}:${String(rest).padStart(2, '0')}`
  return hours ? `${hours}:${tail}` : tail
}

const RELATIVE: [Intl.RelativeTimeFormatUnit, number][] = [
  ['day', 86_400],
  ['hour', 3_600],
  ['minute', 60],
]

/** "2 min ago", "yesterday"; older than a week is a date. */
export function ago(at: string, now = Date.now()): string {
  const seconds = (Date.parse(at) - now) / 1000
  if (Number.isNaN(seconds)) return MISSING
  if (Math.abs(seconds) < 45) return 'just now'
  if (Math.abs(seconds) > 7 * 86_400) return new Intl.DateTimeFormat(undefined, { dateStyle: 'medium' }).format(Date.parse(at))
  const words = new Intl.RelativeTimeFormat(undefined, { numeric: 'auto', style: 'short' })
  for (const [unit, size] of RELATIVE) {
    if (Math.abs(seconds) >= size) return words.format(Math.round(seconds / size), unit)
  }
  return words.format(Math.round(seconds / 60), 'minute')
}

export function exactTime(at: string): string {
  const time = Date.parse(at)
  return Number.isNaN(time) ? at : new Intl.DateTimeFormat(undefined, { dateStyle: 'full', timeStyle: 'long' }).format(time)
}

/** "1 run is", "2 runs are": picks the form for a count. */
export function plural(value: number, one: string, many: string): string {
  return `${count(value)} ${value === 1 ? one : many}`
}

/** Joules as kWh. */
export function energy(joules: Maybe): string {
  return isNumber(joules) ? `${format(joules / 3.6e6, { maximumSignificantDigits: 2 })} kWh` : MISSING
}

/** A long name with its middle cut, so that beginning and end stay readable. */
export function middleCut(name: string, most = 40): string {
  const letters = [...name]
  if (letters.length <= most) return name
  const head = Math.ceil((most - 1) / 2)
  return `${letters.slice(0, head).join('')}…${letters.slice(letters.length - (most - 1 - head)).join('')}`
}
