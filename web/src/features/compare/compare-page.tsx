// Several runs on one page: curves, parallel coordinates, scatter, and a table of what differs.
import { useMemo, useState } from 'react'
import { useQuery } from '@tanstack/react-query'
import { useLocation, useNavigate } from 'react-router'
import { failureText } from '@/api/client'
import { compareQuery } from '@/api/queries'
import { dimensionsOf } from '@/charts/dimensions'
import { Parallel } from '@/charts/parallel'
import { LinkButton } from '@/components/button'
import { Empty } from '@/components/bits'
import { Page } from '@/components/page'
import { Skeleton } from '@/components/skeleton'
import { Tabs } from '@/components/tabs'
import { plural } from '@/lib/format'
import { useUrlList, useUrlText } from '@/lib/url-state'
import { CompareSide } from './compare-side'
import { CurvesView } from './curves-view'
import { DifferencesTable } from './differences-table'
import { ScatterView } from './scatter-view'
import { only, placesOf } from './shown'

const VIEWS = [
  { id: 'curves', label: 'Curves' },
  { id: 'parallel', label: 'Parallel' },
  { id: 'scatter', label: 'Scatter' },
  { id: 'table', label: 'Table' },
]

export default function ComparePage() {
  const navigate = useNavigate()
  const { search } = useLocation()
  const [ids, setIds] = useUrlList('runs')
  const [view] = useUrlText('view', 'curves')
  const [metric, setMetric] = useUrlText('metric', 'eval_loss')
  const [pin, setPin] = useUrlText('pin')
  const [group, setGroup] = useUrlText('group')
  const [text, setText] = useUrlText('text')
  const [lit, setLit] = useState<string | null>(null)
  const points = ids.length > 20 ? 400 : 1000
  const { data, error } = useQuery(compareQuery(ids, metric, points))
  const shown = useMemo(() => data && only(data, text), [data, text])
  const dimensions = useMemo(() => (shown ? dimensionsOf(shown) : []), [shown])
  const places = useMemo(() => (shown ? placesOf(shown, group) : []), [shown, group])
  const runs = shown?.runs.map((row, index) => ({ id: row.id, name: row.name, place: places[index]! })) ?? []
  const baseline = Math.max(0, shown?.runs.findIndex((row) => row.id === pin) ?? 0)

  if (ids.length === 0) {
    return (
      <Page title="Compare" tab="Compare">
        <Empty title="No runs chosen" action={<LinkButton to="/runs">Choose runs</LinkButton>}>
          Choose two or more in the list, then Compare.
        </Empty>
      </Page>
    )
  }
  const withView = (id: string) => {
    const parameters = new URLSearchParams(search)
    if (id === 'curves') parameters.delete('view')
    else parameters.set('view', id)
    return `/runs/compare?${parameters.toString()}`
  }
  return (
    <Page
      title="Compare"
      tab="Compare"
      about={
        data && (
          <span className="text-quiet">
            {plural(data.runs.length, 'run', 'runs')}
            {shown && shown.runs.length < data.runs.length && `, ${shown.runs.length} shown`}
          </span>
        )
      }
      side={
        shown && (
          <CompareSide
            comparison={shown}
            places={places}
            pinned={shown.runs[baseline]?.id ?? ''}
            group={group}
            text={text}
            onLight={setLit}
            onPin={setPin}
            onGroup={setGroup}
            onText={setText}
            onRemove={(id) => setIds(ids.filter((one) => one !== id))}
          />
        )
      }
      sideTitle="Runs"
      command={`apertis runs compare ${(data?.runs ?? []).slice(0, 6).map((row) => row.name).join(' ')}${ids.length > 6 ? ' …' : ''}`}
    >
      <Tabs label="Views" current={view} tabs={VIEWS.map((one) => ({ ...one, to: withView(one.id) }))} />
      {error && !data && <Empty title={failureText(error).message}>{failureText(error).hint}</Empty>}
      {!data && !error && <Skeleton className="h-80" />}
      {shown && view === 'curves' && (
        <>
          <CurvesView comparison={shown} places={places} metric={metric} lit={lit} onMetric={setMetric} />
          <DifferencesTable comparison={shown} baseline={baseline} most={12} />
        </>
      )}
      {shown && view === 'parallel' && <Parallel dimensions={dimensions} runs={runs} lit={lit} onLight={setLit} />}
      {shown && view === 'scatter' && <ScatterView dimensions={dimensions} runs={runs} lit={lit} onLight={setLit} onOpen={(id) => void navigate(`/runs/${id}`)} />}
      {shown && view === 'table' && <DifferencesTable comparison={shown} baseline={baseline} most={100} />}
    </Page>
  )
}
