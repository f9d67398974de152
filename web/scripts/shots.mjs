// Screenshots of every page over the mock, light and dark, wide and on a phone; fails on any error the browser logs.
//   npm run shots -- OUT [page…]
import { mkdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { chromium } from 'playwright-core'
import { serve } from './serve.mjs'

const [out = 'shots', ...only] = process.argv.slice(2)
const PORT = 4399
const PAGES = [
  ['home', '/?mock=still'],
  ['home-first', '/?mock=first'],
  ['run', '/runs/run-1?mock=still'],
  ['run-finished', '/runs/run-4?mock=still'],
  ['run-failed', '/runs/run-5?mock=still'],
  ['run-samples', '/runs/run-1/samples?mock=still'],
  ['run-log', '/runs/run-1/log?mock=still'],
  ['train', '/train?mock=still&model=starter&data=support-chats&preset=tone'],
  ['train-scratch', '/train?mock=still&data=support-chats&preset=scratch'],
  ['runs', '/runs?mock=still'],
  ['runs-10000', '/runs?mock=still,runs:10000'],
  ['compare', '/runs/compare?mock=still&runs=run-1,run-4,run-6'],
  ['compare-many', `/runs/compare?mock=still,runs:40&runs=${Array.from({ length: 20 }, (_, index) => `run-${index + 10}`).join(',')}`],
  ['compare-parallel', `/runs/compare?mock=still,runs:40&view=parallel&runs=${Array.from({ length: 20 }, (_, index) => `run-${index + 10}`).join(',')}`],
  ['compare-scatter', `/runs/compare?mock=still,runs:40&view=scatter&runs=${Array.from({ length: 20 }, (_, index) => `run-${index + 10}`).join(',')}`],
  ['system', '/system?mock=still'],
  ['login', '/?mock=key'],
]

const server = await serve(fileURLToPath(new URL('../dist-mock/', import.meta.url)), PORT)
const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox'] })
mkdirSync(out, { recursive: true })
let problems = 0
for (const [name, path] of PAGES) {
  if (only.length && !only.includes(name)) continue
  for (const [look, options] of [
    ['light', { viewport: { width: 1440, height: 900 }, colorScheme: 'light' }],
    ['dark', { viewport: { width: 1440, height: 900 }, colorScheme: 'dark' }],
    ['phone', { viewport: { width: 360, height: 780 }, colorScheme: 'light', hasTouch: true, isMobile: true }],
  ]) {
    if (process.env.LOOKS && !process.env.LOOKS.includes(look)) continue
    const page = await browser.newPage(options)
    const say = (text) => {
      problems += 1
      console.log(`${name} ${look}: ${text}`)
    }
    page.on('console', (message) => message.type() === 'error' && say(message.text()))
    page.on('pageerror', (problem) => say(String(problem)))
    await page.goto(`http://127.0.0.1:${PORT}${path}`)
    await page.waitForSelector('h1, h2')
    await page.waitForTimeout(1500)
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)
    if (overflow > 0) say(`${overflow} px wider than the window`)
    await page.screenshot({ path: `${out}/${name}-${look}.png` })
    await page.close()
  }
}
await browser.close()
server.close()
console.log(problems ? `${problems} problems` : 'no problems')
process.exit(problems ? 1 : 0)
