// Reloaded in the middle: the curve has no hole, and goes on.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Window } from '../support/browser.mjs'
import { long, reached, row } from '../support/runs.mjs'
import { Studio, until } from '../support/studio.mjs'

/** The steps that the loss chart shows as its table. */
async function steps(page) {
  const chart = page.getByRole('slider', { name: /^Loss.*cursor/ })
  if (await chart.isVisible()) {
    await chart.focus()
    await page.keyboard.press('t')
  }
  const table = page.getByRole('region', { name: 'Loss as a table' })
  await table.waitFor()
  const shown = await table.locator('tbody tr').allInnerTexts()
  return shown.map((line) => Number(line.split(/\s+/)[0].replace(/\D/g, ''))).filter(Number.isFinite)
}

const step = async (page) => Number(/step ([\d,]+)/.exec(await page.locator('header').first().innerText())?.[1].replaceAll(',', '') ?? 0)

test('a reload in the middle of a run', async (t) => {
  const studio = await Studio.open(t)
  const id = await long(studio, 'reloaded')
  const window = await Window.open(t, studio)
  const { page } = window
  await reached(studio, id, 20)
  await window.go(`/runs/${id}`)
  await until('a step that moves by itself', async () => (await step(page)) > 25)
  const before = await step(page)
  await page.reload()
  await until('the run after the reload', async () => (await step(page)) >= before)
  await until('a step that moves again', async () => (await step(page)) > before + 5)

  const shown = await steps(page)
  const sorted = [...new Set(shown)].sort((a, b) => a - b)
  assert.equal(sorted.length, shown.length, 'no step twice')
  assert.ok(sorted.at(-1) >= before, `the table ends at ${sorted.at(-1)}, the run was at ${before}`)
  // What the log holds is what the page was given, point by point, as long as nothing is thinned.
  const { series } = await studio.get(`runs/${id}/metrics?names=loss&points=10000`)
  const all = series.find(({ name }) => name === 'loss')
  if (all.bin === 1) assert.deepEqual(all.step, Array.from({ length: all.step.length }, (_, index) => all.step[0] + index))
  assert.ok((await row(studio, id)).state.is_active)

  // Another tab on the same run hears the same.
  const other = await window.go(`/runs/${id}`, await window.context.newPage())
  await until('both tabs at the same step', async () => Math.abs((await step(page)) - (await step(other))) < 30)
  window.checkQuiet()
})
