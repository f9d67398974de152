// What happened, event by event; kinds this page does not know are shown as they stand.
import { useState } from 'react'
import { useQuery } from '@tanstack/react-query'
import { eventsQuery } from '@/api/queries'
import type { RunEvent } from '@/api/types'
import { Empty } from '@/components/bits'
import { SearchBox } from '@/components/fields'
import { Skeleton } from '@/components/skeleton'
import { TimeAgo } from '@/components/time-ago'
import { count, significant } from '@/lib/format'

export function LogTab({ id }: { id: string }) {
  const { data } = useQuery(eventsQuery(id))
  const [text, setText] = useState('')
  if (!data) return <Skeleton className="h-8" lines={6} />
  const events = data.items.filter((event) => event.kind !== 'step_finished' && `${event.kind} ${fieldsText(event.fields)}`.toLowerCase().includes(text.toLowerCase()))
  return (
    <section aria-label="Log">
      <SearchBox label="Search the log" value={text} onChange={(event) => setText(event.target.value)} className="mb-3 max-w-sm" />
      {events.length === 0 && <Empty title="Nothing in the log fits" />}
      <ol className="border-t">
        {[...events].reverse().map((event) => (
          <Line key={event.seq} event={event} />
        ))}
      </ol>
    </section>
  )
}

function Line({ event }: { event: RunEvent }) {
  return (
    <li className="tabular grid min-h-10 items-baseline gap-x-4 border-b py-2 md:grid-cols-[7rem_5rem_12rem_1fr]">
      <span className="text-quiet">
        <TimeAgo at={event.at} />
      </span>
      <span className="text-quiet">step {count(event.step)}</span>
      <span className={event.kind === 'run_failed' ? 'text-bad' : undefined}>{event.kind.replaceAll('_', ' ')}</span>
      <span dir="auto" className="min-w-0 text-quiet wrap-anywhere">
        {fieldsText(event.fields)}
      </span>
    </li>
  )
}

/** Fields as `name value`, nested ones as JSON. */
export function fieldsText(fields: unknown): string {
  if (typeof fields !== 'object' || fields === null) return ''
  return Object.entries(fields)
    .map(([name, value]) => `${name.replaceAll('_', ' ')} ${typeof value === 'number' ? significant(value) : typeof value === 'object' ? JSON.stringify(value) : String(value)}`)
    .join(' · ')
}
