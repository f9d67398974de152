// Paints a layout on a canvas. Only here do charts touch pixels.
import { middleCut } from '@/lib/format'
import type { Layout } from './layout'
import { colourOf, dashOf, type Palette } from './palette'

const FONT = '12px "Inter Variable", system-ui, sans-serif'

/** Sizes a canvas for sharp pixels and hands back its context, scaled to CSS pixels and empty. */
export function prepare(canvas: HTMLCanvasElement, width: number, height: number, ratio = devicePixelRatio): CanvasRenderingContext2D | null {
  const wide = Math.round(width * ratio)
  const high = Math.round(height * ratio)
  if (canvas.width !== wide) canvas.width = wide
  if (canvas.height !== high) canvas.height = high
  const pen = canvas.getContext('2d')
  if (!pen) return null
  pen.setTransform(ratio, 0, 0, ratio, 0, 0)
  pen.clearRect(0, 0, width, height)
  return pen
}

export function paintChart(pen: CanvasRenderingContext2D, layout: Layout, palette: Palette): void {
  paintGrid(pen, layout, palette)
  const { plot } = layout
  pen.save()
  pen.beginPath()
  pen.rect(plot.left, plot.top - 2, plot.right - plot.left, plot.bottom - plot.top + 4)
  pen.clip()
  paintMarks(pen, layout, palette)
  pen.globalAlpha = 0.35
  pen.setLineDash([2, 3])
  for (const line of layout.behind) paintLine(pen, line.points, colourOf(palette, line.place), 1)
  for (const line of layout.lines) {
    const colour = colourOf(palette, line.place)
    pen.setLineDash([])
    pen.globalAlpha = 0.18
    paintBand(pen, line.band, colour)
    if (line.ghost) {
      pen.globalAlpha = 0.3
      paintLine(pen, line.ghost, colour, 1)
    }
    pen.globalAlpha = line.isFaint ? 0.35 : 1
    pen.setLineDash(dashOf(line.place))
    paintLine(pen, line.points, colour, 1.5)
    if (line.hasDots) paintDots(pen, line.points, colour)
  }
  pen.restore()
  paintLabels(pen, layout, palette)
}

function paintGrid(pen: CanvasRenderingContext2D, { plot, x, y }: Layout, palette: Palette): void {
  pen.font = FONT
  pen.fillStyle = palette.quiet
  pen.strokeStyle = palette.hairline
  pen.lineWidth = 1
  pen.setLineDash([])
  pen.beginPath()
  pen.textAlign = 'right'
  pen.textBaseline = 'middle'
  for (const tick of y.ticks) {
    const at = Math.round(tick.at) + 0.5
    pen.moveTo(plot.left, at)
    pen.lineTo(plot.right, at)
    pen.fillText(tick.text, plot.left - 8, tick.at)
  }
  pen.stroke()
  pen.textAlign = 'center'
  pen.textBaseline = 'alphabetic'
  for (const tick of x.ticks) {
    const half = pen.measureText(tick.text).width / 2
    pen.fillText(tick.text, Math.min(Math.max(tick.at, half), plot.right - half + 8), plot.bottom + 17)
  }
}

export function paintLine(pen: CanvasRenderingContext2D, points: Float64Array, colour: string, width: number): void {
  pen.strokeStyle = colour
  pen.lineWidth = width
  pen.lineJoin = 'round'
  pen.beginPath()
  let isDown = false
  for (let index = 0; index < points.length; index += 2) {
    const x = points[index]!
    if (Number.isNaN(x)) {
      isDown = false
    } else if (isDown) {
      pen.lineTo(x, points[index + 1]!)
    } else {
      pen.moveTo(x, points[index + 1]!)
      isDown = true
    }
  }
  pen.stroke()
}

function paintBand(pen: CanvasRenderingContext2D, band: Float64Array, colour: string): void {
  if (band.length < 6) return
  pen.fillStyle = colour
  pen.beginPath()
  for (let index = 0; index < band.length; index += 3) pen.lineTo(band[index]!, band[index + 2]!)
  for (let index = band.length - 3; index >= 0; index -= 3) pen.lineTo(band[index]!, band[index + 1]!)
  pen.fill()
}

function paintDots(pen: CanvasRenderingContext2D, points: Float64Array, colour: string): void {
  pen.fillStyle = colour
  for (let index = 0; index < points.length; index += 2) {
    if (Number.isNaN(points[index]!)) continue
    pen.beginPath()
    pen.arc(points[index]!, points[index + 1]!, 2.5, 0, 7)
    pen.fill()
  }
}

const GLYPHS: Record<string, string> = { best: '★', pause: '‖', resume: '▸', rewind: '↶', learning_rate: '△', sleep: '☾', extended: '+' }

/** Checkpoints are diamonds above the axis; rarer things a dotted line with a sign. Evaluations are dots of their curve. */
function paintMarks(pen: CanvasRenderingContext2D, { marks, plot }: Layout, palette: Palette): void {
  pen.font = FONT
  pen.textAlign = 'center'
  pen.textBaseline = 'top'
  for (const mark of marks) {
    if (mark.kind === 'evaluation') continue
    const at = Math.round(mark.x) + 0.5
    pen.strokeStyle = palette.outline
    pen.fillStyle = mark.kind === 'best' ? palette.accent : palette.quiet
    pen.lineWidth = 1
    pen.beginPath()
    if (mark.kind === 'checkpoint') {
      pen.setLineDash([])
      pen.moveTo(at, plot.bottom - 8)
      pen.lineTo(at + 3, plot.bottom - 5)
      pen.lineTo(at, plot.bottom - 2)
      pen.lineTo(at - 3, plot.bottom - 5)
      pen.closePath()
    } else {
      pen.setLineDash([2, 3])
      pen.moveTo(at, plot.top + 14)
      pen.lineTo(at, plot.bottom)
      pen.fillText(GLYPHS[mark.kind] ?? '·', Math.min(Math.max(at, plot.left + 6), plot.right - 6), plot.top)
    }
    pen.stroke()
  }
  pen.setLineDash([])
}

function paintLabels(pen: CanvasRenderingContext2D, { labels, plot }: Layout, palette: Palette): void {
  pen.font = FONT
  pen.textAlign = 'left'
  pen.textBaseline = 'middle'
  for (const label of labels) {
    pen.strokeStyle = colourOf(palette, label.place)
    pen.setLineDash(dashOf(label.place))
    pen.lineWidth = 1.5
    pen.beginPath()
    pen.moveTo(plot.right + 4, label.y)
    pen.lineTo(plot.right + 18, label.y)
    pen.stroke()
    pen.fillStyle = palette.text
    pen.fillText(middleCut(label.text, 16), plot.right + 23, label.y)
  }
  pen.setLineDash([])
}

/** The cursor's line, dots on the curves, and the range being chosen. */
export function paintCursor(pen: CanvasRenderingContext2D, layout: Layout, palette: Palette, at: number | null, dots: { x: number; y: number; place: number }[], range: [number, number] | null): void {
  const { plot } = layout
  if (range) {
    pen.fillStyle = palette.accent
    pen.globalAlpha = 0.12
    pen.fillRect(Math.min(...range), plot.top, Math.abs(range[1] - range[0]), plot.bottom - plot.top)
    pen.globalAlpha = 1
  }
  if (at === null) return
  const x = Math.round(layout.x.toPixel(at)) + 0.5
  if (x < plot.left || x > plot.right + 1) return
  pen.strokeStyle = palette.outline
  pen.lineWidth = 1
  pen.beginPath()
  pen.moveTo(x, plot.top)
  pen.lineTo(x, plot.bottom)
  pen.stroke()
  for (const dot of dots) {
    if (dot.y < plot.top - 4 || dot.y > plot.bottom + 4) continue
    pen.fillStyle = colourOf(palette, dot.place)
    pen.strokeStyle = palette.page
    pen.lineWidth = 1.5
    pen.beginPath()
    pen.arc(dot.x, dot.y, 3.5, 0, 7)
    pen.fill()
    pen.stroke()
  }
}
