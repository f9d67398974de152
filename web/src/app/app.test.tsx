// The whole page over the mock: the server goes away and comes back, a key is asked for, two tabs meet.
import { fireEvent, render, screen, waitFor } from '@testing-library/react'
import { beforeEach, expect, test } from 'vitest'
import { setReached } from '@/api/reach'
import { setTransport } from '@/live/live'
import { fetchOf, transportOf } from '@/testing/mock/install'
import { MockServer, type MockOptions } from '@/testing/mock/server'
import { App } from './app'

beforeEach(() => {
  localStorage.clear()
  setReached(true)
})

function open(at: string, options: MockOptions = {}): MockServer {
  const server = new MockServer(options)
  globalThis.fetch = fetchOf(server)
  setTransport(() => Promise.resolve(transportOf(server)))
  history.replaceState(null, '', at)
  render(<App />)
  return server
}

const LONG = { timeout: 8000 }

test('a server that goes away is said, controls are off, and the page comes back with it', async () => {
  const server = open('/')
  const pause = await screen.findByRole('button', { name: 'Pause' }, LONG)
  globalThis.fetch = () => Promise.reject(new TypeError('no network'))
  fireEvent.click(pause)
  expect(await screen.findByText(/The server does not answer; what you see is from before/)).toBeTruthy()
  expect((screen.getByRole('button', { name: 'Pause' }) as HTMLButtonElement).disabled).toBe(true)
  expect(screen.getByText('tone-of-voice-3')).toBeTruthy()
  globalThis.fetch = fetchOf(server)
  await waitFor(() => expect(screen.queryByText(/what you see is from before/)).toBeNull(), LONG)
}, 20_000)

test('a key opens a server that needs one', async () => {
  open('/', { needsKey: true })
  const field = await screen.findByLabelText('Key', {}, LONG)
  fireEvent.change(field, { target: { value: 'wrong' } })
  fireEvent.click(screen.getByRole('button', { name: 'Open' }))
  expect(await screen.findByText(/This key does not open this server/)).toBeTruthy()
  fireEvent.change(field, { target: { value: 'open' } })
  fireEvent.click(screen.getByRole('button', { name: 'Open' }))
  expect(await screen.findByText(/1 run is training/, {}, LONG)).toBeTruthy()
  expect(screen.getByText(/This connection is not encrypted/)).toBeTruthy()
}, 20_000)

test('two tabs: the second to rename sees both names and decides', async () => {
  const server = open('/runs/run-4')
  fireEvent.click(await screen.findByRole('button', { name: /tone-of-voice-2/ }, LONG))
  const run = server.runs.find((one) => one.row.id === 'run-4')!
  run.row = { ...run.row, name: 'theirs' }
  run.etag = 7
  const box = screen.getByRole('textbox', { name: 'Name of the run' })
  fireEvent.change(box, { target: { value: 'mine' } })
  fireEvent.keyDown(box, { key: 'Enter' })
  expect(await screen.findByText(/Somebody else changed this meanwhile/)).toBeTruthy()
  expect(await screen.findByText('theirs', { selector: 'bdi' })).toBeTruthy()
  fireEvent.click(screen.getByRole('button', { name: 'Save mine' }))
  await waitFor(() => expect(run.row.name).toBe('mine'))
  await waitFor(() => expect(screen.queryByText(/changed this meanwhile/)).toBeNull())
}, 20_000)

test('an address that leads nowhere says so', async () => {
  open('/runs/run-999')
  expect(await screen.findByText('There is no such run.', {}, LONG)).toBeTruthy()
}, 20_000)
