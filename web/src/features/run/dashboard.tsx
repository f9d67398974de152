// A run's charts under one toolbar; cursor and zoom are shared, view settings live in the address.
import { useEffect, useMemo, useState } from 'react'
import { useQuery } from '@tanstack/react-query'
import { metricsQuery } from '@/api/queries'
import type { Run, Series } from '@/api/types'
import { X_KINDS, type XKind } from '@/charts/curve'
import { LineChart } from '@/charts/line-chart'
import { ViewContext, ViewStore } from '@/charts/shared-view'
import { splice } from '@/charts/splice'
import { Button } from '@/components/button'
import { CheckBox } from '@/components/bits'
import { Select, Slider } from '@/components/fields'
import { Menu } from '@/components/menu'
import { useSettled } from '@/lib/hooks'
import { useUrlList, useUrlText } from '@/lib/url-state'
import { chartsFor, curvesOf, takenBackOf, type ChartSpec } from './chart-list'
import { useRunMetrics, type RunMetrics } from './live-metrics'

export function Dashboard({ run }: { run: Run }) {
  const metrics = useRunMetrics(run.row.id, run.row.state.is_active)
  const [store] = useState(() => new ViewStore())
  const [kind, setKind] = useUrlText('x', 'step')
  const [logX, setLogX] = useUrlText('logx')
  const [logY, setLogY] = useUrlText('logy')
  const [clip, setClip] = useUrlText('clip', '1')
  const [smoothing, setSmoothing] = useUrlText('smooth', '0.8')
  const [range, setRange] = useUrlText('range', 'all')
  const [shown, setShown] = useUrlList('charts')
  const view = useMemo(
    () => ({ kind: kind as XKind, isLogX: logX === '1', isLogY: logY === '1', isClipped: clip === '1', smoothing: Number(smoothing) || 0 }),
    [kind, logX, logY, clip, smoothing],
  )
  const startMs = Date.parse(run.row.created_at)
  const { version } = metrics
  const series = useFineSeries(run.row.id, metrics, store, view.kind)
  useFollowRange(store, range, series, view.kind, startMs, version)
  // The map grows in place; `version` says when.
  // eslint-disable-next-line react-hooks/exhaustive-deps
  const charts = useMemo(() => chartsFor(series), [series, version])
  const isShown = (chart: ChartSpec) => (shown.length > 0 ? shown.includes(chart.id) : chart.isUsual)
  const visible = charts.filter(isShown)
  const toggle = (chart: ChartSpec) => {
    const now = visible.map(({ id }) => id)
    setShown(isShown(chart) ? now.filter((id) => id !== chart.id) : [...now, chart.id])
  }
  return (
    <ViewContext value={store}>
      <div className="flex flex-wrap items-center gap-x-4 gap-y-2">
        <label className="flex items-center gap-2">
          <span className="text-quiet">x</span>
          <Select value={kind} onChange={(event) => { store.set({ zoom: null, cursor: null }); setKind(event.target.value) }}>
            {X_KINDS.map((x) => (
              <option key={x.id} value={x.id}>
                {x.label}
              </option>
            ))}
          </Select>
        </label>
        <label className="flex items-center gap-2">
          <span className="text-quiet">Range</span>
          <Select value={range} onChange={(event) => setRange(event.target.value)}>
            <option value="all">All</option>
            <option value="0.5">Last half</option>
            <option value="0.1">Last tenth</option>
          </Select>
        </label>
        <label className="flex items-center gap-2">
          <span className="text-quiet">Smooth</span>
          <Slider label="Smoothing" value={view.smoothing} min={0} max={0.99} onChange={(value) => setSmoothing(String(value))} className="w-24" />
        </label>
        <CheckBox label="Log y" checked={view.isLogY} onChange={(event) => setLogY(event.target.checked ? '1' : '')} />
        <CheckBox label="Log x" checked={view.isLogX} disabled={view.kind === 'wall'} onChange={(event) => setLogX(event.target.checked ? '1' : '')} />
        <CheckBox label="Clip" title="Single spikes run out of the chart" checked={view.isClipped} onChange={(event) => setClip(event.target.checked ? '1' : '0')} />
        <Menu
          align="start"
          trigger={
            <Button look="plain" isSmall icon="plus">
              Metric
            </Button>
          }
          items={charts.map((chart) => ({ label: chart.title, isChecked: isShown(chart), onSelect: () => toggle(chart) }))}
        />
      </div>
      <div className="grid gap-4 xl:grid-cols-2">
        {metrics.isLoading && <LineChart title="Loss" curves={[]} view={view} isLoading height={260} />}
        {visible.map((chart, index) => (
          <div key={chart.id} className={index === 0 ? 'min-w-0 xl:col-span-2' : 'min-w-0'}>
            <RunChart chart={chart} metrics={{ ...metrics, series }} view={view} startMs={startMs} stem={run.row.name} isLead={index === 0} />
          </div>
        ))}
      </div>
    </ViewContext>
  )
}

interface RunChartProps {
  chart: ChartSpec
  metrics: RunMetrics
  view: React.ComponentProps<typeof LineChart>['view']
  startMs: number
  stem: string
  isLead: boolean
}

function RunChart({ chart, metrics, view, startMs, stem, isLead }: RunChartProps) {
  const { series, version, marks, takenBack } = metrics
  const curves = useMemo(
    () => curvesOf(chart, series, view.kind, startMs),
    // `version` says when the series grew in place.
    // eslint-disable-next-line react-hooks/exhaustive-deps
    [chart, series, view.kind, startMs, version],
  )
  const behind = useMemo(() => takenBackOf(chart, takenBack, view.kind, startMs), [chart, takenBack, view.kind, startMs])
  const shownMarks = useMemo(() => (isLead ? newestBest(marks) : marks.filter((mark) => !['evaluation', 'checkpoint', 'best'].includes(mark.kind))), [marks, isLead])
  return <LineChart title={chart.title} unit={chart.unit} curves={curves} behind={behind} marks={shownMarks} view={view} startMs={startMs} version={version} height={isLead ? 280 : 180} fileStem={stem} />
}

/** Of all steps that were once the best, the last one is. */
function newestBest(marks: RunMetrics['marks']): RunMetrics['marks'] {
  const last = marks.findLast((mark) => mark.kind === 'best')
  return marks.filter((mark) => mark.kind !== 'best' || mark === last)
}

/** After a zoom into a thinned curve, the finer points of that stretch are read and laid in. */
function useFineSeries(id: string, metrics: RunMetrics, store: ViewStore, kind: XKind): Map<string, Series> {
  const [zoom, setZoom] = useState(store.get().zoom)
  useEffect(() => store.subscribe(() => setZoom(store.get().zoom)), [store])
  const settled = useSettled(zoom, 300)
  const loss = metrics.series.get('loss')
  const wanted = useMemo(() => {
    if (!settled || !loss || loss.bin === 1 || kind !== 'step') return null
    return { from: Math.max(0, Math.floor(settled[0])), to: Math.ceil(settled[1]) }
  }, [settled, loss, kind])
  const { data } = useQuery({ ...metricsQuery(id, wanted ?? { from: 0, to: 0 }), enabled: wanted !== null })
  return useMemo(() => {
    if (!data || !wanted) return metrics.series
    const fine = new Map(data.series.map((series) => [series.name, series]))
    return new Map([...metrics.series].map(([name, series]) => [name, fine.has(name) ? splice(series, fine.get(name)!) : series]))
    // `version` says when the series grew in place.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [data, wanted, metrics.series, metrics.version])
}

/** "Last half" stays the last half while the run goes on. */
function useFollowRange(store: ViewStore, range: string, series: Map<string, Series>, kind: XKind, startMs: number, version: number): void {
  useEffect(() => {
    const share = Number(range)
    if (!share) return
    const spec = chartsFor(series)[0]
    const lead = spec && curvesOf(spec, series, kind, startMs)[0]
    if (!lead || lead.x.length < 2) return
    const low = lead.x[0]!
    const high = lead.x.at(-1)!
    store.set({ zoom: [high - (high - low) * share, high] })
    return () => store.set({ zoom: null })
  }, [store, range, series, kind, startMs, version])
}
