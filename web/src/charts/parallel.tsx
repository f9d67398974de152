// Parallel coordinates: a line a run, through its settings to its results.
import { useMemo } from 'react'
import { useSize } from '@/lib/hooks'
import { middleCut } from '@/lib/format'
import { scaleOf, type Dimension } from './dimensions'
import { colourVariable, dashOf } from './palette'

interface ParallelProps {
  dimensions: Dimension[]
  runs: { id: string; name: string; place: number }[]
  lit: string | null
  onLight: (id: string | null) => void
}

const HEIGHT = 420
const TOP = 36

/** For each run its corner on each axis; axes where it has no value are left out. */
export function parallelLines(dimensions: Dimension[], many: number, width: number): { x: number; y: number }[][] {
  const gap = dimensions.length > 1 ? (width - 160) / (dimensions.length - 1) : 0
  const scales = dimensions.map((dimension) => scaleOf(dimension, [HEIGHT - 24, TOP]))
  return Array.from({ length: many }, (_, run) =>
    dimensions.flatMap((dimension, axis) => {
      const y = scales[axis]!.toPixel(dimension.values[run] ?? null)
      return y === null ? [] : [{ x: 80 + axis * gap, y }]
    }),
  )
}

export function Parallel({ dimensions, runs, lit, onLight }: ParallelProps) {
  const [box, { width }] = useSize<HTMLDivElement>()
  const wide = Math.max(width, dimensions.length * 110)
  const lines = useMemo(() => parallelLines(dimensions, runs.length, wide), [dimensions, runs.length, wide])
  const gap = dimensions.length > 1 ? (wide - 160) / (dimensions.length - 1) : 0
  return (
    <div ref={box} tabIndex={0} role="group" aria-label="Parallel coordinates" className="overflow-x-auto rounded-card border bg-page">
      {width > 0 && (
        <svg width={wide} height={HEIGHT} role="img" aria-label={`${runs.length} runs over ${dimensions.map((one) => one.name).join(', ')}; the table has the numbers`}>
          {dimensions.map((dimension, axis) => {
            const x = 80 + axis * gap
            return (
              <g key={dimension.name} className="text-small" fill="var(--text-quiet)">
                <line x1={x} x2={x} y1={TOP} y2={HEIGHT - 24} stroke="var(--outline)" />
                <text x={x} y={20} textAnchor="middle" fill="var(--text)" fontWeight={dimension.isResult ? 500 : 400}>
                  {middleCut(dimension.name, 16)}
                </text>
                {scaleOf(dimension, [HEIGHT - 24, TOP]).ticks.map((tick) => (
                  <text key={tick.text} x={x - 6} y={tick.at + 4} textAnchor="end" stroke="var(--page)" strokeWidth="3" paintOrder="stroke">
                    {middleCut(tick.text, 12)}
                  </text>
                ))}
              </g>
            )
          })}
          {runs.map((run, index) => (
            <path
              key={run.id}
              d={lines[index]!.map((corner, place) => `${place ? 'L' : 'M'}${corner.x.toFixed(1)} ${corner.y.toFixed(1)}`).join('')}
              fill="none"
              stroke={colourVariable(run.place)}
              strokeDasharray={dashOf(run.place).join(' ') || undefined}
              strokeWidth={lit === run.id ? 3 : 1.5}
              opacity={lit === null || lit === run.id ? 1 : 0.2}
              onPointerEnter={() => onLight(run.id)}
              onPointerLeave={() => onLight(null)}
            >
              <title>{run.name}</title>
            </path>
          ))}
        </svg>
      )}
    </div>
  )
}
