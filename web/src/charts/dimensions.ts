// Fields and results of several runs as numbers on axes: what parallel coordinates and scatter are drawn from.
import { extent } from 'd3-array'
import { scaleLinear, scaleLog, scalePoint } from 'd3-scale'
import type { Comparison } from '@/api/types'
import { significant } from '@/lib/format'

export interface Dimension {
  name: string
  /** A result rather than a setting. */
  isResult: boolean
  /** Words instead of numbers. */
  categories: string[] | null
  /** One a run; `null` where it has none. */
  values: (number | string | null)[]
}

/** Differing fields first, then the best value of each metric. Fields whose values all parse are numbers. */
export function dimensionsOf(comparison: Comparison): Dimension[] {
  const fields = comparison.fields.map((field): Dimension => {
    const numbers = field.values.map(Number)
    if (field.is_number && numbers.every((value) => Number.isFinite(value))) return { name: field.name, isResult: false, categories: null, values: numbers }
    return { name: field.name, isResult: false, categories: [...new Set(field.values)].sort(), values: field.values }
  })
  const results = comparison.values.map((metric): Dimension => ({ name: metric.name, isResult: true, categories: null, values: metric.best.map((value) => value ?? null) }))
  return [...fields, ...results]
}

export interface DimensionScale {
  toPixel: (value: number | string | null) => number | null
  ticks: { at: number; text: string }[]
}

/** A scale over pixels; by factors where numbers span two powers of ten or more. */
export function scaleOf(dimension: Dimension, range: [number, number]): DimensionScale {
  if (dimension.categories) {
    const scale = scalePoint(dimension.categories, range).padding(0.5)
    return {
      toPixel: (value) => (typeof value === 'string' ? (scale(value) ?? null) : null),
      ticks: dimension.categories.map((category) => ({ at: scale(category) ?? 0, text: category })),
    }
  }
  const [low, high] = extent(dimension.values.filter((value): value is number => typeof value === 'number'))
  if (low === undefined || high === undefined) return { toPixel: () => null, ticks: [] }
  const isFlat = low === high
  const domain: [number, number] = isFlat ? [low - (Math.abs(low) || 1) * 0.1, high + (Math.abs(high) || 1) * 0.1] : [low, high]
  const scale = domain[0] > 0 && domain[1] / domain[0] >= 50 ? scaleLog(domain, range) : scaleLinear(domain, range)
  const ticks = isFlat ? [low] : scale.ticks(5)
  const some = ticks.length > 8 ? ticks.filter((value) => Number.isInteger(Math.log10(value))) : ticks
  return {
    toPixel: (value) => (typeof value === 'number' ? scale(value) : null),
    ticks: (some.length > 0 ? some : [low, high]).map((value) => ({ at: scale(value), text: significant(value, 3) })),
  }
}
