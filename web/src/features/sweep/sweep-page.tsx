// A group of runs that try values of fields: what each tries, how far it came, which is the best so far.
import { useEffect } from 'react'
import { useQuery, useQueryClient } from '@tanstack/react-query'
import { Link, useParams } from 'react-router'
import { failureText } from '@/api/client'
import { sweepQuery } from '@/api/queries'
import type { Sweep, SweepTry } from '@/api/types'
import { Button, LinkButton } from '@/components/button'
import { Empty, Note, Progress } from '@/components/bits'
import { Page } from '@/components/page'
import { Skeleton } from '@/components/skeleton'
import { Sparkline } from '@/components/sparkline'
import { StateBadge } from '@/components/state-badge'
import { count, loss, middleCut, plural } from '@/lib/format'
import { bestOf, counts, fieldNames, hasRungs, RUNGS } from './group'

/** Rungs are taken by the server, and are no event of a run. */
const REFRESH_MS = 5_000

export default function SweepPage() {
  const { id = '' } = useParams()
  const client = useQueryClient()
  const { data: sweep, error, refetch } = useQuery(sweepQuery(id))
  const isGoing = sweep?.tries.some((one) => one.run?.state.is_active) ?? false
  useEffect(() => {
    if (!isGoing) return
    const timer = setInterval(() => void client.invalidateQueries({ queryKey: ['sweep', id] }), REFRESH_MS)
    return () => clearInterval(timer)
  }, [isGoing, client, id])
  if (!sweep) {
    return (
      <Page title="Sweep" tab="Sweep">
        {error ? (
          <Empty title={failureText(error).message} action={<Button onClick={() => void refetch()}>Try again</Button>}>
            {failureText(error).hint}
          </Empty>
        ) : (
          <Skeleton className="h-10" lines={5} />
        )}
      </Page>
    )
  }
  const runs = sweep.tries.flatMap((one) => (one.run ? [one.run.id] : []))
  return (
    <Page
      title={sweep.name}
      tab={sweep.name}
      about={<span className="tabular text-quiet">{counts(sweep)}</span>}
      actions={
        runs.length > 1 && (
          <LinkButton icon="compare" to={`/runs/compare?runs=${runs.join(',')}&view=parallel`}>
            Compare all
          </LinkButton>
        )
      }
      command="apertis runs"
    >
      <Best sweep={sweep} />
      {hasRungs(sweep) && <p className="max-w-prose text-quiet">All reach a quarter of their steps, then the better half goes on to the middle, and the better half of these to the end. What stopped can be resumed on its own page.</p>}
      <Group sweep={sweep} />
    </Page>
  )
}

function Best({ sweep }: { sweep: Sweep }) {
  const best = bestOf(sweep)
  if (!best?.run) return null
  const isOver = !sweep.tries.some((one) => one.run?.state.is_active)
  return (
    <Note tone={isOver ? 'good' : 'info'} actions={isOver && <LinkButton isSmall to={`/train?clone=${best.run.id}`}>Train with its recipe</LinkButton>}>
      {isOver ? 'Best: ' : 'Best so far: '}
      <Link to={`/runs/${best.run.id}`} className="text-accent hover:underline">
        <bdi>{best.run.name}</bdi>
      </Link>
      , held-out loss {loss(best.run.best_loss)}, with {best.fields.map((field) => `${field.name} ${field.value}`).join(', ')}.
    </Note>
  )
}

function Group({ sweep }: { sweep: Sweep }) {
  const names = fieldNames(sweep)
  const best = bestOf(sweep)
  const isCut = sweep.total > sweep.tries.length
  return (
    <div>
      <div tabIndex={0} role="region" aria-label="Runs of the sweep, table" className="overflow-x-auto">
        <table aria-label="Runs of the sweep" className="tabular w-full text-left">
          <thead>
            <tr className="h-row border-b text-small text-quiet">
              <th scope="col" className="pr-4 font-medium">Run</th>
              {names.map((name) => (
                <th key={name} scope="col" className="pr-4 font-mono font-normal">{name}</th>
              ))}
              <th scope="col" className="pr-4 font-medium">State</th>
              {hasRungs(sweep) && <th scope="col" className="pr-4 font-medium">Reached</th>}
              <th scope="col" className="pr-4 font-medium">Best loss</th>
              <th scope="col" className="font-medium max-md:hidden">Curve</th>
            </tr>
          </thead>
          <tbody>
            {sweep.tries.map((one, index) => (
              <Row key={one.run?.id ?? index} index={index} one={one} names={names} hasRung={hasRungs(sweep)} isBest={one === best} />
            ))}
          </tbody>
        </table>
      </div>
      {isCut && <p className="mt-3 text-quiet">{plural(sweep.total, 'combination', 'combinations')} in all; the limit took {count(sweep.tries.length)} of them.</p>}
    </div>
  )
}

function Row({ index, one, names, hasRung, isBest }: { index: number; one: SweepTry; names: string[]; hasRung: boolean; isBest: boolean }) {
  const { run } = one
  return (
    <tr className="h-12 border-b">
      <th scope="row" className="pr-4 font-medium">
        {run ? (
          <Link to={`/runs/${run.id}`} title={run.name} className="touchable hover:underline">
            <bdi>{middleCut(run.name, 28)}</bdi>
          </Link>
        ) : (
          <span className="text-quiet">{index + 1}, deleted</span>
        )}
      </th>
      {names.map((name) => (
        <td key={name} className="pr-4">
          <bdi>{one.fields.find((field) => field.name === name)?.value ?? '–'}</bdi>
        </td>
      ))}
      <td className="pr-4">
        {run && <StateBadge state={{ ...run.state, text: run.state.name.replaceAll('_', ' ') }} />}
        {run?.state.is_active && run.total_steps > 0 && (
          <div className="mt-1 w-24">
            <Progress share={run.step / run.total_steps} label={`Progress of ${run.name}`} />
          </div>
        )}
      </td>
      {hasRung && <td className="pr-4 text-quiet">{RUNGS[one.rung] ?? '–'}</td>}
      <td className="pr-4">
        {loss(run?.best_loss)}
        {isBest && <span className="ml-2 text-small text-good">best</span>}
      </td>
      <td className="max-md:hidden">{run && <Sparkline values={run.curve} width={88} height={22} />}</td>
    </tr>
  )
}
