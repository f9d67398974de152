// What was used last: runs, models, data; each row opens its page or begins a run with it.
import type { ReactNode } from 'react'
import { Link } from 'react-router'
import type { HomePage } from '@/api/types'
import { StateBadge } from '@/components/state-badge'
import { TimeAgo } from '@/components/time-ago'
import { bytes, count, loss, middleCut, short } from '@/lib/format'

export function Recent({ home }: { home: HomePage }) {
  return (
    <div className="grid gap-8 lg:grid-cols-3">
      <List title="Recent runs" isEmpty={home.recent.length === 0}>
        {home.recent.map((run) => (
          <Row key={run.id} to={`/runs/${run.id}`} name={run.name} note={<TimeAgo at={run.changed_at} />}>
            <span className="flex items-center gap-2">
              <StateBadge state={{ ...run.state, text: run.state.name.replaceAll('_', ' ') }} />
              {run.best_loss ? `best ${loss(run.best_loss)}` : ''}
            </span>
          </Row>
        ))}
      </List>
      <List title="Recent models" isEmpty={home.models.length === 0}>
        {home.models.map((model) => (
          <Row key={model.reference} to={`/train?model=${encodeURIComponent(model.reference)}`} name={model.name} note="Train">
            {short(model.parameters)} parameters{model.made_by ? ` · ${model.made_by}` : ''}
          </Row>
        ))}
      </List>
      <List title="Recent data" isEmpty={home.data.length === 0}>
        {home.data.map((data) => (
          <Row key={data.reference} to={`/train?data=${encodeURIComponent(data.reference)}`} name={data.version > 1 ? `${data.name} v${data.version}` : data.name} note="Train">
            {data.rows === null || data.rows === undefined ? bytes(data.bytes) : `${count(data.rows)} rows`}
            {data.format ? ` · ${data.format}` : ''}
          </Row>
        ))}
      </List>
    </div>
  )
}

function List({ title, isEmpty, children }: { title: string; isEmpty: boolean; children: ReactNode }) {
  if (isEmpty) return null
  return (
    <section className="min-w-0">
      <h2 className="mb-1 font-medium">{title}</h2>
      <ul>{children}</ul>
    </section>
  )
}

function Row({ to, name, note, children }: { to: string; name: string; note: ReactNode; children: ReactNode }) {
  return (
    <li className="border-b last:border-b-0">
      <Link to={to} className="-mx-2 flex min-h-14 items-center gap-3 rounded-control px-2 py-2 hover:bg-raised">
        <span className="min-w-0 grow">
          <span className="block truncate" title={name}>
            <bdi>{middleCut(name, 44)}</bdi>
          </span>
          <span className="block truncate text-small text-quiet">{children}</span>
        </span>
        <span className="shrink-0 text-small text-quiet">{note}</span>
      </Link>
    </li>
  )
}
