// Without a mouse: from the first page to a started run, its cursor and table, and its end.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Window } from '../support/browser.mjs'
import { row } from '../support/runs.mjs'
import { Studio, until } from '../support/studio.mjs'

test('by keyboard alone', async (t) => {
  const studio = await Studio.open(t)
  const window = await Window.open(t, studio)
  const { page } = window
  const { keyboard } = page
  /** Tabs until something of that name has the focus. */
  const tabTo = (name, most = 80) =>
    until(`a way to ${name} by Tab`, async () => {
      for (let presses = 0; presses < most; presses += 1) {
        await keyboard.press('Tab')
        if (name.test(await window.focused())) return true
      }
      return assert.fail(`Tab does not reach ${name}`)
    })
  const address = (what) => page.waitForURL(what)

  await window.go('/')
  await page.getByRole('heading', { name: 'Teach a small model with our sample' }).waitFor()
  await keyboard.press('Tab')
  assert.match(await window.focused(), /Skip to the content/)
  await keyboard.press('Enter')
  await tabTo(/^Start$/)
  await keyboard.press('Enter')
  await address(/\/train$/)
  await page.getByText(/\d+ steps/).first().waitFor()
  const outline = await page.evaluate(() => {
    document.querySelector('main button')?.focus()
    return getComputedStyle(document.activeElement).outlineStyle
  })
  assert.notEqual(outline, 'none', 'where the focus is can be seen')

  // A value by keys, its dot back to the default, then Start.
  await tabTo(/^Epochs, passes$/)
  await keyboard.type('50')
  await keyboard.press('Enter')
  await tabTo(/^Changed\. Reset to/, 3)
  await tabTo(/^Start$/, 120)
  await keyboard.press('Enter')
  await address(/\/runs\/[^/]+$/)
  const id = new URL(page.url()).pathname.split('/').at(-1)

  // The chart's cursor, and its table.
  await until('a curve', async () => (await row(studio, id)).step > 5, { within: 60_000 })
  const chart = page.getByRole('slider', { name: /^Loss.*cursor/ })
  await chart.waitFor()
  await tabTo(/^Loss.*cursor/)
  await keyboard.press('ArrowLeft')
  await until('the cursor said aloud', async () => /step .*train/.test((await chart.getAttribute('aria-valuetext')) ?? ''))
  await keyboard.press('t')
  await page.getByRole('region', { name: 'Loss as a table' }).waitFor()
  assert.equal(await window.focused(), 'Loss as a table', 'the focus goes along')

  // The guide opens and gives the focus back.
  const before = await window.focused()
  await keyboard.press('?')
  await page.getByRole('dialog').waitFor()
  await window.audit('the guide')
  await keyboard.press('Escape')
  await page.getByRole('dialog').waitFor({ state: 'detached' })
  assert.equal(await window.focused(), before)

  // Stopped through the menu.
  await page.locator('#content').focus()
  await tabTo(/^Stop$/)
  await keyboard.press('Enter')
  await page.getByRole('menuitem', { name: /^Stop and save/ }).waitFor()
  await keyboard.press('Enter')
  await until('a run that stopped', async () => (await row(studio, id)).state.name === 'stopped', { within: 60_000 })
  await page.getByText('stopped').first().waitFor()

  // Letters go to the other pages.
  for (const [letter, path] of [['r', /\/runs$/], ['s', /\/system$/], ['t', /\/train$/], ['h', /:\d+\/$/]]) {
    await page.locator('body').press('g')
    await page.locator('body').press(letter)
    await address(path)
  }
  window.checkQuiet()
})
