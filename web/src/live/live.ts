// The page's connection, and hooks over it.
import { useEffect, useRef, useSyncExternalStore } from 'react'
import { useQueryClient, type InfiniteData, type QueryClient } from '@tanstack/react-query'
import { setReached } from '@/api/reach'
import type { HomePage, Job, JobMessage, Page, Run, RunRow, RunsMessage } from '@/api/types'
import { Connection, type Listener, type Transport } from './connection'

/** The real transport; websocket first, polling where a proxy refuses it. */
async function openSocket(): Promise<Transport> {
  const { io } = await import('socket.io-client')
  return io({ transports: ['websocket', 'polling'], tryAllTransports: true, reconnectionDelay: 500, reconnectionDelayMax: 4000 }) as unknown as Transport
}

let connection = new Connection(openSocket)

/** For the mock and for tests: another transport, before anything joined. */
export function setTransport(open: () => Promise<Transport>): void {
  connection = new Connection(open)
}

/** Hears a room while mounted. `after` is read when joining: the REST answer that the page shows. */
export function useRoom(room: string | null, place: { after: number | null; epoch: string | null } | null, listener: Listener): void {
  const latest = useRef(listener)
  useEffect(() => {
    latest.current = listener
  })
  const start = useRef(place)
  useEffect(() => {
    start.current = place
  })
  const isReady = place !== null
  useEffect(() => {
    if (!room || !isReady || !start.current) return
    return connection.join(room, start.current.after, start.current.epoch, {
      onMessage: (body) => latest.current.onMessage(body),
      onReload: () => latest.current.onReload(),
      onGap: (from, to) => (latest.current.onGap ?? latest.current.onReload)(from, to),
    })
  }, [room, isReady])
}

export function useConnected(): boolean {
  return useSyncExternalStore(connection.watch, connection.isConnected)
}

/** Keeps every list and card of runs true while mounted. */
export function useLiveRuns(place: { seq: number; epoch: string } | undefined): void {
  const client = useQueryClient()
  useRoom('runs', place ? { after: place.seq, epoch: place.epoch } : null, {
    onMessage: (body) => {
      setReached(true)
      applyRun(client, body as RunsMessage)
    },
    onReload: () => {
      for (const key of ['home', 'runs', 'run', 'queue']) void client.invalidateQueries({ queryKey: [key] })
    },
  })
}

/** Puts a run's new row wherever the page holds it. A run that comes, goes or changes its state re-reads the lists. */
export function applyRun(client: QueryClient, { id, run }: RunsMessage): void {
  const before = client.getQueryData<Run>(['run', id])
  if (before && run) client.setQueryData<Run>(['run', id], { ...before, row: run })
  let isKnown = false
  let isOtherState = before !== undefined && run?.state.name !== before.row.state.name
  const swap = (row: RunRow): RunRow => {
    if (row.id !== id || !run) return row
    isKnown = true
    isOtherState ||= row.state.name !== run.state.name
    return run
  }
  client.setQueriesData<InfiniteData<Page<RunRow>>>({ queryKey: ['runs'] }, (data) =>
    data && { ...data, pages: data.pages.map((page) => ({ ...page, items: page.items.map(swap) })) },
  )
  client.setQueryData<HomePage>(['home'], (home) =>
    home && { ...home, running: home.running.map(swap), queued: home.queued.map(swap), recent: home.recent.map(swap) },
  )
  if (isOtherState) void client.invalidateQueries({ queryKey: ['run', id] })
  if (isOtherState || !isKnown || !run) {
    void client.invalidateQueries({ queryKey: ['home'] })
    void client.invalidateQueries({ queryKey: ['runs'] })
    void client.invalidateQueries({ queryKey: ['queue'] })
  }
}

/** Jobs as they move. */
export function useLiveJobs(place: { seq: number; epoch: string } | undefined): void {
  const client = useQueryClient()
  useRoom('jobs', place ? { after: place.seq, epoch: place.epoch } : null, {
    onMessage: (body) => {
      const { job } = body as JobMessage
      client.setQueryData<Page<Job>>(['jobs'], (page) => {
        if (!page) return page
        const isKnown = page.items.some((item) => item.id === job.id)
        return { ...page, items: isKnown ? page.items.map((item) => (item.id === job.id ? job : item)) : [job, ...page.items] }
      })
    },
    onReload: () => void client.invalidateQueries({ queryKey: ['jobs'] }),
  })
}
