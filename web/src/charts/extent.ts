// What an axis spans: all values, or without the outliers that would flatten everything else.
export type Extent = [number, number]

/** Least and greatest finite value; `null` where there is none. With `isLog` only positive ones count. */
export function extentOf(columns: Float64Array[], isLog = false): Extent | null {
  let low = Infinity
  let high = -Infinity
  for (const column of columns) {
    for (const value of column) {
      if (!Number.isFinite(value) || (isLog && value <= 0)) continue
      if (value < low) low = value
      if (value > high) high = value
    }
  }
  return low <= high ? [low, high] : null
}

/** Like `extentOf`, from the 1st to the 99th percentile plus half of that span: single spikes run out of the chart. */
export function clippedExtent(columns: Float64Array[], isLog = false): Extent | null {
  const full = extentOf(columns, isLog)
  if (!full) return null
  const sorted = sampleSorted(columns, isLog)
  if (sorted.length < 20) return full
  const low = sorted[Math.floor(sorted.length * 0.01)]!
  const high = sorted[Math.ceil(sorted.length * 0.99) - 1]!
  const reach = (high - low) * 0.5
  return [Math.max(full[0], low - reach), Math.min(full[1], high + reach)]
}

function sampleSorted(columns: Float64Array[], isLog: boolean): Float64Array {
  const total = columns.reduce((sum, column) => sum + column.length, 0)
  const stride = Math.max(1, Math.floor(total / 8192))
  const sample: number[] = []
  for (const column of columns) {
    for (let index = 0; index < column.length; index += stride) {
      const value = column[index]!
      if (Number.isFinite(value) && (!isLog || value > 0)) sample.push(value)
    }
  }
  return Float64Array.from(sample).sort()
}

/** A little air above and below, so that lines do not lie on the frame; a flat line gets a span of its own. */
export function padded([low, high]: Extent, isLog: boolean): Extent {
  if (isLog) return low === high ? [low / 2, high * 2] : [low, high]
  const span = high - low || Math.abs(high) * 0.2 || 1
  return [low - span * 0.05, high + span * 0.05]
}
