// Puts the mock between the page and the network: fetch answers from memory, the socket is a timer.
import { setTransport } from '@/live/live'
import type { Transport } from '@/live/connection'
import { MockServer, type MockOptions } from './server'

export function fetchOf(server: MockServer, wait = 0): typeof fetch {
  return async (input, init) => {
    const request = input instanceof Request ? input : null
    const url = new URL(request?.url ?? String(input), location.origin)
    const headers = new Headers(init?.headers)
    const body = typeof init?.body === 'string' ? (JSON.parse(init.body) as unknown) : null
    if (wait) await new Promise((resolve) => setTimeout(resolve, wait))
    const answer = server.handle(init?.method ?? 'GET', url, body, headers.get('if-match'))
    return new Response(answer.status === 204 ? null : JSON.stringify(answer.body), { status: answer.status, headers: { 'content-type': 'application/json' } })
  }
}

/** A socket that hears the server's messages, for the rooms that were joined. */
export function transportOf(server: MockServer): Transport {
  const listeners = new Map<string, ((body: never) => void)[]>()
  const fire = (event: string, body: unknown) => listeners.get(event)?.forEach((listen) => listen(body as never))
  server.onMessage(fire)
  setTimeout(() => fire('connect', null))
  return {
    on: (event, listen) => void listeners.set(event, [...(listeners.get(event) ?? []), listen]),
    emit: (event, body) => {
      if (event === 'join') fire('joined', { room: (body as { room: string }).room, seq: 40, epoch: 'mock', reload: false, problem: '' })
    },
  }
}

/** Options come from the address: `?mock=runs:10000,still,key,first,slow,million`. */
export function installMock(search = location.search): void {
  const words = (new URLSearchParams(search).get('mock') ?? sessionStorage.getItem('mock') ?? '').split(',')
  sessionStorage.setItem('mock', words.join(','))
  const options: MockOptions = { needsKey: words.includes('key') }
  const many = words.find((word) => word.startsWith('runs:'))
  if (many) options.runs = Number(many.slice(5))
  if (words.includes('first')) options.runs = 0
  const server = new MockServer(options)
  // A run of a million steps, to see what drawing takes.
  if (words.includes('million')) Object.assign(server.runs[0]!.shape, { steps: 990_000, total: 1_000_000, evalEvery: 10_000 })
  globalThis.fetch = fetchOf(server, words.includes('slow') ? 2000 : 0)
  setTransport(() => Promise.resolve(transportOf(server)))
  if (!words.includes('still')) setInterval(() => server.tick(), 250)
}
