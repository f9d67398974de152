// Rooms: what is applied, dropped, read again or fetched, as cases; and a reconnect end to end over a fake transport.
import { expect, test, vi } from 'vitest'
import { Connection, type Transport } from './connection'
import { newRoom, onGap, onJoined, onMessage } from './room'

test.each([
  ['the next number is applied', newRoom(5, 'a'), 6, 'a', { kind: 'apply' }, 6],
  ['a number twice is dropped', newRoom(5, 'a'), 5, 'a', { kind: 'drop' }, 5],
  ['a jump is a gap, then applied', newRoom(5, 'a'), 9, 'a', { kind: 'apply_after_gap', from: 6, to: 8 }, 9],
  ['another life means reading again', newRoom(5, 'a'), 1, 'b', { kind: 'reload' }, 1],
  ['rooms of runs have no life', newRoom(5, null), 6, null, { kind: 'apply' }, 6],
  ['the first number of an unread room', newRoom(null, null), 9, null, { kind: 'apply' }, 9],
])('%s', (_, state, seq, epoch, effect, after) => {
  const [next, found] = onMessage(state, seq, epoch)
  expect(found).toEqual(effect)
  expect(next.after).toBe(after)
})

test('a gap moves on to its end, once', () => {
  const [state, effect] = onGap(newRoom(5, null), [6, 400])
  expect(effect).toEqual({ kind: 'gap', from: 6, to: 400 })
  expect(onGap(state, [6, 400])[1]).toEqual({ kind: 'drop' })
})

test('a join answered by another life reads again', () => {
  expect(onJoined(newRoom(900, 'a'), { seq: 3, epoch: 'b', reload: false })[1]).toEqual({ kind: 'reload' })
  expect(onJoined(newRoom(2, 'a'), { seq: 3, epoch: 'a', reload: false })[1]).toEqual({ kind: 'drop' })
})

test('a join that nobody answers is asked again, an answered one is not', async () => {
  vi.useFakeTimers()
  const listeners = new Map<string, (body: never) => void>()
  const sent: unknown[] = []
  const connection = new Connection(() => Promise.resolve({ emit: (_, body) => sent.push(body), on: (event, listen) => listeners.set(event, listen) }))
  const leave = connection.join('runs', 4, 'a', { onMessage: vi.fn(), onReload: vi.fn() })
  await vi.advanceTimersByTimeAsync(0)
  listeners.get('connect')!(undefined as never)
  await vi.advanceTimersByTimeAsync(7_000)
  expect(sent).toHaveLength(3)
  listeners.get('joined')!({ room: 'runs', seq: 4, epoch: 'a', reload: false, problem: '' } as never)
  await vi.advanceTimersByTimeAsync(60_000)
  expect(sent).toHaveLength(3)
  leave()
  vi.useRealTimers()
})

test('after a reconnect a room is joined from the last number heard', async () => {
  const listeners = new Map<string, (body: never) => void>()
  const sent: [string, unknown][] = []
  const transport: Transport = { emit: (event, body) => sent.push([event, body]), on: (event, listen) => listeners.set(event, listen) }
  const connection = new Connection(() => Promise.resolve(transport))
  const heard = vi.fn()
  const leave = connection.join('run:r1', 10, null, { onMessage: heard, onReload: vi.fn(), onGap: vi.fn() })
  await Promise.resolve()
  await Promise.resolve()
  const fire = (event: string, body?: unknown) => listeners.get(event)!(body as never)
  fire('connect')
  fire('event', { room: 'run:r1', event: { seq: 11 } })
  fire('event', { room: 'run:r1', event: { seq: 11 } })
  fire('disconnect')
  fire('connect')
  expect(heard).toHaveBeenCalledTimes(1)
  expect(sent).toEqual([
    ['join', { room: 'run:r1', after: 10, epoch: null }],
    ['join', { room: 'run:r1', after: 11, epoch: null }],
  ])
  leave()
  expect(sent.at(-1)).toEqual(['leave', 'run:r1'])
})
