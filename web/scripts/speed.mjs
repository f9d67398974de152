// What drawing takes: a run of a million steps (as the server thins it), a five-second drag over its charts,
// the heap afterwards, live points, and a hundred runs on one axis.
//   npm run check builds dist-mock; then node scripts/speed.mjs
import { fileURLToPath } from 'node:url'
import { chromium } from 'playwright-core'
import { serve } from './serve.mjs'

const PORT = 4397
const server = await serve(fileURLToPath(new URL('../dist-mock/', import.meta.url)), PORT)
const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox', '--enable-precise-memory-info', '--js-flags=--expose-gc'] })
const page = await browser.newPage({ viewport: { width: 1440, height: 900 } })
const address = `http://127.0.0.1:${PORT}`

await page.goto(`${address}/runs?mock=still,million`)
await page.getByRole('link', { name: 'tone-of-voice-3' }).waitFor()
const start = Date.now()
await page.getByRole('link', { name: 'tone-of-voice-3' }).click()
await page.getByRole('slider', { name: /^Loss.*cursor/ }).waitFor()
await page.waitForFunction(() => [...document.querySelectorAll('canvas')].some((canvas) => canvas.width > 300))
console.log(`a run of 990,000 steps: drawn ${Date.now() - start} ms after the click`)

const box = await page.getByRole('slider', { name: /^Loss.*cursor/ }).boundingBox()
await page.evaluate(() => {
  window.frames_ = []
  let before = performance.now()
  const count = (now) => {
    window.frames_.push(now - before)
    before = now
    requestAnimationFrame(count)
  }
  requestAnimationFrame(count)
})
const until = Date.now() + 5000
let place = 0
while (Date.now() < until) {
  place += 1
  await page.mouse.move(box.x + 80 + ((place * 7) % (box.width - 100)), box.y + 100)
}
const frames = await page.evaluate(() => window.frames_)
frames.sort((a, b) => a - b)
console.log(`five seconds over ${await page.locator('canvas').count() / 2} charts: ${(frames.length / 5).toFixed(0)} frames/s, ${place / 5} moves/s, slowest twentieth over ${frames[Math.floor(frames.length * 0.95)].toFixed(1)} ms`)
const heap = await page.evaluate(() => {
  window.gc?.()
  return performance.memory.usedJSHeapSize
})
console.log(`heap after collection: ${(heap / 1e6).toFixed(0)} MB (the mock server included)`)

await page.goto(`${address}/runs/run-1?mock=million`)
await page.waitForTimeout(2000)
const live = await page.evaluate(
  () =>
    new Promise((resolve) => {
      const long = []
      new PerformanceObserver((list) => long.push(...list.getEntries().map((entry) => entry.duration))).observe({ type: 'longtask' })
      setTimeout(() => resolve(long), 5000)
    }),
)
console.log(`five seconds live: ${live.length} tasks over 50 ms${live.length ? `, longest ${Math.max(...live).toFixed(0)} ms` : ''}`)

const ids = Array.from({ length: 100 }, (_, index) => `run-${index + 10}`).join(',')
const begin = Date.now()
await page.goto(`${address}/runs/compare?mock=still,runs:120&runs=${ids}`)
await page.waitForFunction(() => [...document.querySelectorAll('canvas')].some((canvas) => canvas.width > 300))
console.log(`100 runs on one axis: ${Date.now() - begin} ms from the address to drawn`)
await browser.close()
server.close()
