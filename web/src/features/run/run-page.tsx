// One run: live dashboard, samples, log, files, recipe, report; controls at the right.
import { useQuery } from '@tanstack/react-query'
import { useNavigate, useParams } from 'react-router'
import { ApiFailure, failureText } from '@/api/client'
import { useReached } from '@/api/reach'
import { runQuery } from '@/api/queries'
import { useRunChange } from '@/api/actions'
import type { Run } from '@/api/types'
import { Button, LinkButton } from '@/components/button'
import { Empty, Progress } from '@/components/bits'
import { EditableName } from '@/components/editable-name'
import { Page } from '@/components/page'
import { Skeleton } from '@/components/skeleton'
import { StateBadge } from '@/components/state-badge'
import { Tabs } from '@/components/tabs'
import { Word } from '@/components/word'
import { count, significant } from '@/lib/format'
import { Coach } from './coach'
import { ConflictNote } from './conflict'
import { Dashboard } from './dashboard'
import { EndCard } from './end-card'
import { FilesTab } from './files-tab'
import { LogTab } from './log-tab'
import { RecipeTab } from './recipe-tab'
import { ReportTab } from './report-tab'
import { RunActions } from './run-actions'
import { RunSide } from './run-side'
import { SamplesTab } from './samples-tab'

const TABS = [
  { id: 'dashboard', label: 'Dashboard' },
  { id: 'samples', label: 'Samples' },
  { id: 'log', label: 'Log' },
  { id: 'files', label: 'Files' },
  { id: 'recipe', label: 'Recipe' },
  { id: 'report', label: 'Report' },
]

export default function RunPage() {
  const { id = '', tab = 'dashboard' } = useParams()
  const navigate = useNavigate()
  const { data: run, error } = useQuery(runQuery(id))
  if (error && !run) {
    const { message, hint } = failureText(error)
    const isGone = error instanceof ApiFailure && error.status === 404
    return (
      <Page title={isGone ? 'No such run' : 'The run cannot be shown'} tab="Run">
        <Empty title={message} action={isGone ? <LinkButton to="/runs">All runs</LinkButton> : <Button onClick={() => void navigate(0)}>Try again</Button>}>
          {hint}
        </Empty>
      </Page>
    )
  }
  if (!run) {
    return (
      <Page title="Run" tab="Run">
        <Skeleton className="h-72" lines={2} />
      </Page>
    )
  }
  return <LoadedRun key={id} run={run} tab={tab} />
}

function LoadedRun({ run, tab }: { run: Run; tab: string }) {
  const { row } = run
  const isReached = useReached()
  const change = useRunChange(row.id, run.etag)
  return (
    <Page
      title={<EditableName name={row.name} label="Name of the run" isDisabled={!isReached} onRename={(name) => change.mutate({ name })} />}
      tab={`${row.state.is_active && row.total_steps ? `${Math.floor((row.step / row.total_steps) * 100)}% ` : ''}${row.name}`}
      about={
        <span className="tabular flex flex-wrap items-center gap-x-4 gap-y-1 text-quiet">
          <StateBadge state={row.state} isStale={!isReached} />
          <span>
            step <span className="text-ink">{count(row.step)}</span>
            {row.total_steps > 0 && ` of ${count(row.total_steps)}`}
          </span>
          <span>
            <Word of="epoch">epoch</Word> {significant(row.epoch, 3)}
          </span>
        </span>
      }
      actions={<RunActions run={run} />}
      side={<RunSide run={run} />}
      sideTitle="Run"
      command={run.command}
      code={[{ language: 'Watch it in a terminal', text: `apertis runs show ${row.name}` }]}
    >
      {row.state.is_active && row.total_steps > 0 && <Progress share={row.step / row.total_steps} label="Progress" />}
      {change.error instanceof ApiFailure && change.error.status === 409 && <ConflictNote run={run} mine={change.variables ?? {}} onSettled={() => change.reset()} />}
      <EndCard run={run} />
      <Tabs label="Parts of the run" current={tab} tabs={TABS.map((one) => ({ ...one, to: one.id === 'dashboard' ? `/runs/${row.id}` : `/runs/${row.id}/${one.id}` }))} />
      {tab === 'dashboard' && (
        <>
          <Coach id={row.id} />
          <Dashboard run={run} />
        </>
      )}
      {tab === 'samples' && <SamplesTab id={row.id} />}
      {tab === 'log' && <LogTab id={row.id} />}
      {tab === 'files' && <FilesTab run={run} />}
      {tab === 'recipe' && <RecipeTab run={run} />}
      {tab === 'report' && <ReportTab run={run} />}
    </Page>
  )
}
