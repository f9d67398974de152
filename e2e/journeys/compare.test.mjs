// Two runs beside one another: chosen in the list, overlaid, told apart by what differs.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Window } from '../support/browser.mjs'
import { ended, short } from '../support/runs.mjs'
import { Studio } from '../support/studio.mjs'

test('comparing two runs', async (t) => {
  const studio = await Studio.open(t)
  const slow = await short(studio, 'slow learner', { learning_rate: '0.0001' })
  const quick = await short(studio, 'quick learner', { learning_rate: '0.001', 'lora.rank': '8' })
  for (const id of [slow, quick]) assert.equal((await ended(studio, id)).state.name, 'finished')

  const window = await Window.open(t, studio)
  const { page } = window
  await window.go('/runs')
  await page.getByRole('checkbox', { name: 'Choose slow learner' }).check()
  await page.getByRole('checkbox', { name: 'Choose quick learner' }).check()
  await window.audit('runs with two chosen')
  await page.getByRole('button', { name: 'Compare' }).click()
  await page.waitForURL(/\/runs\/compare\?/)

  const table = page.getByRole('region', { name: 'Table of differences' })
  await table.waitFor()
  for (const [field, here, there] of [
    ['learning_rate', /0\.0001|1e-4/, /0\.001|1e-3/],
    ['lora.rank', /16/, /8/],
  ]) {
    const line = table.getByRole('row').filter({ has: page.getByRole('rowheader', { name: field, exact: true }) })
    const text = await line.innerText()
    assert.match(text, here)
    assert.match(text, there)
  }
  await table.getByRole('rowheader', { name: 'best eval loss' }).waitFor()
  await page.getByRole('slider', { name: /^Held-out loss.*cursor/ }).waitFor()
  await window.audit('compare')

  await page.getByRole('button', { name: 'Pin quick learner' }).click()
  await table.getByRole('columnheader', { name: /quick learner.*pinned/ }).waitFor()
  for (const view of ['Parallel', 'Scatter', 'Table']) {
    await page.getByRole('link', { name: view, exact: true }).click()
    await window.settled()
    await window.audit(`compare as ${view}`)
  }
  // The address holds all of it.
  await page.reload()
  await table.getByRole('columnheader', { name: /quick learner.*pinned/ }).waitFor()
  assert.match(page.url(), /view=table/)
  assert.match(page.url(), /pin=/)

  await page.getByRole('searchbox', { name: 'Show only' }).fill('slow')
  await page.getByText('2 runs, 1 shown').waitFor()
  window.checkQuiet()
})
