// Live points appended to a series; when it gets long, neighbours merge so that drawing stays cheap.
import type { Series } from '@/api/types'

export interface LivePoint {
  step: number
  tokens: number
  elapsed_ms: number
  epoch: number
  value: number | null
}

export const MOST_POINTS = 3000

/** An empty series of that name. */
export function emptySeries(name: string, unit = ''): Series {
  return { name, unit, bin: 1, total: 0, step: [], tokens: [], elapsed_ms: [], epoch: [], mean: [], min: [], max: [] }
}

/** Adds a point in place. A step that is already there, or later ones, are what a resume took back: they go first. */
export function appendPoint(series: Series, point: LivePoint): void {
  while (series.step.length > 0 && series.step.at(-1)! >= point.step) dropLast(series)
  series.step.push(point.step)
  series.tokens.push(point.tokens)
  series.elapsed_ms.push(point.elapsed_ms)
  series.epoch.push(point.epoch)
  series.mean.push(point.value)
  if (series.bin > 1) {
    series.min.push(point.value)
    series.max.push(point.value)
  }
  series.total += 1
  if (series.step.length > MOST_POINTS) halve(series)
}

/** Takes back every point after a step: a resume or a rewind superseded them. */
export function cutAfter(series: Series, step: number): void {
  while (series.step.length > 0 && series.step.at(-1)! > step) dropLast(series)
}

/** The points after a step as a series of their own; `null` where there are none. */
export function stretchAfter(series: Series, step: number): Series | null {
  const from = series.step.findIndex((one) => one > step)
  if (from < 0) return null
  const cut = <T>(column: T[]): T[] => column.slice(from)
  const stretch = { ...series, step: cut(series.step), tokens: cut(series.tokens), elapsed_ms: cut(series.elapsed_ms), epoch: cut(series.epoch), mean: cut(series.mean), min: cut(series.min), max: cut(series.max) }
  return { ...stretch, total: stretch.step.length }
}

function dropLast(series: Series): void {
  for (const column of [series.step, series.tokens, series.elapsed_ms, series.epoch, series.mean, series.min, series.max]) column.pop()
  series.total = Math.max(0, series.total - 1)
}

/** Merges pairs; the newest point stays alone if it has no partner. */
function halve(series: Series): void {
  const length = series.step.length
  const least = series.bin > 1 ? series.min : series.mean
  const most = series.bin > 1 ? series.max : series.mean
  const merged = emptySeries(series.name)
  for (let first = 0; first < length; first += 2) {
    const last = Math.min(first + 1, length - 1)
    merged.step.push(series.step[last]!)
    merged.tokens.push(series.tokens[last]!)
    merged.elapsed_ms.push(series.elapsed_ms[last]!)
    merged.epoch.push(series.epoch[last]!)
    merged.mean.push(both(series.mean[first], series.mean[last], (a, b) => (a + b) / 2))
    merged.min.push(both(least[first], least[last], Math.min))
    merged.max.push(both(most[first], most[last], Math.max))
  }
  Object.assign(series, merged, { name: series.name, unit: series.unit, total: series.total, bin: series.bin * 2 })
}

function both(a: number | null | undefined, b: number | null | undefined, join: (a: number, b: number) => number): number | null {
  if (typeof a !== 'number') return b ?? null
  return typeof b === 'number' ? join(a, b) : a
}
