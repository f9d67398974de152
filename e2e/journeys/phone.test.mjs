// On a phone of 360 px, behind a key: log in, watch, pause, stop. Nothing sideways, everything large enough to touch.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { launch, LOOKS, Window } from '../support/browser.mjs'
import { pages } from '../support/pages.mjs'
import { ended, long, reached, row, short } from '../support/runs.mjs'
import { Studio, until } from '../support/studio.mjs'

test('a phone', async (t) => {
  const studio = await Studio.open(t, { flags: ['--require-key'] })
  const browser = await launch(t)
  // A wrong key is refused, and the browser says so too.
  const window = await Window.open(t, studio, LOOKS.phone, { browser, allow: /401/ })
  const { page } = window
  const check = async (name) => {
    await window.settled()
    await window.audit(`${name} on a phone`)
    await window.checkTargets(`${name} on a phone`)
  }

  await page.goto(studio.url)
  const field = page.getByLabel('Key', { exact: true })
  await field.waitFor()
  await check('login')
  await field.fill('apertis_wrong')
  await page.getByRole('button', { name: 'Open' }).tap()
  await page.getByRole('alert').waitFor()
  await field.fill(studio.key)
  await page.getByRole('button', { name: 'Open' }).tap()
  await page.getByRole('navigation', { name: 'Studio' }).waitFor()
  await check('home')
  // The session is a cookie that no script reads.
  assert.equal(await page.evaluate(() => document.cookie), '')
  const [cookie] = (await window.context.cookies()).filter(({ name }) => name.startsWith('apertis'))
  assert.deepEqual([cookie.httpOnly, cookie.sameSite], [true, 'Strict'])

  const done = await short(studio, 'ended before')
  await ended(studio, done)
  const other = await short(studio, 'ended too', { learning_rate: '0.001' })
  await ended(studio, other)
  const live = await long(studio, 'watched from the sofa')
  await reached(studio, live, 5)

  await page.getByRole('link', { name: 'Runs' }).tap()
  await page.getByRole('link', { name: /watched from the sofa/ }).tap()
  await page.getByRole('slider', { name: /^Loss.*cursor/ }).waitFor()
  const step = async () => Number(/step ([\d,]+)/.exec(await page.locator('header').first().innerText())?.[1].replaceAll(',', '') ?? 0)
  const before = await step()
  await until('a curve that grows', async () => (await step()) > before + 3)
  await check('a run')

  // The right panel is a sheet.
  await page.getByRole('button', { name: 'Run', exact: true }).tap()
  const sheet = page.getByRole('dialog', { name: 'Run' })
  await sheet.waitFor()
  await check('the sheet')
  await sheet.getByRole('button', { name: 'Close' }).tap()

  await page.getByRole('button', { name: 'Pause' }).tap()
  await until('a paused run', async () => (await row(studio, live)).state.name === 'paused')
  await page.getByRole('button', { name: 'Go on' }).tap()
  await until('a run that goes on', async () => (await row(studio, live)).state.name === 'training')
  await page.getByRole('button', { name: 'Stop' }).tap()
  await page.getByRole('menuitem', { name: /^Stop and save/ }).tap()
  await until('a stopped run', async () => (await row(studio, live)).state.name === 'stopped', { within: 60_000 })
  await page.getByRole('button', { name: 'Resume' }).first().waitFor()
  await check('a stopped run')

  for (const [name, path] of Object.entries(pages({ live, done, other }))) {
    await window.go(path)
    await check(name)
  }
  window.checkQuiet()

  // A scanned code lets one device in, once.
  const { code } = await studio.send('POST', 'session/phone')
  const guest = await Window.open(t, studio, LOOKS.phone, { browser, allow: /401/ })
  await guest.page.goto(`${studio.url}/login#code=${code}`)
  await guest.page.getByRole('navigation', { name: 'Studio' }).waitFor()
  assert.doesNotMatch(guest.page.url(), /code/, 'the code does not stay in the address')
  guest.checkQuiet()
  const second = await Window.open(t, studio, LOOKS.phone, { browser, allow: /401/ })
  await second.page.goto(`${studio.url}/login#code=${code}`)
  await second.page.getByRole('alert').waitFor()

  // Another browser has no part in this session.
  const stranger = await Window.open(t, studio, LOOKS.phone, { browser })
  await stranger.page.goto(`${studio.url}/runs/${live}`)
  await stranger.page.getByLabel('Key', { exact: true }).waitFor()
  assert.equal(await stranger.page.getByText('watched from the sofa').count(), 0)
})
