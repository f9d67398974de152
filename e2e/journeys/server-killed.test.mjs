// The server is killed while a run goes on: the page says so, keeps what it shows, and is whole again with it.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Window } from '../support/browser.mjs'
import { long, reached, row } from '../support/runs.mjs'
import { Studio, until, wait } from '../support/studio.mjs'

test('the server dies in the middle of a run', async (t) => {
  const studio = await Studio.open(t)
  const id = await long(studio, 'outlives the server')
  await reached(studio, id, 15)
  const window = await Window.open(t, studio)
  const { page } = window
  await window.go(`/runs/${id}`)
  const pause = page.getByRole('button', { name: 'Pause' })
  await pause.waitFor()
  assert.ok(await pause.isEnabled())
  const before = await row(studio, id)

  await studio.kill()
  const banner = page.getByText(/The server does not answer; what you see is from before/)
  await banner.waitFor()
  assert.ok(await pause.isDisabled(), 'controls are off while nobody listens')
  assert.equal(await page.getByRole('slider', { name: /^Loss.*cursor/ }).isVisible(), true, 'the curves stay')
  await page.getByText('outlives the server').first().waitFor()
  await window.audit('a page without its server')
  // Nobody trains through the server, so nobody stops with it.
  await wait(3_000)

  await studio.start()
  await banner.waitFor({ state: 'detached' })
  const after = await reached(studio, id, before.step + 5)
  assert.equal(after.state.name, before.state.name)
  assert.equal((await studio.get(`runs/${id}`)).row.id, id)
  await until('controls that work again', () => pause.isEnabled())
  const { series } = await studio.get(`runs/${id}/metrics?names=loss&points=10000`)
  const { step } = series.find(({ name }) => name === 'loss')
  assert.deepEqual(step, [...new Set(step)], 'no point twice')

  await pause.click()
  await page.getByRole('button', { name: 'Go on' }).waitFor()
  await until('a paused run', async () => (await row(studio, id)).state.name === 'paused')
  await page.getByRole('button', { name: 'Go on' }).click()
  await until('a run that goes on', async () => (await row(studio, id)).state.name !== 'paused')
  window.checkQuiet()
})
