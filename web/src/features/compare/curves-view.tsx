// All runs' curves on one axis, named at their ends.
import { useMemo } from 'react'
import type { Comparison } from '@/api/types'
import { curveOf, X_KINDS, type XKind } from '@/charts/curve'
import { LineChart } from '@/charts/line-chart'
import { CheckBox } from '@/components/bits'
import { Select, Slider } from '@/components/fields'
import { useUrlText } from '@/lib/url-state'

const METRICS: [name: string, label: string][] = [
  ['eval_loss', 'Held-out loss'],
  ['loss', 'Training loss'],
  ['accuracy', 'Accuracy'],
  ['perplexity', 'Perplexity'],
  ['learning_rate', 'Learning rate'],
  ['grad_norm', 'Gradient norm'],
  ['tokens_per_second', 'Tokens per second'],
]

const EVALUATED = new Set(['eval_loss', 'accuracy', 'perplexity'])

interface CurvesViewProps {
  comparison: Comparison
  places: number[]
  metric: string
  lit: string | null
  onMetric: (metric: string) => void
}

export function CurvesView({ comparison, places, metric, lit, onMetric }: CurvesViewProps) {
  const [kind, setKind] = useUrlText('x', 'step')
  const [logY, setLogY] = useUrlText('logy')
  const [logX, setLogX] = useUrlText('logx')
  const [clip, setClip] = useUrlText('clip')
  const [smoothing, setSmoothing] = useUrlText('smooth', '0.6')
  const isEvaluated = EVALUATED.has(metric)
  const view = useMemo(
    () => ({ kind: kind as XKind, isLogX: logX === '1', isLogY: logY === '1', isClipped: clip === '1', smoothing: isEvaluated ? 0 : Number(smoothing) || 0 }),
    [kind, logX, logY, clip, smoothing, isEvaluated],
  )
  const curves = useMemo(
    () =>
      comparison.curves.map((series, index) => {
        const row = comparison.runs[index]!
        const look = { id: row.id, label: row.name, place: places[index]!, hasDots: isEvaluated, isExact: isEvaluated, isFaint: lit !== null && lit !== row.id }
        return curveOf(series, kind as XKind, look, Date.parse(row.created_at))
      }),
    [comparison, places, kind, isEvaluated, lit],
  )
  return (
    <>
      <div className="flex flex-wrap items-center gap-x-4 gap-y-2">
        <Select aria-label="Metric" value={metric} onChange={(event) => onMetric(event.target.value)}>
          {METRICS.map(([name, label]) => (
            <option key={name} value={name}>
              {label}
            </option>
          ))}
        </Select>
        <Select aria-label="x axis" value={kind} onChange={(event) => setKind(event.target.value)}>
          {X_KINDS.map((x) => (
            <option key={x.id} value={x.id}>
              {x.label}
            </option>
          ))}
        </Select>
        {!isEvaluated && (
          <label className="flex items-center gap-2">
            <span className="text-quiet">Smooth</span>
            <Slider label="Smoothing" value={view.smoothing} min={0} max={0.99} onChange={(value) => setSmoothing(String(value))} className="w-24" />
          </label>
        )}
        <CheckBox label="Log y" checked={view.isLogY} onChange={(event) => setLogY(event.target.checked ? '1' : '')} />
        <CheckBox label="Log x" checked={view.isLogX} disabled={kind === 'wall'} onChange={(event) => setLogX(event.target.checked ? '1' : '')} />
        <CheckBox label="Clip outliers" checked={view.isClipped} onChange={(event) => setClip(event.target.checked ? '1' : '')} />
      </div>
      <LineChart title={METRICS.find(([name]) => name === metric)?.[1] ?? metric} curves={curves} view={view} height={420} hasEndLabels fileStem="compare" />
    </>
  )
}
