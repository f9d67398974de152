// Curves as charts hold them: typed columns, x chosen among the ways to count progress.
import type { Series } from '@/api/types'

/** How the x axis counts: optimizer steps, real tokens, passes, working time, or time of day. */
export type XKind = 'step' | 'tokens' | 'epoch' | 'relative' | 'wall'

export const X_KINDS: { id: XKind; label: string }[] = [
  { id: 'step', label: 'Step' },
  { id: 'tokens', label: 'Tokens' },
  { id: 'epoch', label: 'Epoch' },
  { id: 'relative', label: 'Working time' },
  { id: 'wall', label: 'Wall time' },
]

export interface Curve {
  id: string
  label: string
  /** Which of the eight line colours, and beyond them which dash. */
  place: number
  x: Float64Array
  step: Float64Array
  /** Mean of each bin; NaN where the log has no number. */
  mean: Float64Array
  /** Least and greatest of each bin, where a bin holds more than one point. */
  low: Float64Array | null
  high: Float64Array | null
  /** Draw each point: sparse curves such as evaluations. */
  hasDots?: boolean
  /** Never smoothed: schedules, evaluations. */
  isExact?: boolean
  /** Faint, behind others. */
  isFaint?: boolean
}

const column = (values: (number | null)[]): Float64Array => Float64Array.from(values, (value) => value ?? Number.NaN)

/** The x column of a series. Wall time counts from the run's start; pauses and sleep are not in it. */
export function xColumn(series: Series, kind: XKind, startMs: number): Float64Array {
  switch (kind) {
    case 'step':
      return Float64Array.from(series.step)
    case 'tokens':
      return Float64Array.from(series.tokens)
    case 'epoch':
      return Float64Array.from(series.epoch)
    case 'relative':
      return Float64Array.from(series.elapsed_ms)
    case 'wall':
      return Float64Array.from(series.elapsed_ms, (elapsed) => startMs + elapsed)
  }
}

export function curveOf(series: Series, kind: XKind, look: Pick<Curve, 'id' | 'label' | 'place'> & Partial<Curve>, startMs = 0): Curve {
  const hasBand = series.bin > 1 && series.min.length === series.mean.length
  return {
    ...look,
    x: xColumn(series, kind, startMs),
    step: Float64Array.from(series.step),
    mean: column(series.mean),
    low: hasBand ? column(series.min) : null,
    high: hasBand ? column(series.max) : null,
  }
}

/** Index of the point whose x is closest; −1 for an empty curve. The column rises. */
export function nearestIndex(x: Float64Array, at: number): number {
  if (x.length === 0) return -1
  let low = 0
  let high = x.length - 1
  while (low < high) {
    const middle = (low + high) >> 1
    if (x[middle]! < at) low = middle + 1
    else high = middle
  }
  return low > 0 && at - x[low - 1]! <= x[low]! - at ? low - 1 : low
}
