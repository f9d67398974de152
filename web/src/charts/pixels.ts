// A column of points brought to pixels: where several share one, their least, greatest and mean stand.

export interface PixelLine {
  /** Pairs x, y; NaN, NaN is a gap. */
  line: Float64Array
  /** Triples x, yLow, yHigh of the band; empty where every bin is one point. */
  band: Float64Array
}

export interface PixelInput {
  x: Float64Array
  y: Float64Array
  low: Float64Array | null
  high: Float64Array | null
  toX: (x: number) => number
  toY: (y: number) => number
  /** Range of indices to draw, ends included. */
  from: number
  to: number
}

/** Indices that cover [x0, x1], one point beyond each end so that lines leave the chart. */
export function visibleRange(x: Float64Array, x0: number, x1: number): [number, number] {
  let from = lowerBound(x, x0)
  let to = lowerBound(x, x1)
  from = Math.max(0, from - 1)
  to = Math.min(x.length - 1, to)
  return [from, to]
}

function lowerBound(x: Float64Array, at: number): number {
  let low = 0
  let high = x.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (x[middle]! < at) low = middle + 1
    else high = middle
  }
  return low
}

export function toPixels({ x, y, low, high, toX, toY, from, to }: PixelInput): PixelLine {
  const line: number[] = []
  const band: number[] = []
  let column = Number.NaN
  let sum = 0
  let many = 0
  let least = Infinity
  let greatest = -Infinity
  let exact = 0
  const flush = () => {
    if (many === 0) return
    const at = many === 1 ? exact : column + 0.5
    const height = toY(sum / many)
    // Zero has no place on a log axis.
    if (Number.isFinite(height)) line.push(at, height)
    else if (line.length > 0 && !Number.isNaN(line.at(-1)!)) line.push(Number.NaN, Number.NaN)
    if (Number.isFinite(height) && (many > 1 || low)) band.push(at, toY(least), toY(greatest))
    sum = many = 0
    least = Infinity
    greatest = -Infinity
  }
  for (let index = from; index <= to; index += 1) {
    const value = y[index]!
    const place = toX(x[index]!)
    if (!Number.isFinite(value) || !Number.isFinite(place)) {
      flush()
      column = Number.NaN
      if (line.length > 0 && !Number.isNaN(line.at(-1)!)) line.push(Number.NaN, Number.NaN)
      continue
    }
    const pixel = Math.floor(place)
    if (pixel !== column) {
      flush()
      column = pixel
    }
    exact = place
    sum += value
    many += 1
    least = Math.min(least, low ? finite(low[index], value) : value)
    greatest = Math.max(greatest, high ? finite(high[index], value) : value)
  }
  flush()
  return { line: Float64Array.from(line), band: Float64Array.from(band) }
}

function finite(value: number | undefined, instead: number): number {
  return value !== undefined && Number.isFinite(value) ? value : instead
}
