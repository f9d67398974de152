// A small studio server in memory: the same addresses and shapes, invented runs. For tests, for `npm run mock`
// and for screenshots; the production build does not contain it.
import type { ErrorCode, Page, RunCommand, RunRow } from '@/api/types'
import { bestOf, learningRateAt, lossAt, metrics, random } from './curves'
import { batches, CATALOGUE, coach, comparison, events, files, form, plan, PREVIEW, sample, samples, SESSION, SETTINGS, sweep, system } from './parts'
import { DATA, homeOf, makeRun, makeRuns, MODELS, PRESETS, runOf, type MockRun } from './world'

export interface MockAnswer {
  status: number
  body: unknown
}

class Refusal extends Error {
  constructor(readonly code: ErrorCode, readonly status: number, message: string, readonly hint = '') {
    super(message)
  }
}

export interface MockOptions {
  runs?: number
  needsKey?: boolean
}

export class MockServer {
  readonly runs: MockRun[]
  private settings = { ...SETTINGS }
  private session = { ...SESSION }
  private queuePaused = false
  private ticks = 0
  private readonly noise = random(99)
  private emit: (event: string, body: unknown) => void = () => {}

  constructor({ runs = 9, needsKey = false }: MockOptions = {}) {
    this.runs = runs === 0 ? [] : makeRuns(runs)
    if (needsKey) this.session = { ...this.session, needs_key: true, is_open: false, is_public: true, is_plain: true }
  }

  /** Where messages go that a socket would carry. */
  onMessage(emit: (event: string, body: unknown) => void): void {
    this.emit = emit
  }

  handle(method: string, url: URL, body: unknown, etag: string | null): MockAnswer {
    try {
      const parts = url.pathname.replace(/^\/api\/v1\//, '').split('/').map(decodeURIComponent)
      const answer = this.route(method, parts, url.searchParams, (body ?? {}) as Record<string, never>, etag)
      return answer === undefined ? { status: 204, body: null } : { status: method === 'POST' && parts.length === 1 ? 201 : 200, body: answer }
    } catch (problem) {
      if (!(problem instanceof Refusal)) throw problem
      return { status: problem.status, body: { code: problem.code, message: problem.message, hint: problem.hint, details: null, request_id: 'mock-1' } }
    }
  }

  private route(method: string, parts: string[], query: URLSearchParams, body: Record<string, never>, etag: string | null): unknown {
    const [root = '', id = '', part = ''] = parts
    switch (`${method} ${root}`) {
      case 'GET session': return this.session
      case 'POST session': return id === 'phone' ? { code: '4F2C-91AC', urls: ['http://192.168.1.20:8420/login#code=4F2C-91AC', 'http://workbench.local:8420/login#code=4F2C-91AC'], seconds: 300 } : this.login(body as unknown as { key: string })
      case 'DELETE session': return (this.session = { ...this.session, is_open: false })
      case 'GET home': return homeOf(this.runs, this.settings.tour_closed)
      case 'GET runs': return id ? this.runPart(id, part, query) : this.list(query)
      case 'POST runs': return id ? this.runAction(id, part, body) : this.start(body)
      case 'PATCH runs': return this.change(id, body, etag)
      case 'DELETE runs': return void this.runs.splice(this.runs.indexOf(this.find(id)), 1)
      case 'GET compare': return comparison((query.get('runs') ?? '').split(',').map((name) => this.find(name)), query.get('metric') ?? 'eval_loss', Number(query.get('points') ?? 400))
      case 'GET catalogue': return CATALOGUE
      case 'GET presets': return PRESETS
      case 'PUT presets': return { ...(body as object), name: id, is_own: true }
      case 'POST recipe': return form(body)
      case 'POST plan': return plan(body)
      case 'GET models': return MODELS
      case 'GET data': return part === 'rows' ? PREVIEW : DATA
      case 'POST data': return DATA[1]
      case 'GET queue': return { is_paused: this.queuePaused, runs: this.waiting(), etag: '"q"' }
      case 'PUT queue': return this.reorder(body)
      case 'POST sweeps': {
        const draft = body as unknown as { axes: []; limit: number; preview: boolean }
        return { ...sweep(draft.axes, draft.limit), id: draft.preview ? '' : 'sweep-1' }
      }
      case 'GET sweeps': return { id, name: 'rates of learning', total: 6, problem: '', tries: this.runs.slice(0, 4).map((run, index) => ({ run: run.row, rung: index % 4, fields: [{ name: 'learning_rate', value: `${index + 1}e-4` }] })) }
      case 'GET jobs': return this.page([])
      case 'POST jobs': return { id: 'job-1', kind: 'measure_plan', title: 'Measure the plan', state: 'running', progress: 0.4, message: 'step 2 of 3', created_at: new Date().toISOString(), result: null, failure: '', failure_hint: '', can_repeat: false }
      case 'GET system': return system()
      case 'POST system': return { ...system().disk, removable: [] }
      case 'GET settings': return this.settings
      case 'PATCH settings': return (this.settings = { ...this.settings, ...(body as object) })
      case 'GET keys': return [{ id: 'k1', name: 'laptop', prefix: 'apk_4f2c', created_at: new Date(Date.now() - 9e8).toISOString(), used_at: new Date(Date.now() - 6e5).toISOString() }]
      case 'POST keys': return { key: { id: 'k2', name: 'new', prefix: 'apk_9d1b', created_at: new Date().toISOString() }, secret: 'apk_9d1b-shown-once' }
      case 'DELETE keys': return undefined
    }
    throw new Refusal('not_found', 404, 'There is nothing at this address.')
  }

  private find(id: string): MockRun {
    const run = this.runs.find((one) => one.row.id === id)
    if (!run) throw new Refusal('not_found', 404, 'There is no such run.', 'It may have been renamed or deleted.')
    return run
  }

  private login({ key }: { key: string }) {
    if (key !== 'open') throw new Refusal('key_wrong', 401, 'This key does not open this server.', 'Make one with `apertis keys create`.')
    return (this.session = { ...this.session, is_open: true })
  }

  private page<T>(items: T[], total = items.length, next: string | null = null): Page<T> {
    return { items, total, of: Math.max(total, this.runs.length), next, seq: 40, epoch: 'mock' }
  }

  private list(query: URLSearchParams): Page<RunRow> {
    const has = (text: string, word: string | null) => !word || text.toLowerCase().includes(word.toLowerCase())
    const states = query.get('state')?.split(',')
    const rows = this.runs
      .map((run) => run.row)
      .filter((row) => (!states || states.includes(row.state.name)) && has(`${row.name} ${row.model} ${row.data} ${row.tags.join(' ')}`, query.get('text')) && has(row.model, query.get('model')) && has(row.data, query.get('data')))
    const sort = query.get('sort') ?? 'created'
    const value = (row: RunRow): number | string =>
      sort === 'name' ? row.name : sort === 'best_loss' ? (row.best_loss ?? Infinity) : sort === 'tokens_per_second' ? (row.tokens_per_second ?? 0) : sort === 'state' ? row.state.name : row.created_at
    const sign = query.get('order') === 'asc' ? 1 : -1
    rows.sort((a, b) => (value(a) < value(b) ? -sign : value(a) > value(b) ? sign : 0))
    const from = Number(query.get('cursor') ?? 0)
    const limit = Number(query.get('limit') ?? 50)
    return this.page(rows.slice(from, from + limit), rows.length, from + limit < rows.length ? String(from + limit) : null)
  }

  private runPart(id: string, part: string, query: URLSearchParams): unknown {
    const run = this.find(id)
    const number = (name: string, initial: number) => Number(query.get(name) ?? initial)
    switch (part) {
      case '': return runOf(run)
      case 'metrics': return metrics(id, run.shape, query.get('names')?.split(',') ?? null, number('points', 1500), number('from', 0), number('to', Infinity))
      case 'events': return this.page(events(run))
      case 'samples': return samples(run)
      case 'batches': return batches()
      case 'coach': return coach(run)
      case 'files': return files()
      case 'dependents': return runOf(run).lineage.filter((one) => one.relation === 'made_into')
      case 'recipe': return form({ fields: Object.fromEntries(runOf(run).changed_fields.map((field) => [field.name, field.value])) })
      case 'log': return { text: 'worker: 2 threads, avx512bf16\nworker: data from cache\n' }
      case 'reproduce': return { is_same: false, parts: [{ name: 'version', then: '0.1.9', now: '0.2.0', is_same: false }, { name: 'data', then: 'b3:91ac', now: 'b3:91ac', is_same: true }], command: `apertis train recipe=${run.row.name}` }
    }
    throw new Refusal('not_found', 404, 'There is nothing at this address.')
  }

  private start(body: Record<string, never>) {
    const { recipe, name } = body as unknown as { recipe: Parameters<typeof form>[0]; name?: string }
    const { fields, problems } = form(recipe)
    if (problems.length) throw new Refusal('recipe_invalid', 422, `${problems[0]!.field} ${problems[0]!.message}`, problems[0]!.hint)
    const run = makeRun(this.runs.length + 1, { name: name || `${fields.method}-${this.runs.length + 1}`, state: 'training', steps: 1, minutes: 0, total: 780 * (Number(fields.epochs) || 1), method: fields.method, data: fields.data })
    this.runs.unshift(run)
    this.tell(run)
    return runOf(run)
  }

  private runAction(id: string, part: string, body: Record<string, never>): unknown {
    const run = this.find(id)
    if (part === 'commands') return this.command(run, body as unknown as RunCommand)
    if (part === 'clone') return form({ fields: Object.fromEntries(runOf(run).changed_fields.map((field) => [field.name, field.value])) })
    if (part === 'resume') {
      this.setState(run, 'training')
      return runOf(run)
    }
    return runOf(run)
  }

  private command(run: MockRun, command: RunCommand) {
    const next: Partial<Record<RunCommand['action'], string>> = { pause: 'paused', unpause: 'training', stop: 'stopped', abort: 'stopped' }
    const state = next[command.action]
    if (state) this.setState(run, state)
    return { id: '1-1', outcome: 'accepted', message: state ? `The run is ${state}.` : 'Done after this step.' }
  }

  private setState(run: MockRun, name: string): void {
    run.row = { ...run.row, state: { name, reason: '', text: name, is_active: name === 'training' || name === 'paused' } }
    this.tell(run)
  }

  private change(id: string, body: Record<string, never>, etag: string | null) {
    const run = this.find(id)
    if (etag !== `"${run.etag}"`) throw new Refusal('conflict', 409, 'Somebody else changed it.', 'Look at both values and save again.')
    const { name, tags, notes } = body as { name?: string; tags?: string[]; notes?: string }
    run.row = { ...run.row, name: name ?? run.row.name, tags: tags ?? run.row.tags }
    run.notes = notes ?? run.notes
    run.etag += 1
    return runOf(run)
  }

  private waiting(): RunRow[] {
    return this.runs.map((run) => run.row).filter((row) => row.state.name === 'queued').sort((a, b) => (a.queue_place ?? 0) - (b.queue_place ?? 0))
  }

  private reorder(body: Record<string, never>) {
    const { order, is_paused } = body as { order?: string[]; is_paused?: boolean }
    this.queuePaused = is_paused ?? this.queuePaused
    order?.forEach((id, index) => (this.find(id).row.queue_place = index + 1))
    return { is_paused: this.queuePaused, runs: this.waiting(), etag: '"q"' }
  }

  private seq = 40
  private tell(run: MockRun): void {
    this.seq += 1
    this.emit('run', { seq: this.seq, epoch: 'mock', id: run.row.id, run: run.row })
  }

  /** One step of whatever trains. */
  tick(): void {
    this.ticks += 1
    this.emit('sample', { seq: this.ticks, epoch: 'mock', sample: sample(this.ticks) })
    const run = this.runs.find((one) => one.row.state.name === 'training' && one.shape.steps < one.shape.total)
    if (!run) return
    const step = (run.shape.steps += 1)
    const { shape } = run
    const value = lossAt(shape, step, this.noise())
    const hasEvaluated = step % shape.evalEvery === 0
    const at = { seq: step, attempt: 1, step, at: new Date().toISOString(), elapsed_ms: step * shape.msPerStep }
    this.emit('event', {
      room: `run:${run.row.id}`,
      event: { ...at, kind: 'step_finished', fields: { loss: value, learning_rate: learningRateAt(shape, step), grad_norm: 0.6 + this.noise() * 0.3, tokens: shape.tokensPerStep, target_tokens: 500, rows: 8, epoch: step / shape.stepsPerEpoch, tokens_per_second: 412 + this.noise() * 20, step_ms: shape.msPerStep } },
    })
    run.row = { ...run.row, step, train_loss: value, epoch: step / shape.stepsPerEpoch, elapsed_ms: at.elapsed_ms, left_ms: (shape.total - step) * shape.msPerStep }
    if (hasEvaluated) {
      const best = bestOf(shape)
      run.row = { ...run.row, best_loss: best.loss, best_step: best.step }
    }
    if (step >= shape.total) run.row = { ...run.row, state: { name: 'finished', reason: 'completed', text: 'finished', is_active: false }, left_ms: null }
    if (this.ticks % 4 === 0 || step >= shape.total) this.tell(run)
  }
}
