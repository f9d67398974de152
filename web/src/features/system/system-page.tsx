// System: devices, disk, settings, keys, what the doctor finds.
import { useEffect, useState } from 'react'
import { useQuery } from '@tanstack/react-query'
import { useLocation } from 'react-router'
import { failureText } from '@/api/client'
import { sessionQuery, systemQuery } from '@/api/queries'
import type { SystemMessage, SystemSample } from '@/api/types'
import { Empty, Note } from '@/components/bits'
import { Page } from '@/components/page'
import { Skeleton } from '@/components/skeleton'
import { useRoom } from '@/live/live'
import { Devices } from './devices'
import { Disk } from './disk'
import { Jobs } from './jobs'
import { Keys } from './keys'
import { Part } from './part'
import { Phone } from './phone'
import { SettingsPart } from './settings-part'

export default function SystemPage() {
  const { data: system, error } = useQuery(systemQuery())
  const { data: session } = useQuery(sessionQuery())
  const [sample, setSample] = useState<SystemSample | null>(null)
  const { hash } = useLocation()
  useRoom('system', system && session ? { after: null, epoch: session.epoch } : null, {
    onMessage: (body) => setSample((body as SystemMessage).sample),
    onReload: () => undefined,
    onGap: () => undefined,
  })
  const isThere = system !== undefined
  useEffect(() => {
    if (hash && isThere) document.getElementById(hash.slice(1))?.scrollIntoView()
  }, [hash, isThere])
  return (
    <Page
      title="System"
      tab="System"
      about={
        system && (
          <span className="text-quiet">
            {system.host} · {system.os} · Apertis {system.version}
          </span>
        )
      }
      command="apertis doctor"
    >
      {error && !system && <Empty title={failureText(error).message}>{failureText(error).hint}</Empty>}
      {!system && !error && <Skeleton className="h-32" lines={3} />}
      {system && (
        <>
          <Devices system={system} sample={sample ?? system.now} />
          <Disk disk={system.disk} />
          <SettingsPart database={system.database} />
          <Keys />
          {session && <Phone session={session} />}
          <Part id="addresses" title="Addresses">
            <ul>
              {system.addresses.map((one) => (
                <li key={one}>
                  <code>{one}</code>
                </li>
              ))}
            </ul>
            {session?.is_public !== true && (
              <p className="mt-1 max-w-prose text-quiet">
                Only this computer can reach it. To open it for others: <code>apertis serve --host 0.0.0.0</code>, and a key for each of them.
              </p>
            )}
          </Part>
          <Part id="doctor" title="What the doctor finds">
            <ul className="flex flex-col gap-3">
              {system.findings.map((finding) => (
                <li key={finding.text}>
                  <Note tone={finding.tone}>
                    {finding.text} <span className="text-quiet">{finding.meaning}</span>
                  </Note>
                </li>
              ))}
            </ul>
          </Part>
          <Jobs />
          <Part id="about" title="About">
            <p className="text-quiet">
              Apertis {system.version}, Apache-2.0. The API is described at{' '}
              <a href="/docs" className="text-accent underline">
                /docs
              </a>
              . Nothing is sent anywhere.
            </p>
          </Part>
        </>
      )}
    </Page>
  )
}
