// A chart as a table: the same points, for reading and for screen readers. Long curves are thinned evenly.
import type { KeyboardEvent, Ref } from 'react'
import { significant } from '@/lib/format'
import { writeX } from './axis'
import { nearestIndex, X_KINDS, type Curve, type XKind } from './curve'

const MOST_ROWS = 200

export function tableRows(curves: Curve[]): { x: number; values: number[] }[] {
  const lead = curves.reduce<Curve | null>((best, curve) => (!best || curve.x.length > best.x.length ? curve : best), null)
  if (!lead) return []
  const stride = Math.max(1, Math.ceil(lead.x.length / MOST_ROWS))
  const rows: { x: number; values: number[] }[] = []
  for (let index = 0; index < lead.x.length; index += stride) {
    const x = lead.x[index]!
    rows.push({ x, values: curves.map((curve) => curve.mean[nearestIndex(curve.x, x)] ?? Number.NaN) })
  }
  return rows
}

interface ChartTableProps {
  ref: Ref<HTMLDivElement>
  title: string
  curves: Curve[]
  kind: XKind
  height: number
  /** Back to the chart: the same key that led here. */
  onTurn: () => void
}

export function ChartTable({ ref, title, curves, kind, height, onTurn }: ChartTableProps) {
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key !== 't' || event.ctrlKey || event.metaKey || event.altKey) return
    event.preventDefault()
    onTurn()
  }
  return (
    <div ref={ref} onKeyDown={onKeyDown} tabIndex={0} role="region" aria-label={`${title} as a table`} className="overflow-auto" style={{ height }}>
      <table className="tabular w-full text-right">
        <caption className="sr-only">{title}</caption>
        <thead className="sticky top-0 bg-page text-small text-quiet">
          <tr className="border-b">
            <th scope="col" className="px-2 py-1 font-medium">
              {X_KINDS.find((x) => x.id === kind)?.label}
            </th>
            {curves.map((curve) => (
              <th key={curve.id} scope="col" className="px-2 py-1 font-medium">
                {curve.label}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {tableRows(curves).map((row) => (
            <tr key={row.x} className="border-b">
              <th scope="row" className="px-2 py-1 font-normal text-quiet">
                {writeX(row.x, kind)}
              </th>
              {row.values.map((value, index) => (
                <td key={curves[index]!.id} className="px-2 py-1">
                  {significant(value)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}
