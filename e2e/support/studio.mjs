// A home in a temporary folder and the real server over it; both go when the test ends.
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

export const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), '../..')
const PROGRAM = process.env.APERTIS_PROGRAM ?? join(ROOT, 'target/release', process.platform === 'win32' ? 'apertis.exe' : 'apertis')
const START_MS = 30_000
/** A server that does not answer by then hangs. */
const ANSWER_MS = 20_000

export const wait = (ms) => new Promise((done) => setTimeout(done, ms))

/** Asks again until `look` gives something, and says what was awaited where it never does. */
export async function until(what, look, { within = 30_000, every = 100 } = {}) {
  const end = Date.now() + within
  for (;;) {
    const found = await look()
    if (found) return found
    if (Date.now() > end) assert.fail(`waited ${within / 1000} s for ${what}`)
    await wait(every)
  }
}

/** Lays the starter model and the sample into a home, as a first start finds them. */
export function furnish(home) {
  const demo = join(ROOT, 'fixtures/demo')
  cpSync(join(demo, 'base'), join(home, 'models/starter'), { recursive: true })
  const sample = join(home, 'data/sample/v1')
  mkdirSync(sample, { recursive: true })
  const questions = join(demo, 'questions.jsonl')
  cpSync(questions, join(sample, 'rows.jsonl'))
  const about = { name: 'Sample: an almanac’s questions', file: 'rows.jsonl', created_at: '2026-01-01T00:00:00Z', format: '' }
  const lines = Object.entries(about).map(([name, value]) => `${name} = ${JSON.stringify(value)}`)
  writeFileSync(join(sample, 'dataset.toml'), `${lines.join('\n')}\nbytes = ${statSync(questions).size}\n`)
}

export class Studio {
  #process = null
  #output = ''

  constructor(home, flags) {
    this.home = home
    this.flags = flags
    this.url = ''
    this.key = ''
  }

  /** Starts a server over a new home, or over one that is there. It ends with the test `t`. */
  static async open(t, { flags = [], isEmpty = false, home } = {}) {
    assert.ok(existsSync(PROGRAM), `${PROGRAM} is missing: cargo build --release -p apertis-cli`)
    const folder = home ?? mkdtempSync(join(tmpdir(), 'apertis-journey-'))
    if (!home && !isEmpty) furnish(folder)
    const studio = new Studio(folder, flags)
    t.after(async () => {
      await studio.close()
      if (!home) rmSync(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 })
    })
    if (flags.includes('--require-key')) studio.key = studio.#makeKey()
    await studio.start()
    return studio
  }

  get port() {
    return new URL(this.url).port
  }

  /** Starts the server; after the first time on the same port. */
  async start() {
    const port = this.url ? this.port : '0'
    const server = spawn(PROGRAM, ['serve', '--no-open', '--port', port, '--home', this.home, ...this.flags], { stdio: ['ignore', 'pipe', 'pipe'] })
    this.#process = server
    this.#output = ''
    for (const stream of [server.stdout, server.stderr]) stream.on('data', (text) => (this.#output += text))
    const address = await until(
      'the server’s address',
      () => {
        assert.equal(server.exitCode, null, `the server ended: ${this.#output}`)
        return /http:\/\/[^\s"]+/.exec(this.#output)?.[0]
      },
      { within: START_MS, every: 20 },
    )
    this.url = address.replace(/\/$/, '')
  }

  /** Ends the server as nobody wishes it to end. Runs go on. */
  async kill(signal = 'SIGKILL') {
    const server = this.#process
    this.#process = null
    if (!server || server.exitCode !== null) return
    const ended = new Promise((done) => server.once('exit', done))
    server.kill(signal)
    await ended
  }

  /** Ends the runs, then the server. */
  async close() {
    try {
      const { running, queued } = await this.get('home')
      for (const { id } of queued) await this.send('DELETE', `runs/${id}`).catch(() => undefined)
      for (const { id } of running) await this.send('POST', `runs/${id}/commands`, { action: 'abort' }).catch(() => undefined)
      await until('the runs’ end', async () => (await this.get('home')).running.length === 0, { within: 20_000 })
    } catch {
      // A server that is away has nothing to be asked; its home goes all the same.
    }
    await this.kill('SIGTERM')
  }

  #makeKey() {
    const made = spawnSync(PROGRAM, ['keys', 'create', 'journey', '--home', this.home, '--json'], { encoding: 'utf8' })
    assert.equal(made.status, 0, made.stderr)
    const secret = /apertis_[0-9a-f]+/.exec(made.stdout)?.[0]
    assert.ok(secret, `no key in ${made.stdout}`)
    return secret
  }

  get = (path) => this.send('GET', path)

  async send(method, path, body) {
    const headers = { 'content-type': 'application/json' }
    if (this.key) headers.authorization = `Bearer ${this.key}`
    const response = await fetch(`${this.url}/api/v1/${path}`, { method, headers, body: method === 'GET' ? undefined : JSON.stringify(body ?? {}), signal: AbortSignal.timeout(ANSWER_MS) })
    const text = await response.text()
    assert.ok(response.ok, `${method} ${path}: ${response.status} ${text}`)
    return text ? JSON.parse(text) : null
  }
}
