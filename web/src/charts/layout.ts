// A line chart as data: everything that painting needs, computed from curves, size and view. Pure.
import type { Mark } from '@/api/types'
import { xAxis, yAxis, type Axis } from './axis'
import type { Curve, XKind } from './curve'
import { clippedExtent, extentOf, padded, type Extent } from './extent'
import { toPixels, visibleRange } from './pixels'
import { smooth } from './smooth'

export interface View {
  kind: XKind
  isLogX: boolean
  isLogY: boolean
  /** 0–0.99 */
  smoothing: number
  isClipped: boolean
  /** Shown part of the x axis; all of it where absent. */
  zoom: Extent | null
}

export interface ChartInput extends View {
  curves: Curve[]
  /** Stretches that a resume or rewind took back: drawn faintly, never read. */
  behind?: Curve[]
  marks?: (Mark & { x: number })[]
  width: number
  height: number
  /** Names at the ends of lines, for overlays of runs. */
  hasEndLabels?: boolean
}

export interface Line {
  id: string
  place: number
  points: Float64Array
  band: Float64Array
  /** The raw line behind a smoothed one. */
  ghost: Float64Array | null
  hasDots: boolean
  isFaint: boolean
}

export interface EndLabel {
  id: string
  place: number
  text: string
  y: number
}

export interface Layout {
  width: number
  height: number
  plot: { left: number; top: number; right: number; bottom: number }
  x: Axis
  y: Axis
  xDomain: Extent
  lines: Line[]
  behind: { place: number; points: Float64Array }[]
  marks: { x: number; kind: string; text: string }[]
  labels: EndLabel[]
  /** Smoothed values by curve, for the cursor's reading. */
  values: Map<string, Float64Array>
}

const LABEL_WIDTH = 132
const LABEL_HEIGHT = 14

export function layoutChart(input: ChartInput): Layout | null {
  const { curves, width, height, zoom, kind } = input
  const full = extentOf(curves.map((curve) => curve.x), input.isLogX)
  if (!full || width < 40 || height < 40) return null
  const values = new Map(curves.map((curve) => [curve.id, curve.isExact ? curve.mean : smooth(curve.mean, input.smoothing)]))
  const xDomain: Extent = zoom ?? (full[0] === full[1] ? [full[0] - 1, full[1] + 1] : full)

  const shown = curves.map((curve) => visibleRange(curve.x, xDomain[0], xDomain[1]))
  const columns = curves.map((curve, index) => {
    const [from, to] = shown[index]!
    return values.get(curve.id)!.subarray(from, to + 1)
  })
  const extremes = input.isClipped ? [] : curves.flatMap((curve, index) => bandColumns(curve, shown[index]!))
  const spanOf = input.isClipped ? clippedExtent : extentOf
  const isLogY = input.isLogY && extentOf(columns, true) !== null
  const yDomain = padded(spanOf([...columns, ...extremes], isLogY) ?? [0, 1], isLogY)

  const hasLabels = Boolean(input.hasEndLabels) && width > 480
  const plot = { left: 52, top: 8, right: width - (hasLabels ? LABEL_WIDTH : 12), bottom: height - 24 }
  const x = xAxis(kind, xDomain, [plot.left, plot.right], input.isLogX)
  const y = yAxis(yDomain, [plot.bottom, plot.top], isLogY)

  const lines = curves.map((curve, index): Line => {
    const [from, to] = shown[index]!
    const ends = { x: curve.x, toX: x.toPixel, toY: y.toPixel, from, to }
    const isSmoothed = !curve.isExact && input.smoothing > 0
    const raw = toPixels({ ...ends, y: curve.mean, low: curve.low, high: curve.high })
    const drawn = isSmoothed ? toPixels({ ...ends, y: values.get(curve.id)!, low: null, high: null }) : raw
    return {
      id: curve.id,
      place: curve.place,
      points: drawn.line,
      band: raw.band,
      ghost: isSmoothed ? raw.line : null,
      hasDots: Boolean(curve.hasDots) && to - from < 200,
      isFaint: Boolean(curve.isFaint),
    }
  })
  return {
    width,
    height,
    plot,
    x,
    y,
    xDomain,
    lines,
    behind: (input.behind ?? []).map((curve) => {
      const [from, to] = visibleRange(curve.x, xDomain[0], xDomain[1])
      return { place: curve.place, points: toPixels({ x: curve.x, y: curve.mean, low: null, high: null, toX: x.toPixel, toY: y.toPixel, from, to }).line }
    }),
    values,
    marks: (input.marks ?? [])
      .map((mark) => ({ x: x.toPixel(mark.x), kind: mark.kind, text: mark.text }))
      .filter((mark) => mark.x >= plot.left - 0.5 && mark.x <= plot.right + 0.5),
    labels: hasLabels ? endLabels(curves, lines, plot) : [],
  }
}

function bandColumns(curve: Curve, [from, to]: [number, number]): Float64Array[] {
  if (!curve.low || !curve.high) return []
  return [curve.low.subarray(from, to + 1), curve.high.subarray(from, to + 1)]
}

/** Names at the lines' ends, moved apart so that none covers another; those without room are left out. */
export function endLabels(curves: Curve[], lines: Line[], plot: Layout['plot']): EndLabel[] {
  const labels = lines.flatMap((line, index): EndLabel[] => {
    const end = lastPoint(line.points)
    return end === null ? [] : [{ id: line.id, place: line.place, text: curves[index]!.label, y: end }]
  })
  labels.sort((a, b) => a.y - b.y)
  const room = Math.floor((plot.bottom - plot.top) / LABEL_HEIGHT)
  const kept = labels.slice(0, Math.max(1, room))
  let floor = plot.top + LABEL_HEIGHT / 2
  for (const label of kept) {
    label.y = Math.max(label.y, floor)
    floor = label.y + LABEL_HEIGHT
  }
  let ceiling = plot.bottom - LABEL_HEIGHT / 2
  for (const label of [...kept].reverse()) {
    label.y = Math.min(label.y, ceiling)
    ceiling = label.y - LABEL_HEIGHT
  }
  return kept
}

function lastPoint(points: Float64Array): number | null {
  for (let index = points.length - 2; index >= 0; index -= 2) {
    if (!Number.isNaN(points[index + 1]!)) return points[index + 1]!
  }
  return null
}
