// System over the mock: cleaning up, and the code for a phone.
import { fireEvent, screen, waitFor, within } from '@testing-library/react'
import { expect, test } from 'vitest'
import type { Session } from '@/api/types'
import { SESSION, system } from '@/testing/mock/parts'
import { renderOverMock } from '@/testing/render'
import { CleanUp } from './clean-up'
import { Phone } from './phone'
import { squares } from './qr-code'

test('only what was chosen is removed', async () => {
  renderOverMock(<CleanUp disk={system().disk} />)
  const asked: unknown[] = []
  const before = globalThis.fetch
  globalThis.fetch = (input, init) => {
    if (String(input).includes('cleanup')) asked.push(JSON.parse(String(init?.body)))
    return before(input, init)
  }
  fireEvent.click(screen.getByRole('button', { name: 'Clean up 3.8 GB…' }))
  const dialog = screen.getByRole('dialog', { name: 'Clean up' })
  expect((within(dialog).getByRole('checkbox', { name: 'Runs in the trash' }) as HTMLInputElement).checked).toBe(false)
  fireEvent.click(within(dialog).getByRole('checkbox', { name: /Training state/ }))
  fireEvent.click(within(dialog).getByRole('button', { name: 'Remove 1.2 GB' }))
  await waitFor(() => expect(asked).toEqual([{ kinds: ['cache'] }]))
  await waitFor(() => expect(screen.queryByRole('dialog')).toBeNull())
})

test('a phone is let in by a code, where others can reach the server at all', async () => {
  const open: Session = { ...SESSION, is_public: true }
  const { unmount } = renderOverMock(<Phone session={SESSION} />)
  expect(screen.queryByRole('button')).toBeNull()
  unmount()
  renderOverMock(<Phone session={open} />)
  fireEvent.click(screen.getByRole('button', { name: 'Make a code' }))
  expect(await screen.findByRole('img', { name: 'Code to scan for http://192.168.1.20:8420' })).toBeTruthy()
  expect(screen.getByText('4F2C-91AC')).toBeTruthy()
  expect(screen.getByText(/5:00 left, for one device/)).toBeTruthy()
})

test('a code has its three corners and a margin', () => {
  const { size, path } = squares('http://192.168.1.20:8420/login#code=4F2C-91AC')
  const isDark = (x: number, y: number) => path.includes(`M${x} ${y}h`)
  const far = size - 5
  // The outer ring of each of the three finder patterns is dark, the fourth corner has none.
  for (const [x, y] of [[4, 4], [far, 4], [4, far]] as const) expect(isDark(x, y)).toBe(true)
  expect(Array.from({ length: 7 }, (_, at) => isDark(4 + at, 4)).every(Boolean)).toBe(true)
  expect(isDark(0, 0) || isDark(3, 3) || isDark(size - 1, size - 1)).toBe(false)
})
