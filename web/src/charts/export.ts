// A chart as a file: PNG from the same painting, SVG from the same layout, CSV of what is shown.
import { csvLine, fileName, saveFile } from '@/lib/save-file'
import type { Curve } from './curve'
import type { Layout } from './layout'
import { paintChart, prepare } from './paint'
import { colourOf, dashOf, type Palette } from './palette'

export async function savePng(name: string, layout: Layout, palette: Palette): Promise<void> {
  const canvas = document.createElement('canvas')
  const pen = prepare(canvas, layout.width, layout.height, 2)
  if (!pen) return
  pen.fillStyle = palette.page
  pen.fillRect(0, 0, layout.width, layout.height)
  paintChart(pen, layout, palette)
  const blob = await new Promise<Blob | null>((resolve) => canvas.toBlob(resolve, 'image/png'))
  if (blob) saveFile(`${fileName(name)}.png`, blob)
}

export function saveSvg(name: string, layout: Layout, palette: Palette): void {
  saveFile(`${fileName(name)}.svg`, new Blob([svgOf(name, layout, palette)], { type: 'image/svg+xml' }))
}

export function saveCsv(name: string, curves: Curve[], xName: string): void {
  saveFile(`${fileName(name)}.csv`, new Blob([csvOf(curves, xName)], { type: 'text/csv' }))
}

/** One line a point: curve, x, step, mean and, where bins hold more, least and greatest. */
export function csvOf(curves: Curve[], xName: string): string {
  const lines = [csvLine(['curve', xName, 'step', 'mean', 'min', 'max'])]
  for (const curve of curves) {
    for (let index = 0; index < curve.x.length; index += 1) {
      lines.push(csvLine([curve.label, curve.x[index], curve.step[index], curve.mean[index], curve.low?.[index], curve.high?.[index]]))
    }
  }
  return `${lines.join('\n')}\n`
}

const escaped = (text: string): string => text.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;').replace(/"/g, '&quot;')
const short = (value: number): string => String(Math.round(value * 100) / 100)

export function svgOf(name: string, { width, height, plot, x, y, lines, labels }: Layout, palette: Palette): string {
  const parts = [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="Inter, sans-serif" font-size="12">`,
    `<title>${escaped(name)}</title>`,
    `<rect width="100%" height="100%" fill="${palette.page}"/>`,
  ]
  for (const tick of y.ticks) {
    parts.push(`<path d="M${plot.left} ${short(tick.at)}H${plot.right}" stroke="${palette.hairline}"/>`)
    parts.push(`<text x="${plot.left - 8}" y="${short(tick.at + 4)}" text-anchor="end" fill="${palette.quiet}">${escaped(tick.text)}</text>`)
  }
  for (const tick of x.ticks) {
    parts.push(`<text x="${short(tick.at)}" y="${plot.bottom + 17}" text-anchor="middle" fill="${palette.quiet}">${escaped(tick.text)}</text>`)
  }
  for (const line of lines) {
    const colour = colourOf(palette, line.place)
    const dash = dashOf(line.place)
    if (line.ghost) parts.push(`<path d="${pathOf(line.ghost)}" fill="none" stroke="${colour}" opacity="0.3"/>`)
    parts.push(`<path d="${pathOf(line.points)}" fill="none" stroke="${colour}" stroke-width="1.5"${dash.length ? ` stroke-dasharray="${dash.join(' ')}"` : ''}/>`)
  }
  for (const label of labels) {
    parts.push(`<text x="${plot.right + 8}" y="${short(label.y + 4)}" fill="${colourOf(palette, label.place)}">${escaped(label.text)}</text>`)
  }
  parts.push('</svg>')
  return parts.join('\n')
}

function pathOf(points: Float64Array): string {
  let path = ''
  let isDown = false
  for (let index = 0; index < points.length; index += 2) {
    if (Number.isNaN(points[index]!)) {
      isDown = false
      continue
    }
    path += `${isDown ? 'L' : 'M'}${short(points[index]!)} ${short(points[index + 1]!)}`
    isDown = true
  }
  return path
}
