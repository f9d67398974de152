// The smaller answers of the mock: coach, samples, events, recipe forms, plan, system.
import type {
  Catalogue, CoachNote, Comparison, DataPreview, Plan, RecipeDraft, RecipeForm, RunEvent, RunFile, SampleAnswer, SeenRow, Series, Session, Settings, Sweep, SystemPage, SystemSample,
} from '@/api/types'
import catalogueJson from './catalogue.json'
import { bestOf, evalAt, metrics, random } from './curves'
import { NOW, type MockRun } from './world'

export const CATALOGUE = catalogueJson as unknown as Catalogue

export const SESSION: Session = { needs_key: false, is_open: true, version: '0.2.0', host: 'workbench', is_public: false, is_plain: false, home: '/home/ada/.apertis', epoch: 'mock' }

export const SETTINGS: Settings = { folders: ['/data', '/models'], theme: 'system', keep_awake: true, upload_max_bytes: 2_000_000_000, watts: 0, tour_closed: false, etag: '"1"' }

export function coach(run: MockRun): CoachNote[] {
  const { row } = run
  if (row.step === 0) return []
  const best = bestOf(run.shape)
  const last = Math.floor(row.step / run.shape.evalEvery) * run.shape.evalEvery
  if (last <= best.step) return [{ tone: 'good', text: `Held-out loss still falls: ${evalAt(run.shape, last).toFixed(3)} at step ${last}.`, advice: 'Let it go on.', action: null, step: last }]
  return [
    { tone: 'warn', text: `Held-out loss has risen since step ${best.step} (${best.loss.toFixed(3)} → ${evalAt(run.shape, last).toFixed(3)}) while training loss falls: it is memorising.`, advice: `It stops by itself if the next evaluation rises too; the best is step ${best.step}.`, action: row.state.is_active ? { action: 'stop' } : null, step: best.step },
    { tone: 'info', text: 'Rank 8 reached the same training loss as rank 16 before.', advice: 'More data helps more than more rank here.', action: null, step: row.step },
  ]
}

const ANSWERS = ['the the and', 'We are sorry.', 'I am sorry about that. Which invoice is it?', 'I’m sorry about that. Could you tell me the invoice number? I will correct it today.']
const PROMPTS = ['My invoice is wrong.', 'How do I reset my password?', 'Write <b>one</b> line about rain & wind.']

export function samples(run: MockRun): SampleAnswer[] {
  const list: SampleAnswer[] = []
  for (let step = 0; step <= run.shape.steps; step += run.shape.evalEvery) {
    const stage = Math.min(ANSWERS.length - 1, Math.floor((step / run.shape.total) * 6))
    PROMPTS.forEach((prompt, index) => {
      list.push({ index, step, prompt, text: index === 2 ? '<b>Rain</b> & wind walk home.' : ANSWERS[stage]!, reference: index === 0 ? 'I’m sorry. Which invoice do you mean?' : '' })
    })
  }
  return list
}

export function batches(): SeenRow[] {
  const noise = random(5)
  const say = (text: string, kind: string) => text.split(/(?<= )/).map((piece) => ({ id: Math.floor(noise() * 4096), text: piece, kind }))
  return [0, 1, 2].flatMap((batch) =>
    [0, 1].map((row) => ({
      batch,
      row: batch * 8 + row * 3 + 2,
      tokens: [
        ...say('<|im_start|>user\nMy invoice is wrong<|im_end|>\n<|im_start|>assistant\n', 'masked'),
        ...say('I’m sorry about that. Could you tell me the invoice number? I will look at it at once. <|im_end|>', 'trained'),
        ...(row ? say('And then it went on and on until the row was too long', 'cut') : []),
      ],
    })),
  )
}

export function files(): RunFile[] {
  const at = new Date(NOW - 120_000).toISOString()
  return [
    ['recipe.toml', 812], ['run.lock', 604], ['events.jsonl', 1_204_312], ['system.jsonl', 2_100_400], ['results.csv', 1404], ['results.png', 40_112],
    ['checkpoints/step-001560/adapter_model.safetensors', 842_000], ['checkpoints/step-001560/optimizer.safetensors', 1_684_000], ['worker.log', 9120],
  ].map(([path, bytes]) => ({ path: path as string, bytes: bytes as number, changed_at: at }))
}

export function events(run: MockRun): RunEvent[] {
  const line = (seq: number, step: number, kind: string, fields: Record<string, unknown>): RunEvent => ({
    seq, attempt: 1, step, at: new Date(NOW - (run.shape.steps - step) * run.shape.msPerStep).toISOString(), elapsed_ms: step * run.shape.msPerStep, kind, fields,
  })
  const list = [
    line(0, 0, 'run_started', { run: run.row.name, method: run.row.method, model: 'starter', data: 'support-chats', version: '0.2.0', host: 'workbench', pid: 4242 }),
    line(1, 0, 'data_checked', { rows: 12_480, train_rows: 11_827, eval_rows: 622 }),
    line(2, 0, 'plan_made', { total_steps: run.shape.total, batch_size: 8, learning_rate: run.shape.learningRate }),
  ]
  for (let step = run.shape.evalEvery; step <= run.shape.steps; step += run.shape.evalEvery) {
    list.push(line(list.length, step, 'evaluated', { loss: evalAt(run.shape, step), accuracy: 0.55, best: bestOf(run.shape).step === step }))
    list.push(line(list.length, step, 'checkpoint_saved', { path: `checkpoints/step-${String(step).padStart(6, '0')}`, bytes: 2_526_000 }))
  }
  if (run.row.failure) list.push(line(list.length, run.shape.steps, 'run_failed', { code: run.row.state.reason, message: run.row.failure, hint: run.row.failure_hint }))
  return list
}

/** A form from a draft; commands and files are read roughly, as far as the mock needs. */
export function form(draft: RecipeDraft): RecipeForm {
  const fields = Object.fromEntries(CATALOGUE.fields.map((field) => [field.name, field.default]))
  const given: Record<string, string> = { ...draft.fields }
  for (const part of draft.command?.split(/\s+/).slice(2) ?? []) {
    const [name, ...value] = part.split('=')
    if (name && value.length) given[name] = value.join('=')
  }
  for (const line of draft.toml?.split('\n') ?? []) {
    const found = /^\s*([\w.]+)\s*=\s*"?([^"]*)"?\s*$/.exec(line)
    if (found) given[found[1]!] = found[2]!
  }
  const problems: RecipeForm['problems'] = []
  for (const [name, value] of Object.entries(given)) {
    if (!(name in fields)) problems.push({ field: '', message: `There is no field \`${name}\`.`, hint: 'Look it up in the search above.' })
    else fields[name] = value
    const known = CATALOGUE.fields.find((field) => field.name === name)
    const isNumber = known?.kind === 'integer' || known?.kind === 'number'
    if (known && isNumber && !['auto', 'off'].includes(value) && (Number.isNaN(Number(value)) || Number(value) < (known.min ?? -Infinity))) {
      problems.push({ field: name, message: `expects a number of at least ${known.min}, found ${value}`, hint: `The default is ${known.default}.` })
    }
  }
  if (!fields.model && fields.method !== 'scratch') problems.push({ field: 'model', message: 'is missing', hint: 'Choose one.' })
  if (!fields.data) problems.push({ field: 'data', message: 'is missing', hint: 'Choose one.' })
  const changed = CATALOGUE.fields.filter((field) => fields[field.name] !== field.default).map((field) => field.name)
  return {
    fields,
    changed,
    toml: changed.map((name) => `${name} = ${Number.isNaN(Number(fields[name])) ? JSON.stringify(fields[name]) : fields[name]}`).join('\n'),
    command: ['apertis train', ...changed.map((name) => `${name}=${fields[name]}`)].join(' '),
    problems,
  }
}

export function plan(draft: RecipeDraft, isMeasured = false): Plan {
  const { fields } = form(draft)
  const epochs = Number(fields.epochs) || 1
  const rank = Number(fields['lora.rank']) || 16
  const isScratch = fields.method === 'scratch'
  const tokens = Math.round(1_033_000 * epochs)
  const speed = isScratch ? 900 : 412
  const seconds = tokens / speed
  return {
    is_measured: isMeasured,
    measured_at: null,
    memory: [
      { component: 'base', bytes: 270_000_000 },
      { component: 'adapter', bytes: rank * 2_500_000 },
      { component: 'activations', bytes: 900_000_000 },
      { component: 'optimizer', bytes: rank * 5_000_000 },
    ],
    memory_bytes: 1_170_000_000 + rank * 7_500_000,
    memory_limit_bytes: 24_000_000_000,
    disk_bytes: 90_000_000,
    disk_free_bytes: 61_000_000_000,
    rows: 11_827,
    tokens,
    is_token_estimate: !isMeasured,
    steps: Math.round(780 * epochs),
    evaluations: 12,
    tokens_per_second: speed,
    seconds,
    parameters: 4_200_000,
    trainable_parameters: rank * 13_000,
    remarks:
      seconds > 3600
        ? [{ tone: 'warn', text: 'Longer than you may like.', repairs: [{ label: '1 epoch: 41 min', fields: [{ name: 'epochs', value: '1' }] }, { label: 'Length 512: 1 h 10', fields: [{ name: 'max_length', value: '512' }] }] }]
        : [],
  }
}

export const PREVIEW: DataPreview = {
  format: 'messages (OpenAI)',
  rows: 12_480,
  items: Array.from({ length: 20 }, (_, row) => ({
    row,
    messages: [
      { role: 'user', text: ['How do I reset my password?', 'My invoice is wrong.', 'Where is my parcel?', 'Can I <b>cancel</b>?'][row % 4]! },
      { role: 'assistant', text: ['Open Settings and choose Security.', 'I’m sorry about that. Which invoice is it?', 'It left us on Monday.', 'Yes, until Friday.'][row % 4]! },
    ],
    problem: '',
  })),
  reasons: [{ code: 'duplicate', is_dropped: true, count: 31, rows: [7, 8], example: 'same as row 3' }],
}

export function sample(tick: number): SystemSample {
  const wave = Math.sin(tick / 7)
  return {
    at: new Date().toISOString(), cpu_percent: 94 + wave * 4, cores_percent: [96 + wave * 3, 92 + wave * 5], memory_used_bytes: 3_100_000_000, memory_total_bytes: 24_000_000_000,
    process_bytes: 58_000_000, disk_free_bytes: 61_000_000_000, disk_read_bytes: 12_000, disk_written_bytes: 820_000, network_received_bytes: 900, network_sent_bytes: 4000, gpus: [], watts: 38 + wave,
  }
}

export function system(): SystemPage {
  return {
    host: 'workbench',
    os: 'Linux 6.8',
    devices: [
      { kind: 'cpu', name: 'AMD EPYC 9354', details: ['2 cores', 'AVX-512 BF16'], is_usable: true, reason: '' },
      { kind: 'gpu', name: 'GPU', details: [], is_usable: false, reason: 'None found; this version trains on the processor.' },
    ],
    now: sample(0),
    disk: {
      parts: [['models', 6.1e9], ['checkpoints', 4.9e9], ['cache', 1.2e9], ['data', 2e8]].map(([component, bytes]) => ({ component: component as string, bytes: bytes as number })),
      free_bytes: 61e9,
      removable: [
        { kind: 'training_state', text: 'Training state of finished runs (their models stay)', bytes: 2.3e9 },
        { kind: 'cache', text: 'Tokenised data that can be made again', bytes: 1.2e9 },
        { kind: 'trash', text: 'Runs in the trash', bytes: 3e8 },
      ],
    },
    findings: [
      { tone: 'good', text: 'AVX-512 BF16 is used.', meaning: 'The fastest path of this program for this processor.' },
      { tone: 'warn', text: 'Two other programs use 40% of the processor.', meaning: 'Runs take about 1.6 times as long.' },
    ],
    version: '0.2.0',
    database: 'sqlite · /home/ada/.apertis/apertis.db',
    addresses: ['http://127.0.0.1:8420'],
  }
}

export function comparison(runs: MockRun[], metric: string, points: number): Comparison {
  const rates = runs.map((run) => (run.shape.learningRate === 2e-4 ? '2e-4' : '1e-4'))
  const ranks = runs.map((run) => String([8, 16, 32, 64][run.shape.seed % 4]))
  const curves = runs.map((run) => metrics(run.row.id, run.shape, [metric], points).series[0] ?? emptySeries(metric))
  const ends = (pick: (run: MockRun) => number | null | undefined) => runs.map((run) => pick(run) ?? null)
  return {
    runs: runs.map((run) => run.row),
    curves,
    fields: [
      { name: 'learning_rate', values: rates, is_number: true },
      { name: 'lora.rank', values: ranks, is_number: true },
      { name: 'data', values: runs.map((run) => run.row.data), is_number: false },
    ],
    field_count: 65,
    values: [
      { name: 'eval_loss', is_less_better: true, best: ends((run) => run.row.best_loss), last: ends((run) => (run.row.step ? evalAt(run.shape, run.row.step) : null)) },
      { name: 'loss', is_less_better: true, best: ends((run) => run.row.train_loss), last: ends((run) => run.row.train_loss) },
      { name: 'tokens_per_second', is_less_better: false, best: ends((run) => run.row.tokens_per_second), last: ends((run) => run.row.tokens_per_second) },
    ],
  }
}

const emptySeries = (name: string): Series => ({ name, unit: '', bin: 1, total: 0, step: [], tokens: [], elapsed_ms: [], epoch: [], mean: [], min: [], max: [] })

export function sweep(axes: { field: string; values?: string[] | null }[], limit: number): Sweep {
  let tries: { name: string; value: string }[][] = [[]]
  for (const axis of axes) tries = tries.flatMap((fields) => (axis.values ?? []).map((value) => [...fields, { name: axis.field, value }]))
  return { id: '', name: 'sweep-1', tries: tries.slice(0, limit).map((fields) => ({ run: null, fields, rung: 0 })), total: tries.length, problem: tries.length < 2 ? 'Give at least two values.' : '' }
}
