// Home over the mock: what it says, and that its buttons reach the server.
import { fireEvent, screen, waitFor } from '@testing-library/react'
import { expect, test } from 'vitest'
import { renderOverMock } from '@/testing/render'
import HomePage, { greeting, summary } from './home-page'

test.each([
  [3, 'Good night.'],
  [8, 'Good morning.'],
  [13, 'Good afternoon.'],
  [21, 'Good evening.'],
])('at %i it greets with %s', (hour, expected) => expect(greeting(hour)).toBe(expected))

test('it says what trains, what waits, and nothing where nothing does', async () => {
  expect(summary({ running: [], queued: [] })).toBe('Nothing is training.')
  renderOverMock(<HomePage />)
  expect(await screen.findByText('1 run is training, 1 is paused, 2 are waiting.')).toBeTruthy()
  expect(screen.getByText('support-chats v3')).toBeTruthy()
})

test('pausing from Home pauses the run', async () => {
  const { server } = renderOverMock(<HomePage />)
  fireEvent.click(await screen.findByRole('button', { name: 'Pause' }))
  await waitFor(() => expect(server.runs[0]!.row.state.name).toBe('paused'))
})

test('an empty home is one card', async () => {
  renderOverMock(<HomePage />, { runs: 0 })
  expect(await screen.findByRole('heading', { name: 'Teach a small model with our sample' })).toBeTruthy()
  expect(screen.getByRole('link', { name: 'Start' }).getAttribute('href')).toBe('/train?model=starter&data=sample&preset=facts')
  expect(screen.queryByText('Recent runs')).toBeNull()
})
