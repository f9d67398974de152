// Exponential smoothing that starts unbiased and leaves gaps alone.

/** A curve is smoothed as if it had this many points, so that thinning it does not change how smooth it looks. */
const POINTS = 300

/**
 * `strength` 0–0.99: how much of the past is kept from one 300th of the curve to the next. The mean is corrected
 * for its short past, so that the first points are not pulled to zero. NaN stays NaN and does not move the mean.
 */
export function smooth(values: Float64Array, strengthOfPoint: number): Float64Array {
  if (strengthOfPoint <= 0) return values
  const strength = strengthOfPoint ** (POINTS / Math.max(values.length, 2))
  const result = new Float64Array(values.length)
  let mean = 0
  let weight = 0
  for (let index = 0; index < values.length; index += 1) {
    const value = values[index]!
    if (Number.isNaN(value)) {
      result[index] = Number.NaN
      continue
    }
    mean = strength * mean + (1 - strength) * value
    weight = strength * weight + (1 - strength)
    result[index] = mean / weight
  }
  return result
}
