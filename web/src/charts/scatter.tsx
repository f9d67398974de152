// Scatter: any setting or result against any other, a dot a run.
import { useSize } from '@/lib/hooks'
import { middleCut, significant } from '@/lib/format'
import { scaleOf, type Dimension } from './dimensions'
import { colourVariable } from './palette'

interface ScatterProps {
  x: Dimension
  y: Dimension
  runs: { id: string; name: string; place: number }[]
  lit: string | null
  onLight: (id: string | null) => void
  onOpen: (id: string) => void
}

const HEIGHT = 420
const EDGE = { left: 64, right: 24, top: 28, bottom: 56 }

const text = (value: number | string | null | undefined): string => (typeof value === 'number' ? significant(value) : (value ?? '–'))

export function Scatter({ x, y, runs, lit, onLight, onOpen }: ScatterProps) {
  const [box, { width }] = useSize<HTMLDivElement>()
  const scaleX = scaleOf(x, [EDGE.left + 12, width - EDGE.right - 12])
  const scaleY = scaleOf(y, [HEIGHT - EDGE.bottom - 12, EDGE.top + 12])
  return (
    <div ref={box} className="rounded-card border bg-page">
      {width > 0 && (
        <svg width={width} height={HEIGHT} role="group" aria-label={`${y.name} against ${x.name}`} className="block text-small" fill="var(--text-quiet)">
          {scaleY.ticks.map((tick) => (
            <g key={tick.text}>
              <line x1={EDGE.left} x2={width - EDGE.right} y1={tick.at} y2={tick.at} stroke="var(--hairline)" />
              <text x={EDGE.left - 8} y={tick.at + 4} textAnchor="end">
                {middleCut(tick.text, 9)}
              </text>
            </g>
          ))}
          {scaleX.ticks.map((tick) => (
            <text key={tick.text} x={tick.at} y={HEIGHT - EDGE.bottom + 16} textAnchor="middle">
              {middleCut(tick.text, 18)}
            </text>
          ))}
          <text x={width / 2} y={HEIGHT - 16} textAnchor="middle" fill="var(--text)">
            {x.name}
          </text>
          <text x={EDGE.left} y={EDGE.top - 8} fill="var(--text)">
            {y.name}
          </text>
          {runs.map((run, index) => {
            const left = scaleX.toPixel(x.values[index] ?? null)
            const top = scaleY.toPixel(y.values[index] ?? null)
            if (left === null || top === null) return null
            const says = `${run.name}: ${x.name} ${text(x.values[index])}, ${y.name} ${text(y.values[index])}`
            return (
              <circle
                key={run.id}
                role="link"
                tabIndex={0}
                aria-label={says}
                cx={left}
                cy={top}
                r={lit === run.id ? 8 : 5}
                fill={colourVariable(run.place)}
                opacity={lit === null || lit === run.id ? 0.9 : 0.3}
                className="cursor-pointer"
                onPointerEnter={() => onLight(run.id)}
                onPointerLeave={() => onLight(null)}
                onFocus={() => onLight(run.id)}
                onBlur={() => onLight(null)}
                onClick={() => onOpen(run.id)}
                onKeyDown={(event) => event.key === 'Enter' && onOpen(run.id)}
              >
                <title>{says}</title>
              </circle>
            )
          })}
        </svg>
      )}
    </div>
  )
}
