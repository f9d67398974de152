// Which charts a run's dashboard has, and which curves each holds. Metrics that nobody named here get one too.
import type { Series } from '@/api/types'
import { curveOf, type Curve, type XKind } from '@/charts/curve'

interface ChartCurve {
  name: string
  label: string
  place: number
  hasDots?: boolean
  isExact?: boolean
  /** Curves of the interval that the value lies in. */
  band?: [low: string, high: string]
}

export interface ChartSpec {
  id: string
  title: string
  unit: string
  /** Shown without being asked for. */
  isUsual: boolean
  curves: ChartCurve[]
  /** Values are divided by this before they are drawn. */
  divisor?: number
}

export const CHARTS: ChartSpec[] = [
  {
    id: 'loss', title: 'Loss', unit: 'nats a token', isUsual: true,
    curves: [{ name: 'loss', label: 'train', place: 0 }, { name: 'eval_loss', label: 'held-out', place: 1, hasDots: true, isExact: true, band: ['eval_loss_low', 'eval_loss_high'] }],
  },
  { id: 'learning_rate', title: 'Learning rate', unit: '', isUsual: true, curves: [{ name: 'learning_rate', label: 'learning rate', place: 0, isExact: true }] },
  { id: 'grad_norm', title: 'Gradient norm', unit: '', isUsual: true, curves: [{ name: 'grad_norm', label: 'gradient norm', place: 0 }] },
  { id: 'tokens_per_second', title: 'Speed', unit: 'tokens/s', isUsual: true, curves: [{ name: 'tokens_per_second', label: 'speed', place: 0 }] },
  { id: 'accuracy', title: 'Accuracy', unit: 'held-out', isUsual: true, curves: [{ name: 'accuracy', label: 'accuracy', place: 1, hasDots: true, isExact: true }] },
  { id: 'perplexity', title: 'Perplexity', unit: 'held-out', isUsual: false, curves: [{ name: 'perplexity', label: 'perplexity', place: 1, hasDots: true, isExact: true }] },
  { id: 'memory', title: 'Memory', unit: 'GB', isUsual: true, divisor: 1e9, curves: [{ name: 'process_bytes', label: 'this run', place: 2 }, { name: 'memory_used_bytes', label: 'machine', place: 7 }] },
  { id: 'cpu', title: 'Processor', unit: '%', isUsual: true, curves: [{ name: 'cpu_percent', label: 'all cores', place: 2 }] },
  { id: 'gpu', title: 'GPU', unit: '%', isUsual: true, curves: [{ name: 'gpu_percent', label: 'use', place: 2 }] },
  { id: 'disk', title: 'Disk', unit: 'MB/s', isUsual: false, divisor: 1e6, curves: [{ name: 'disk_written_bytes', label: 'written', place: 2 }, { name: 'disk_read_bytes', label: 'read', place: 7 }] },
  { id: 'network', title: 'Network', unit: 'kB/s', isUsual: false, divisor: 1e3, curves: [{ name: 'network_received_bytes', label: 'received', place: 2 }, { name: 'network_sent_bytes', label: 'sent', place: 7 }] },
  { id: 'disk_free', title: 'Free disk', unit: 'GB', isUsual: false, divisor: 1e9, curves: [{ name: 'disk_free_bytes', label: 'free', place: 2 }] },
]

/** Part of other charts, or the same in every point. */
const NO_CHART = ['memory_total_bytes', 'process_peak_bytes']
const KNOWN = new Set([...NO_CHART, ...CHARTS.flatMap((chart) => chart.curves.flatMap((curve) => [curve.name, ...(curve.band ?? [])]))])

/** Charts that have at least one curve here, then one for each unknown metric. */
export function chartsFor(series: Map<string, Series>): ChartSpec[] {
  const known = CHARTS.filter((chart) => chart.curves.some((curve) => series.has(curve.name)))
  const others = [...series.values()].filter(({ name }) => !KNOWN.has(name))
  return [
    ...known,
    ...others.map(({ name, unit }) => ({ id: name, title: titleOf(name), unit, isUsual: false, curves: [{ name, label: titleOf(name), place: 3 }] })),
  ]
}

const titleOf = (name: string): string => {
  const words = name.replaceAll('_', ' ')
  return words.charAt(0).toUpperCase() + words.slice(1)
}

export function curvesOf(chart: ChartSpec, series: Map<string, Series>, kind: XKind, startMs: number): Curve[] {
  return chart.curves.flatMap(({ name, band, ...look }) => {
    const found = series.get(name)
    if (!found) return []
    const curve = curveOf(found, kind, { id: name, ...look }, startMs)
    const [low, high] = band?.map((edge) => series.get(edge)) ?? []
    // The interval of an evaluation, as long as all three were thinned alike.
    if (low && high && found.bin === 1 && low.mean.length === curve.mean.length && high.mean.length === curve.mean.length) {
      const look = { id: name, label: '', place: 0 }
      Object.assign(curve, { low: curveOf(low, kind, look).mean, high: curveOf(high, kind, look).mean })
    }
    return [divided(curve, chart.divisor)]
  })
}

/** What was taken back of a chart's curves. */
export function takenBackOf(chart: ChartSpec, stretches: Series[], kind: XKind, startMs: number): Curve[] {
  return stretches.flatMap((series, index) => {
    const look = chart.curves.find((curve) => curve.name === series.name)
    return look ? [divided(curveOf(series, kind, { id: `${series.name} ${index}`, label: `${look.label}, taken back`, place: look.place }, startMs), chart.divisor)] : []
  })
}

function divided(curve: Curve, by = 1): Curve {
  if (by === 1) return curve
  for (const column of [curve.mean, curve.low, curve.high]) column?.forEach((value, index) => (column[index] = value / by))
  return curve
}
