// Scales and ticks of both axes, and how their numbers are written.
import { scaleLinear, scaleLog, scaleUtc, scaleTime } from 'd3-scale'
import { clock, exponent, short, significant } from '@/lib/format'
import type { XKind } from './curve'
import type { Extent } from './extent'

export interface Axis {
  toPixel: (value: number) => number
  fromPixel: (pixel: number) => number
  ticks: { at: number; text: string }[]
}

/** Writes a value of the x axis. */
export function writeX(value: number, kind: XKind, locale?: string): string {
  switch (kind) {
    case 'relative':
      return clock(value)
    case 'wall':
      return new Intl.DateTimeFormat(locale, { hour: '2-digit', minute: '2-digit', second: '2-digit' }).format(value)
    case 'epoch':
      return significant(value, 3)
    default:
      return value >= 10_000 ? short(value) : significant(value)
  }
}

export function xAxis(kind: XKind, domain: Extent, range: Extent, isLog: boolean, isUtc = false): Axis {
  const many = Math.max(2, Math.floor((range[1] - range[0]) / 90))
  if (kind === 'wall') {
    const scale = (isUtc ? scaleUtc() : scaleTime()).domain(domain).range(range)
    const write = scale.tickFormat()
    return {
      toPixel: (value) => scale(value),
      fromPixel: (pixel) => scale.invert(pixel).getTime(),
      ticks: scale.ticks(many).map((time) => ({ at: scale(time), text: write(time) })),
    }
  }
  if (isLog) return logAxis([Math.max(domain[0], domain[1] / 1e6, 1e-9), domain[1]], range, (value) => writeX(value, kind))
  const scale = scaleLinear().domain(domain).range(range)
  const ticks = kind === 'relative' ? timeTicks(domain, many) : kind === 'epoch' ? scale.ticks(many) : scale.ticks(many).filter(Number.isInteger)
  return {
    toPixel: (value) => scale(value),
    fromPixel: (pixel) => scale.invert(pixel),
    ticks: ticks.map((value) => ({ at: scale(value), text: writeX(value, kind) })),
  }
}

export function yAxis(domain: Extent, range: Extent, isLog: boolean): Axis {
  const many = Math.max(2, Math.floor(Math.abs(range[1] - range[0]) / 36))
  if (isLog && domain[0] > 0) return logAxis(domain, range, (value) => writeY(value))
  const scale = scaleLinear().domain(domain).range(range)
  return {
    toPixel: (value) => scale(value),
    fromPixel: (pixel) => scale.invert(pixel),
    ticks: scale.ticks(many).map((value) => ({ at: scale(value), text: writeY(value) })),
  }
}

function writeY(value: number): string {
  const size = Math.abs(value)
  if (size !== 0 && size < 1e-3) return exponent(value, 2)
  return size >= 10_000 ? short(value) : significant(Number(value.toPrecision(6)), 5)
}

function logAxis(domain: Extent, range: Extent, write: (value: number) => string): Axis {
  const scale = scaleLog().domain(domain).range(range)
  let values = scale.ticks(5).filter((value) => isRound(value, domain))
  if (values.length < 2) values = scaleLinear().domain(domain).ticks(4)
  return {
    toPixel: (value) => (value > 0 ? scale(value) : Number.NaN),
    fromPixel: (pixel) => scale.invert(pixel),
    ticks: values.map((value) => ({ at: scale(value), text: write(value) })),
  }
}

/** On a log axis: powers of ten, and 2 and 5 between them where it spans little. */
function isRound(value: number, domain: Extent): boolean {
  const lead = Math.round(value / 10 ** Math.floor(Math.log10(value) + 1e-9))
  if (lead === 1) return true
  return Math.log10(domain[1] / domain[0]) < 2.5 && (lead === 2 || lead === 5)
}

const TIME_STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 21_600, 43_200, 86_400, 172_800, 604_800]

/** Ticks of a working time in milliseconds, on steps that people count in. */
export function timeTicks([low, high]: Extent, many: number): number[] {
  const span = (high - low) / 1000
  const step = (TIME_STEPS.find((size) => span / size <= many) ?? 604_800) * 1000
  const ticks: number[] = []
  for (let at = Math.ceil(low / step) * step; at <= high; at += step) ticks.push(at)
  return ticks
}
