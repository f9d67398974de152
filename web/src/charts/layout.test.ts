// Layouts as data: what painting is given for known curves.
import { expect, test } from 'vitest'
import { timeTicks } from './axis'
import { nearestIndex, type Curve } from './curve'
import { clippedExtent, extentOf, padded } from './extent'
import { appendPoint, cutAfter, emptySeries, MOST_POINTS } from './grow'
import { layoutChart, type ChartInput } from './layout'
import { toPixels, visibleRange } from './pixels'
import { moved, zoomed } from './shared-view'
import { smooth } from './smooth'

const floats = (...values: number[]): Float64Array => Float64Array.from(values)

function curve(id: string, mean: number[], more: Partial<Curve> = {}): Curve {
  const x = Float64Array.from(mean, (_, index) => index)
  return { id, label: id, place: 0, x, step: x, mean: Float64Array.from(mean), low: null, high: null, ...more }
}

const input = (curves: Curve[], more: Partial<ChartInput> = {}): ChartInput => ({
  curves,
  width: 400,
  height: 200,
  kind: 'step',
  isLogX: false,
  isLogY: false,
  smoothing: 0,
  isClipped: false,
  zoom: null,
  ...more,
})

test('smoothing starts at the first value, keeps gaps, and comes close to a constant', () => {
  const falling = Float64Array.from({ length: 300 }, (_, index) => 4 - index / 100)
  const smoothed = smooth(falling, 0.5)
  expect(smoothed[0]).toBe(4)
  expect(smoothed[1]).toBeCloseTo((0.25 * 4 + 0.5 * 3.99) / 0.75)
  expect(smooth(floats(1, Number.NaN, 1), 0.9)[1]).toBeNaN()
  expect(smooth(floats(5, 5, 5, 5), 0.99).every((value) => Math.abs(value - 5) < 1e-9)).toBe(true)
})

test('a thinned curve is as smooth as the whole one', () => {
  const wave = (many: number) => Float64Array.from({ length: many }, (_, index) => Math.sin((index / many) * 30))
  const span = (values: Float64Array) => Math.max(...values.subarray(values.length / 2)) - Math.min(...values.subarray(values.length / 2))
  expect(span(smooth(wave(3000), 0.9))).toBeCloseTo(span(smooth(wave(300), 0.9)), 0)
})

test('clipping leaves single spikes out and keeps few points whole', () => {
  const values = Float64Array.from({ length: 500 }, (_, index) => 1 + index / 500)
  values[100] = 1e6
  const [low, high] = clippedExtent([values])!
  expect(low).toBeGreaterThanOrEqual(1)
  expect(high).toBeLessThan(3)
  expect(clippedExtent([floats(1, 2, 1e6)])).toEqual([1, 1e6])
  expect(extentOf([floats(-1, 0, 3)], true)).toEqual([3, 3])
  expect(padded([2, 2], false)).toEqual([1.98, 2.02])
})

test('points that share a pixel become their mean with a band', () => {
  const x = Float64Array.from({ length: 100 }, (_, index) => index / 50)
  const y = Float64Array.from({ length: 100 }, (_, index) => index % 2)
  const drawn = toPixels({ x, y, low: null, high: null, toX: (at) => at, toY: (at) => at, from: 0, to: 99 })
  expect([...drawn.line]).toEqual([0.5, 0.5, 1.5, 0.5])
  expect([...drawn.band]).toEqual([0.5, 0, 1, 1.5, 0, 1])
})

test('a gap in the log is a gap in the line', () => {
  const drawn = toPixels({ x: floats(0, 1, 2), y: floats(1, Number.NaN, 3), low: null, high: null, toX: (at) => at * 10, toY: (at) => at, from: 0, to: 2 })
  expect([...drawn.line]).toEqual([0, 1, Number.NaN, Number.NaN, 20, 3])
})

test('the visible range holds a point beyond each end', () => {
  expect(visibleRange(floats(0, 1, 2, 3, 4), 1.5, 2.5)).toEqual([1, 3])
  expect(visibleRange(floats(0, 1, 2), -5, 9)).toEqual([0, 2])
})

test('a layout puts its lines inside the plot, least value lowest', () => {
  const layout = layoutChart(input([curve('loss', [3, 2, 1])]))!
  const points = layout.lines[0]!.points
  expect(points[0]).toBeCloseTo(layout.plot.left)
  expect(points[4]).toBeCloseTo(layout.plot.right)
  expect(points[1]!).toBeLessThan(points[5]!)
  expect(layout.x.ticks.map((tick) => tick.text)).toContain('2')
})

test('the spike of a band stretches the axis unless outliers are clipped', () => {
  const banded = curve('loss', Array.from({ length: 60 }, () => 1), { low: floats(...Array(60).fill(1)), high: floats(...Array(59).fill(1), 100) })
  expect(layoutChart(input([banded]))!.y.fromPixel(8)).toBeGreaterThan(90)
  expect(layoutChart(input([banded], { isClipped: true }))!.y.fromPixel(8)).toBeLessThan(3)
})

test('nothing to draw is no layout', () => {
  expect(layoutChart(input([]))).toBeNull()
  expect(layoutChart(input([curve('loss', [1])], { width: 10 }))).toBeNull()
})

test('a log axis leaves zero out', () => {
  const layout = layoutChart(input([curve('norm', [0, 1, 10, 100])], { isLogY: true }))!
  expect(layout.y.ticks.map((tick) => tick.text)).toEqual(['1', '2', '5', '10', '20', '50', '100'])
  expect([...layout.lines[0]!.points].filter(Number.isNaN)).toHaveLength(0)
})

test('names at the ends do not cover each other and stay inside', () => {
  const curves = Array.from({ length: 30 }, (_, index) => curve(`run ${index}`, [2, 1], { place: index }))
  const layout = layoutChart(input(curves, { width: 800, hasEndLabels: true }))!
  const places = layout.labels.map((label) => label.y)
  expect(places.length).toBeGreaterThan(5)
  places.slice(1).forEach((y, index) => expect(y - places[index]!).toBeGreaterThanOrEqual(13.99))
  expect(Math.max(...places)).toBeLessThan(layout.plot.bottom)
})

test('live points: a resume takes later ones back, and a long series merges', () => {
  const series = emptySeries('loss')
  const add = (step: number, value: number) => appendPoint(series, { step, tokens: step * 10, elapsed_ms: step * 100, epoch: step / 10, value })
  ;[1, 2, 3, 4].forEach((step) => add(step, step))
  cutAfter(series, 2)
  expect(series.step).toEqual([1, 2])
  add(2, 9)
  expect(series.mean).toEqual([1, 9])
  for (let step = 3; step <= MOST_POINTS + 10; step += 1) add(step, step)
  expect(series.bin).toBe(2)
  expect(series.total).toBe(MOST_POINTS + 10)
  expect(series.min[5]!).toBeLessThan(series.max[5]!)
})

test('zoom stays inside and shows all again when it is wide', () => {
  expect(zoomed([0, 100], [0, 100], 50, 0.5)).toEqual([25, 75])
  expect(zoomed([25, 75], [0, 100], 50, 4)).toBeNull()
  expect(moved([25, 75], [0, 100], 60)).toEqual([50, 100])
})

test('ticks of working time fall on minutes', () => {
  expect(timeTicks([0, 300_000], 6)).toEqual([0, 60_000, 120_000, 180_000, 240_000, 300_000])
  expect(nearestIndex(floats(0, 10, 20), 14)).toBe(1)
  expect(nearestIndex(floats(), 14)).toBe(-1)
})
