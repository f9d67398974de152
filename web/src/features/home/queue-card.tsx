// Runs that wait for the device, in order; the order can be changed and the queue held.
import { useQuery } from '@tanstack/react-query'
import { Link } from 'react-router'
import { useQueueChange } from '@/api/actions'
import { queueQuery } from '@/api/queries'
import type { RunRow } from '@/api/types'
import { IconButton } from '@/components/button'
import { Card } from '@/components/bits'
import { middleCut } from '@/lib/format'

export function QueueCard({ runs }: { runs: RunRow[] }) {
  const { data: queue } = useQuery(queueQuery())
  const change = useQueueChange(queue?.etag)
  const ids = runs.map((run) => run.id)
  const swap = (index: number) => {
    const order = [...ids]
    ;[order[index - 1], order[index]] = [order[index]!, order[index - 1]!]
    change.mutate({ order })
  }
  return (
    <Card>
      <div className="flex items-center">
        <h2 className="grow font-medium">Queue</h2>
        {runs.length > 0 && (
          <IconButton icon={queue?.is_paused ? 'play' : 'pause'} label={queue?.is_paused ? 'Let the queue go on' : 'Hold the queue'} onClick={() => change.mutate({ is_paused: !queue?.is_paused })} />
        )}
      </div>
      {queue?.is_paused && <p className="text-warn">Held: nothing new begins.</p>}
      {runs.length === 0 && <p className="mt-1 text-quiet">Nothing waits.</p>}
      <ol>
        {runs.map((run, index) => (
          <li key={run.id} className="flex h-row items-center gap-2">
            <span className="tabular w-4 text-quiet">{index + 1}</span>
            <Link to={`/runs/${run.id}`} dir="auto" title={run.name} className="touchable min-w-0 grow truncate hover:underline">
              {middleCut(run.name, 28)}
            </Link>
            {index > 0 && <IconButton icon="up" label={`Move ${run.name} up`} onClick={() => swap(index)} />}
          </li>
        ))}
      </ol>
    </Card>
  )
}
