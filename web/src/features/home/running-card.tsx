// A run that is at work, with its curve, how far it is, and what can be done at once.
import { Link } from 'react-router'
import { useRunCommand } from '@/api/actions'
import { useReached } from '@/api/reach'
import type { RunRow } from '@/api/types'
import { Button, LinkButton } from '@/components/button'
import { Card, Progress } from '@/components/bits'
import { Sparkline } from '@/components/sparkline'
import { StateBadge } from '@/components/state-badge'
import { count, duration, loss, middleCut, percent } from '@/lib/format'

export function RunningCard({ run }: { run: RunRow }) {
  const command = useRunCommand(run.id)
  const isReached = useReached()
  const share = run.total_steps > 0 ? run.step / run.total_steps : null
  const isPaused = run.state.name === 'paused'
  return (
    <Card>
      <div className="flex items-center gap-3">
        <h2 className="min-w-0 grow truncate font-medium" dir="auto" title={run.name}>
          <Link to={`/runs/${run.id}`} className="hover:underline">
            {middleCut(run.name)}
          </Link>
        </h2>
        <StateBadge state={run.state} isStale={!isReached} />
      </div>
      <div className="mt-3 flex items-end gap-6">
        <Sparkline values={run.curve} width={240} height={48} className="min-w-0 shrink" />
        <dl className="tabular flex flex-wrap gap-x-6 gap-y-1">
          <Value label="Loss">{loss(run.train_loss)}</Value>
          <Value label="Best held-out">
            {loss(run.best_loss)}
            {run.best_step !== null && run.best_step !== undefined && <span className="text-quiet"> at {count(run.best_step)}</span>}
          </Value>
        </dl>
      </div>
      <div className="mt-4">
        <Progress share={share} label={`Progress of ${run.name}`} />
        <p className="tabular mt-2 flex flex-wrap gap-x-4 text-quiet">
          <span className="text-ink">{percent(share)}</span>
          <span>
            step {count(run.step)} of {count(run.total_steps)}
          </span>
          <span>{count(run.tokens_per_second)} tokens/s</span>
          {run.left_ms ? <span>{duration(run.left_ms)} left</span> : null}
        </p>
      </div>
      <div className="mt-3 flex flex-wrap gap-2">
        <LinkButton to={`/runs/${run.id}`} isSmall>
          Open
        </LinkButton>
        <Button isSmall look="plain" icon={isPaused ? 'play' : 'pause'} disabled={!isReached || command.isPending} onClick={() => command.mutate({ action: isPaused ? 'unpause' : 'pause' })}>
          {isPaused ? 'Go on' : 'Pause'}
        </Button>
        <Button isSmall look="plain" icon="save" disabled={!isReached || command.isPending} onClick={() => command.mutate({ action: 'save_now' })}>
          Save now
        </Button>
      </div>
    </Card>
  )
}

function Value({ label, children }: { label: string; children: React.ReactNode }) {
  return (
    <div>
      <dt className="text-small text-quiet">{label}</dt>
      <dd className="text-lead">{children}</dd>
    </div>
  )
}
