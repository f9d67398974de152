// The small curve of lists and cards; says first and last value to those who cannot see it.
import { loss } from '@/lib/format'

/** Points of the line in a box of `width` × `height`, gaps left open. */
export function sparkPath(values: (number | null | undefined)[], width: number, height: number): string {
  const real = values.filter((value): value is number => typeof value === 'number' && Number.isFinite(value))
  if (real.length === 0) return ''
  const low = Math.min(...real)
  const span = Math.max(...real) - low || 1
  const step = values.length > 1 ? width / (values.length - 1) : 0
  let path = ''
  let isOpen = false
  values.forEach((value, index) => {
    if (typeof value !== 'number' || !Number.isFinite(value)) {
      isOpen = false
      return
    }
    const y = height - 1 - ((value - low) / span) * (height - 2)
    path += `${isOpen ? 'L' : 'M'}${(index * step).toFixed(1)} ${y.toFixed(1)}`
    isOpen = true
  })
  return path
}

export function Sparkline({ values, width = 96, height = 24, className }: { values: (number | null | undefined)[]; width?: number; height?: number; className?: string }) {
  const real = values.filter((value): value is number => typeof value === 'number' && Number.isFinite(value))
  if (real.length < 2) return <span className="text-quiet">–</span>
  return (
    <svg
      role="img"
      aria-label={`Loss from ${loss(real[0])} to ${loss(real.at(-1))}`}
      viewBox={`0 0 ${width} ${height}`}
      width={width}
      height={height}
      preserveAspectRatio="none"
      className={className}
    >
      <path d={sparkPath(values, width, height)} fill="none" stroke="var(--line-1)" strokeWidth="1.5" vectorEffect="non-scaling-stroke" />
    </svg>
  )
}
