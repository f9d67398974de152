// Pictures of every page of the real studio: light, dark and on a phone, with one run and with many. They are made to be
// looked at; the tool itself fails only on errors in the console and on what is wider than its window.
//   node e2e/shots.mjs OUT [--runs 10000] [--only home,run] [--looks light,dark,phone]
import assert from 'node:assert/strict'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { launch, LOOKS, Window } from './support/browser.mjs'
import { multiply } from './support/many.mjs'
import { pages } from './support/pages.mjs'
import { ended, long, reached, short } from './support/runs.mjs'
import { Studio, until } from './support/studio.mjs'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { runs: { type: 'string', default: '10000' }, only: { type: 'string' }, looks: { type: 'string', default: 'light,dark,phone' } },
})
const out = positionals[0] ?? 'shots'
const many = Number(values.runs)
const isWanted = (name) => !values.only || values.only.split(',').includes(name)
mkdirSync(out, { recursive: true })

/** What is opened here ends with the script, in the reverse order. */
const endings = []
const t = { after: (end) => endings.unshift(end) }
try {
  const browser = await launch(t)
  const shoot = async (studio, shown, suffix) => {
    for (const look of values.looks.split(',')) {
      const window = await Window.open(t, studio, LOOKS[look], { browser, allow: /there-is-no-such/ })
      for (const [name, path] of Object.entries(shown)) {
        if (!isWanted(name)) continue
        await window.go(path)
        await window.settled()
        // Curves are drawn, fonts are there.
        await window.page.evaluate(() => document.fonts.ready.then(() => new Promise((done) => setTimeout(done, 600))))
        await window.page.screenshot({ path: join(out, `${name}${suffix}-${look}.png`) })
      }
      window.checkQuiet()
      await window.context.close()
    }
  }

  const first = await Studio.open(t)
  await shoot(first, { 'home-first': '/', train: pages({}).train, 'train-scratch': pages({})['train-scratch'] }, '')

  const studio = await Studio.open(t, { flags: ['--require-key'] })
  await shoot(studio, { login: '/' }, '')
  await studio.close()

  const done = await short(first, 'tone-of-voice-1', { max_steps: '240', eval_steps: '20', patience: '0' })
  await ended(first, done)
  const other = await short(first, 'tone-of-voice-2', { learning_rate: '0.001', max_steps: '240', eval_steps: '20', patience: '0' })
  await ended(first, other)
  const live = await long(first, 'tone-of-voice-3', { eval_steps: '40', sample_tokens: '0' })
  await reached(first, live, 130)
  const shown = pages({ live, done, other })
  delete shown.train
  delete shown['train-scratch']
  await shoot(first, shown, '')

  if (many > 0 && ['home', 'runs', 'compare-many'].some(isWanted)) {
    multiply((await first.get(`runs/${other}`)).folder, many)
    await until(`${many} runs in the list`, async () => (await first.get('runs?limit=1')).of >= many, { within: 300_000, every: 1000 })
    const { items } = await first.get('runs?limit=20&sort=best_loss&order=asc')
    assert.ok(items.length > 1)
    await shoot(first, { home: '/', runs: '/runs', 'compare-many': `/runs/compare?runs=${items.map(({ id }) => id).join(',')}` }, `-${many}`)
  }
} finally {
  for (const end of endings) await end()
}
console.log(`pictures in ${out}`)
