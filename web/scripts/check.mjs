// Walks every page over the mock and reports what is wrong: axe findings (light, dark, phone, forced colours),
// sideways scroll at 360 px and at 200% zoom, small targets for fingers, errors in the console, a policy broken
// by menus, dialogs or tooltips, focus that does not come back.
//   npm run check -- [light,dark,phone,zoom,forced]
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import { chromium } from 'playwright-core'
import { serve } from './serve.mjs'

const PORT = 4398
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
const PAGES = ['/', '/train?model=starter&data=support-chats&preset=tone', '/train?data=support-chats&preset=scratch', '/runs', '/runs/run-1', '/runs/run-4', '/runs/run-5', '/runs/run-1/samples', '/runs/run-1/log', '/runs/run-1/files', '/runs/run-1/recipe', '/runs/compare?runs=run-1,run-4,run-6', '/runs/compare?runs=run-1,run-4,run-6&view=parallel', '/runs/compare?runs=run-1,run-4,run-6&view=scatter', '/system', '/nowhere']
const wanted = process.argv[2]?.split(',')
const LOOKS = {
  light: { viewport: { width: 1440, height: 900 }, colorScheme: 'light' },
  dark: { viewport: { width: 1440, height: 900 }, colorScheme: 'dark' },
  phone: { viewport: { width: 360, height: 780 }, hasTouch: true, isMobile: true },
  zoom: { viewport: { width: 720, height: 450 }, deviceScaleFactor: 2 },
  forced: { viewport: { width: 1440, height: 900 }, forcedColors: 'active', reducedMotion: 'reduce' },
}

const server = await serve(fileURLToPath(new URL('../dist-mock/', import.meta.url)), PORT)
const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox'] })
let problems = 0
const say = (...words) => {
  problems += 1
  console.log(...words)
}

async function open(path, options) {
  const context = await browser.newContext(options)
  const page = await context.newPage()
  page.on('console', (message) => message.type() === 'error' && say(path, 'console:', message.text()))
  page.on('pageerror', (problem) => say(path, 'error:', String(problem)))
  await page.goto(`http://127.0.0.1:${PORT}${path}${path.includes('?') ? '&' : '?'}mock=still`)
  await page.waitForSelector('h1, h2')
  await page.waitForTimeout(400)
  return page
}

async function audit(page, name) {
  // Through the debugger, which the page's policy does not bind.
  const findings = await page.evaluate(`${axe}; axe.run(document, { resultTypes: ['violations'] }).then((result) => result.violations.map((one) => one.id + ': ' + one.nodes.slice(0, 3).map((node) => node.target.join(' ') + ' — ' + (node.any[0]?.message ?? node.all[0]?.message ?? node.none[0]?.message ?? '')).join(' | ')))`)
  for (const finding of findings) say(name, 'axe', finding)
}

for (const [look, options] of Object.entries(LOOKS)) {
  if (wanted && !wanted.includes(look)) continue
  for (const path of PAGES) {
    const page = await open(path, options)
    await audit(page, `${path} ${look}`)
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)
    if (overflow > 0) say(path, look, `${overflow} px sideways`)
    if (look === 'phone') {
      const small = await page.evaluate(() =>
        [...document.querySelectorAll('button, a[href]:not(.sr-only), select, input:not([type=range]):not(.sr-only)')]
          .filter((one) => one.offsetParent && !one.closest('p, li p, dd') && getComputedStyle(one).display !== 'inline')
          .map((one) => [one.closest('label') ?? one, one])
          .map(([box, one]) => [one.getAttribute('aria-label') || one.textContent.trim().slice(0, 30), box.getBoundingClientRect()])
          .filter(([, box]) => box.height > 0 && (box.height < 43.5 || box.width < 43.5))
          .map(([name, box]) => `${name} ${Math.round(box.width)}×${Math.round(box.height)}`),
      )
      if (small.length) say(path, 'small targets:', small.slice(0, 8).join('; '))
    }
    await page.context().close()
  }
}

// Menus, dialogs, tooltips, the cursor of a chart: opened by keyboard, closed, focus back where it was.
{
  const page = await open('/runs/run-1', LOOKS.light)
  const focusName = () => page.evaluate(() => document.activeElement?.getAttribute('aria-label') ?? document.activeElement?.textContent)
  await page.getByRole('button', { name: 'More', exact: true }).focus()
  await page.keyboard.press('Enter')
  await page.getByRole('menuitem', { name: 'Reproduce' }).waitFor()
  await audit(page, 'menu')
  await page.keyboard.press('Escape')
  if ((await focusName()) !== 'More') say('focus did not come back from the menu:', await focusName())
  await page.getByRole('button', { name: 'Show as code' }).focus()
  await page.keyboard.press('Enter')
  await page.getByRole('dialog').waitFor()
  await audit(page, 'dialog')
  await page.keyboard.press('Escape')
  await page.waitForTimeout(100)
  if ((await focusName()) !== 'Show as code') say('focus did not come back from the dialog:', await focusName())
  const chart = page.getByRole('slider', { name: /^Loss.*cursor/ })
  await chart.focus()
  await page.keyboard.press('ArrowLeft')
  await page.waitForTimeout(100)
  const text = await chart.getAttribute('aria-valuetext')
  if (!/step .*train .*held-out/.test(text ?? '')) say('the chart does not say its cursor:', text)
  await page.keyboard.press('t')
  if (!(await page.getByRole('region', { name: 'Loss as a table' }).isVisible())) say('t did not open the table')
  await page.keyboard.press('?')
  await page.getByRole('dialog').waitFor()
  await audit(page, 'guide')
  await page.context().close()
}

await browser.close()
server.close()
console.log(problems ? `${problems} problems` : 'no problems')
process.exit(problems ? 1 : 0)
