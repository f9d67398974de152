// The list on a phone: one card a run.
import { Link } from 'react-router'
import type { RunRow } from '@/api/types'
import { Button } from '@/components/button'
import { Progress } from '@/components/bits'
import { StateBadge } from '@/components/state-badge'
import { TimeAgo } from '@/components/time-ago'
import { loss, middleCut } from '@/lib/format'

export function RunCards({ rows, hasMore, onMore }: { rows: RunRow[]; hasMore: boolean; onMore: () => void }) {
  return (
    <>
      <ul className="flex flex-col border-t">
        {rows.map((row) => (
          <li key={row.id} className="border-b">
            <Link to={`/runs/${row.id}`} className="flex flex-col gap-1 py-3">
              <span className="truncate font-medium" title={row.name}>
                <bdi>{middleCut(row.name, 34)}</bdi>
              </span>
              <span className="tabular flex flex-wrap items-center gap-x-3 text-small text-quiet">
                <StateBadge state={{ ...row.state, text: row.state.name.replaceAll('_', ' ') }} />
                {row.best_loss ? <span>best {loss(row.best_loss)}</span> : null}
                <TimeAgo at={row.created_at} />
              </span>
              {row.failure && <span className="text-small text-quiet">{row.failure}</span>}
              {row.state.is_active && row.total_steps > 0 && <Progress share={row.step / row.total_steps} label={`Progress of ${row.name}`} />}
            </Link>
          </li>
        ))}
      </ul>
      {hasMore && <Button onClick={onMore}>More</Button>}
    </>
  )
}
