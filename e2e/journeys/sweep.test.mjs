// A sweep: values for two fields, what would run said before Start, a queued group, and its own page.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Window } from '../support/browser.mjs'
import { Studio, until } from '../support/studio.mjs'

test('a sweep', async (t) => {
  const studio = await Studio.open(t)
  const window = await Window.open(t, studio)
  const { page } = window
  const [{ reference }] = await studio.get('data')
  await window.go(`/train?model=starter&data=${encodeURIComponent(reference)}&preset=tone`)
  const steps = page.getByRole('textbox', { name: /^Max steps/ })
  await steps.fill('12')
  await steps.blur()
  await page.getByRole('button', { name: 'Sweep' }).click()
  const dialog = page.getByRole('dialog', { name: 'Sweep' })
  await dialog.waitFor()
  await window.audit('the form of a sweep')

  // A list and a range; more than the limit is said, not queued.
  await dialog.getByRole('textbox', { name: 'Values of learning_rate' }).fill('1e-4, 5e-4')
  await dialog.getByRole('button', { name: 'Field', exact: true }).click()
  await dialog.getByRole('combobox', { name: 'Kind of values of lora.rank' }).selectOption('range')
  for (const [name, value] of [['lora.rank from', '4'], ['lora.rank to', '8'], ['Values of the range of lora.rank', '2']]) {
    await dialog.getByRole('textbox', { name }).fill(value)
    await dialog.getByRole('textbox', { name }).blur()
  }
  await dialog.getByText('4 runs, in this order').waitFor()
  await dialog.getByRole('textbox', { name: 'Most runs' }).fill('3')
  await dialog.getByRole('textbox', { name: 'Most runs' }).blur()
  await dialog.getByText('3 runs of 4, in this order').waitFor()
  await dialog.getByRole('combobox', { name: 'Order' }).selectOption('random')
  await dialog.getByRole('textbox', { name: 'Seed' }).waitFor()
  await dialog.getByRole('combobox', { name: 'Order' }).selectOption('grid')
  const rungs = dialog.getByRole('checkbox', { name: /worse half/ })
  assert.equal(await rungs.isChecked(), true)
  await rungs.uncheck()
  // Nothing began by looking.
  assert.equal((await studio.get('runs')).of, 0)
  await dialog.getByRole('button', { name: 'Queue 3 runs' }).click()

  await page.waitForURL(/\/sweeps\/[^/]+$/)
  const id = new URL(page.url()).pathname.split('/').at(-1)
  const group = page.getByRole('table', { name: 'Runs of the sweep' })
  await group.waitFor()
  assert.equal(await group.locator('tbody tr').count(), 3)
  await window.audit('a sweep that runs')
  const tries = await until(
    'three finished runs',
    async () => {
      const sweep = await studio.get(`sweeps/${id}`)
      return sweep.tries.every(({ run }) => run?.state.name === 'finished') && sweep.tries
    },
    { within: 180_000, every: 500 },
  )
  await until('three ticks', async () => (await group.getByText('finished', { exact: false }).count()) === 3)
  const best = tries.toSorted((a, b) => a.run.best_loss - b.run.best_loss)[0]
  await page.getByText(/Best: /).getByRole('link', { name: best.run.name }).waitFor()
  await page.getByRole('link', { name: 'Compare all' }).click()
  await page.waitForURL(/\/runs\/compare\?/)
  await window.audit('the sweep compared')
  await page.getByRole('link', { name: 'Table', exact: true }).click()
  await page.getByRole('rowheader', { name: 'learning_rate', exact: true }).waitFor()
  window.checkQuiet()
})
