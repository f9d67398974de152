// Every page in every look: dark, light, forced colours, 200% zoom. Nothing for axe, nothing sideways, nothing asked
// of another host; and the words of the API's own pages.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { launch, LOOKS, Window } from '../support/browser.mjs'
import { pages } from '../support/pages.mjs'
import { ended, long, reached, short } from '../support/runs.mjs'
import { Studio } from '../support/studio.mjs'

/** The page's colours, as they are painted. */
const ground = (page) =>
  page.evaluate(() => {
    const { backgroundColor } = getComputedStyle(document.documentElement)
    return backgroundColor.match(/\d+/g).slice(0, 3).map(Number)
  })

test('every page in every look', async (t) => {
  const studio = await Studio.open(t)
  const done = await short(studio, 'a first run')
  await ended(studio, done)
  const other = await short(studio, 'ein zweiter Lauf mit einem Namen, der für eine Tabelle reichlich lang ist 2026', { learning_rate: '0.001' })
  await ended(studio, other)
  const live = await long(studio, 'محادثة', { sample_tokens: '0' })
  await reached(studio, live, 10)
  const browser = await launch(t)

  for (const look of ['light', 'dark', 'zoom', 'forced']) {
    await t.test(look, async (t) => {
      const window = await Window.open(t, studio, LOOKS[look], { browser, allow: /there-is-no-such-page/ })
      for (const [name, path] of Object.entries(pages({ live, done, other }))) {
        await window.go(path)
        await window.settled()
        await window.audit(`${name}, ${look}`)
      }
      const [red, green, blue] = await ground(window.page)
      if (look === 'dark') assert.ok(Math.max(red, green, blue) < 48, 'dark is dark')
      if (look === 'light') assert.ok(Math.min(red, green, blue) > 240, 'light is light')
      window.checkQuiet()
      await window.context.close()
    })
  }

  await t.test('a theme that a person chose outlives a reload', async (t) => {
    const window = await Window.open(t, studio, LOOKS.light, { browser })
    const page = await window.go('/')
    await page.getByRole('button', { name: 'Theme' }).click()
    await page.getByRole('menuitem', { name: 'Dark' }).click()
    assert.ok(Math.max(...(await ground(page))) < 48)
    await page.reload()
    await page.locator('h1').first().waitFor()
    assert.ok(Math.max(...(await ground(page))) < 48)
    window.checkQuiet()
  })

  await t.test('the API’s own pages are ours too', async (t) => {
    const window = await Window.open(t, studio, LOOKS.light, { browser })
    const page = await window.go('/docs')
    assert.ok((await page.locator('h2, h3').count()) > 5, 'the addresses are described')
    window.checkQuiet()
  })

  await t.test('nothing moves where motion is not wanted', async (t) => {
    const window = await Window.open(t, studio, { ...LOOKS.light, reducedMotion: 'reduce' }, { browser })
    const page = await window.go(`/runs/${live}`)
    await window.settled()
    const moving = await page.evaluate(() => document.getAnimations().filter((one) => one.playState === 'running').length)
    assert.equal(moving, 0)
  })
})
