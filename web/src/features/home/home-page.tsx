// Home: what is running, what waits, what to do next; on first use a single card.
import { useState } from 'react'
import { useQuery } from '@tanstack/react-query'
import { homeQuery, settingsQuery } from '@/api/queries'
import { useSettingsChange } from '@/api/actions'
import type { HomePage as Home } from '@/api/types'
import { Page } from '@/components/page'
import { Skeleton } from '@/components/skeleton'
import { plural } from '@/lib/format'
import { FirstUse } from './first-use'
import { NextSteps } from './next-steps'
import { QueueCard } from './queue-card'
import { Recent } from './recent'
import { RunningCard } from './running-card'
import { Tour } from './tour'

export default function HomePage() {
  const { data: home } = useQuery(homeQuery())
  const settings = useQuery(settingsQuery())
  const change = useSettingsChange(settings.data?.etag)
  const [hour] = useState(() => new Date().getHours())
  return (
    <Page title={greeting(hour)} tab="Home" about={home && <p className="text-lead text-quiet">{summary(home)}</p>} command={isFirstUse(home) ? 'apertis train data=sample' : 'apertis runs'}>
      {!home && <Skeleton className="h-40" lines={2} />}
      {home && isFirstUse(home) && <FirstUse model={home.models.find((model) => !model.problem)} data={home.data.find((data) => !data.problem)} />}
      {home && !isFirstUse(home) && (
        <>
          {(home.running.length > 0 || home.queued.length > 0) && (
            <div className="grid items-start gap-4 lg:grid-cols-[minmax(0,2fr)_minmax(0,1fr)]">
              <div className="flex min-w-0 flex-col gap-4">
                {home.running.map((run) => (
                  <RunningCard key={run.id} run={run} />
                ))}
                {home.running.length === 0 && <p className="text-quiet">Nothing is running; the first waiting run begins when the device is free.</p>}
              </div>
              <QueueCard runs={home.queued} />
            </div>
          )}
          <NextSteps steps={home.next} />
          <Recent home={home} />
          <Tour steps={home.tour} onClose={() => change.mutate({ tour_closed: true })} />
        </>
      )}
    </Page>
  )
}

const isFirstUse = (home: Home | undefined): boolean => home !== undefined && home.running.length + home.queued.length + home.recent.length === 0

export function greeting(hour: number): string {
  if (hour < 5) return 'Good night.'
  if (hour < 12) return 'Good morning.'
  return hour < 18 ? 'Good afternoon.' : 'Good evening.'
}

export function summary(home: Pick<Home, 'running' | 'queued'>): string {
  const { running, queued } = home
  const training = running.filter((run) => run.state.name !== 'paused').length
  const paused = running.length - training
  const parts = [
    training > 0 ? `${plural(training, 'run is', 'runs are')} training` : '',
    paused > 0 ? `${plural(paused, 'is', 'are')} paused` : '',
    queued.length > 0 ? `${plural(queued.length, 'is', 'are')} waiting` : '',
  ].filter(Boolean)
  return parts.length > 0 ? `${parts.join(', ')}.` : 'Nothing is training.'
}
