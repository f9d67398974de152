// What a chart says at its cursor: each curve's nearest point.
import { significant } from '@/lib/format'
import { writeX } from './axis'
import { nearestIndex, type Curve, type XKind } from './curve'
import type { Layout } from './layout'

export interface Reading {
  index: number
  /** Where the cursor snaps to. */
  x: number
  dots: { x: number; y: number; place: number }[]
  values: { label: string; value: number }[]
}

/** The point of the densest curve that is nearest decides where the cursor stands. */
export function readingAt(layout: Layout, curves: Curve[], cursor: number): Reading | null {
  let lead: Curve | null = null
  for (const curve of curves) if (!lead || curve.x.length > lead.x.length) lead = curve
  if (!lead || lead.x.length === 0) return null
  const index = nearestIndex(lead.x, cursor)
  const x = lead.x[index]!
  const reading: Reading = { index, x, dots: [], values: [] }
  const spacing = lead.x.length > 1 ? Math.abs(lead.x.at(-1)! - lead.x[0]!) / (lead.x.length - 1) : Infinity
  for (const curve of curves) {
    const nearest = nearestIndex(curve.x, x)
    if (nearest < 0) continue
    // A sparse curve answers with its last point before the cursor; an ended one not beyond its end.
    const at = curve.x[nearest]!
    if (curve !== lead && x > curve.x.at(-1)! + 2 * spacing && !curve.hasDots) continue
    const value = layout.values.get(curve.id)?.[nearest]
    if (value === undefined || !Number.isFinite(value)) continue
    reading.dots.push({ x: layout.x.toPixel(at), y: layout.y.toPixel(value), place: curve.place })
    reading.values.push({ label: curve.label, value })
  }
  return reading
}

const MOST_NAMED = 6

export function readingText(reading: Reading, kind: XKind, mark = ''): string {
  const place = `${kind === 'step' || kind === 'epoch' ? `${kind} ` : ''}${writeX(reading.x, kind)}${kind === 'tokens' ? ' tokens' : ''}`
  const named = reading.values.slice(0, MOST_NAMED).map(({ label, value }) => `${label} ${significant(value)}`)
  const more = reading.values.length > MOST_NAMED ? [`${reading.values.length - MOST_NAMED} more`] : []
  return [place, ...named, ...more, mark].filter(Boolean).join(' · ')
}
