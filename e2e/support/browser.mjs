// Chromium, and what every page must hold: no request to another host, no error in the console, nothing for axe
// to find, nothing wider than the window.
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { extname, join } from 'node:path'
import { until } from './studio.mjs'

const fromPage = createRequire(new URL('../../web/package.json', import.meta.url))
const { chromium } = fromPage('playwright-core')
const axe = readFileSync(fromPage.resolve('axe-core/axe.min.js'), 'utf8')

export const LOOKS = {
  light: { viewport: { width: 1440, height: 900 }, colorScheme: 'light' },
  dark: { viewport: { width: 1440, height: 900 }, colorScheme: 'dark' },
  phone: { viewport: { width: 360, height: 780 }, hasTouch: true, isMobile: true },
  zoom: { viewport: { width: 720, height: 450 }, deviceScaleFactor: 2 },
  forced: { viewport: { width: 1440, height: 900 }, forcedColors: 'active', reducedMotion: 'reduce' },
}

/** What the server's being away, a refused key or a conflict rightly leaves in the console. */
const EXPECTED = /ERR_CONNECTION_REFUSED|ERR_CONNECTION_RESET|ERR_EMPTY_RESPONSE|ERR_SOCKET_NOT_CONNECTED|WebSocket connection to/

const isOfPage = (path) => !/^\/(api|socket\.io|docs)(\/|$)/.test(path)

/** While the page is worked on: its files come from a folder, its rules from the server. */
const pageFrom = (folder) => async (route) => {
  const { pathname } = new URL(route.request().url())
  const path = join(folder, pathname)
  const response = await route.fetch({ url: new URL('/', route.request().url()).href }).catch(() => null)
  if (!response) return route.abort('connectionrefused')
  const { 'content-security-policy': policy = '' } = response.headers()
  const file = /\.\w+$/.test(pathname) ? path : join(folder, 'index.html')
  return existsSync(file) ? route.fulfill({ path: file, headers: { 'content-security-policy': policy, 'content-type': TYPES[extname(file)] ?? 'application/octet-stream' } }) : route.fulfill({ status: 404 })
}

const TYPES = { '.html': 'text/html; charset=utf-8', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml', '.woff2': 'font/woff2' }

export async function launch(t, args = []) {
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox', ...(process.env.APERTIS_PAGE ? ['--disable-features=LocalNetworkAccessChecks'] : []), ...args] })
  t.after(() => browser.close())
  return browser
}

/** A window of the studio that writes down what it must not do. `allow` says which errors belong to the test. */
export class Window {
  outside = []
  errors = []

  static async open(t, studio, look = LOOKS.light, { allow, browser } = {}) {
    const window = new Window()
    window.studio = studio
    const context = await (browser ?? (await launch(t))).newContext({ locale: 'en-GB', serviceWorkers: 'block', ...look })
    context.setDefaultTimeout(30_000)
    const host = new URL(studio.url).host
    await context.route(
      (url) => url.host !== host && !['data:', 'blob:'].includes(url.protocol),
      (route) => {
        window.outside.push(route.request().url())
        return route.abort()
      },
    )
    if (process.env.APERTIS_PAGE) await context.route((url) => url.host === host && isOfPage(url.pathname), pageFrom(process.env.APERTIS_PAGE))
    context.on('console', (message) => {
      const text = `${message.text()} ${message.location().url}`
      if (message.type() === 'error' && !EXPECTED.test(text) && !allow?.test(text)) window.errors.push(text)
    })
    context.on('weberror', (problem) => window.errors.push(String(problem.error())))
    window.context = context
    window.page = await context.newPage()
    return window
  }

  /** Opens an address of the studio and waits until its heading stands. */
  async go(path, page = this.page) {
    await page.goto(this.studio.url + path)
    await page.locator('h1, h2').first().waitFor()
    return page
  }

  /** Waits until nothing is drawn in outline any more. */
  async settled(page = this.page) {
    await until('a page without skeletons', async () => (await page.locator('[data-skeleton]').count()) === 0)
  }

  /** Axe without findings, and nothing sideways. */
  async audit(name, page = this.page) {
    // Through the debugger, which the page's policy does not bind.
    const findings = await page.evaluate(`${axe}; axe.run(document, { resultTypes: ['violations'] }).then(({ violations }) =>
      violations.map(({ id, nodes }) => id + ': ' + nodes.slice(0, 3).map((node) => node.target.join(' ') + ' – ' + node.failureSummary).join(' | ')))`)
    assert.deepEqual(findings, [], `axe on ${name}`)
    const sideways = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)
    assert.ok(sideways <= 0, `${name} is ${sideways} px wider than the window`)
  }

  /** Buttons, links of their own and fields of at least 44 px, where fingers are. */
  async checkTargets(name, page = this.page) {
    const small = await page.evaluate(() => {
      const isText = (one) => one.closest('p, li p, dd') || getComputedStyle(one).display === 'inline'
      return [...document.querySelectorAll('button, a[href]:not(.sr-only), select, input:not([type=range]):not(.sr-only)')]
        .filter((one) => one.checkVisibility() && !isText(one))
        .map((one) => [one.getAttribute('aria-label') || one.textContent.trim().slice(0, 40), (one.closest('label') ?? one).getBoundingClientRect()])
        .filter(([, box]) => box.height > 0 && (box.height < 43.5 || box.width < 43.5))
        .map(([text, box]) => `${text} ${Math.round(box.width)}×${Math.round(box.height)}`)
    })
    assert.deepEqual(small, [], `targets of ${name}`)
  }

  /** What must hold over the window's whole life. */
  checkQuiet() {
    assert.deepEqual(this.outside, [], 'requests to other hosts')
    assert.deepEqual(this.errors, [], 'errors in the console')
  }

  focused = (page = this.page) =>
    page.evaluate(() => {
      const { activeElement: one } = document
      return one === document.body ? 'nothing' : (one?.getAttribute('aria-label') ?? one?.textContent?.trim().slice(0, 80) ?? '')
    })
}
