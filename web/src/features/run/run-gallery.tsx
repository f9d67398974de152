// The runs that were touched last, to look at another one: opened by the card at the top of a run's panel.
import { useQuery } from '@tanstack/react-query'
import { Link } from 'react-router'
import { homeQuery } from '@/api/queries'
import type { RunRow } from '@/api/types'
import { LinkButton } from '@/components/button'
import { Dialog } from '@/components/dialog'
import { Skeleton } from '@/components/skeleton'
import { Sparkline } from '@/components/sparkline'
import { StateBadge } from '@/components/state-badge'
import { TimeAgo } from '@/components/time-ago'
import { classes } from '@/lib/class-names'
import { loss, middleCut } from '@/lib/format'

export function RunGallery({ current, onClose }: { current: string; onClose: () => void }) {
  const { data: home } = useQuery(homeQuery())
  const runs = home && [...home.running, ...home.queued, ...home.recent]
  return (
    <Dialog look="wide" title="Runs" isOpen onClose={onClose} footer={<LinkButton to="/runs">All runs</LinkButton>}>
      {!runs && <Skeleton className="h-24" lines={3} />}
      <ul className="grid gap-3 sm:grid-cols-2">
        {runs?.map((run) => (
          <li key={run.id}>
            <RunCard run={run} isCurrent={run.id === current} onClick={onClose} />
          </li>
        ))}
      </ul>
    </Dialog>
  )
}

function RunCard({ run, isCurrent, onClick }: { run: RunRow; isCurrent: boolean; onClick: () => void }) {
  return (
    <Link
      to={`/runs/${run.id}`}
      onClick={onClick}
      aria-current={isCurrent ? 'page' : undefined}
      className={classes('flex h-full flex-col gap-1 rounded-card border p-4', isCurrent ? 'border-accent bg-soft text-on-soft' : 'bg-page hover:bg-raised')}
    >
      <span className="flex items-center gap-3">
        <span className="min-w-0 grow truncate font-medium" title={run.name}>
          <bdi>{middleCut(run.name, 32)}</bdi>
        </span>
        <Sparkline values={run.curve} width={72} height={20} />
      </span>
      <span className="tabular flex flex-wrap items-center gap-x-3 text-small">
        <StateBadge state={{ ...run.state, text: run.state.name.replaceAll('_', ' ') }} />
        {run.best_loss ? <span>best {loss(run.best_loss)}</span> : null}
        <TimeAgo at={run.changed_at} />
      </span>
      <span className={classes('truncate text-small', !isCurrent && 'text-quiet')}>
        {run.method} · {run.model || 'a new model'} · <bdi>{run.data}</bdi>
      </span>
    </Link>
  )
}
