// The invented runs, models and data of the mock.
import type { DataCard, HomePage, ModelCard, Preset, Run, RunRow } from '@/api/types'
import { bestOf, lossAt, random, type Shape } from './curves'

export const NOW = Date.now()
const before = (minutes: number): string => new Date(NOW - minutes * 60_000).toISOString()

export interface MockRun {
  row: RunRow
  shape: Shape
  notes: string
  etag: number
}

interface Sketch {
  name: string
  state: string
  reason?: string
  text?: string
  method?: string
  model?: string
  data?: string
  steps?: number
  total?: number
  minutes: number
  floor?: number
  tags?: string[]
  failure?: [string, string]
  queue?: number
}

const ACTIVE = new Set(['queued', 'preparing', 'training', 'evaluating', 'saving', 'paused', 'stopping', 'not_answering'])

export function makeRun(index: number, sketch: Sketch): MockRun {
  const total = sketch.total ?? 2340
  const steps = sketch.steps ?? (sketch.state === 'finished' ? total : 0)
  const shape: Shape = {
    seed: index + 3,
    steps,
    total,
    start: 3.1 + (index % 5) * 0.1,
    floor: sketch.floor ?? 1.3 + (index % 7) * 0.05,
    tokensPerStep: 1325,
    msPerStep: 3215,
    learningRate: index % 2 ? 1e-4 : 2e-4,
    stepsPerEpoch: total / 3,
    evalEvery: Math.max(1, Math.round(total / 12)),
  }
  const noise = random(shape.seed)
  const best = bestOf(shape)
  const hasEvaluated = steps >= shape.evalEvery
  const isFailed = sketch.state === 'failed'
  const curve = steps === 0 ? [] : Array.from({ length: 48 }, (_, place) => (isFailed && place > 40 ? null : lossAt(shape, (place * steps) / 47, noise())))
  return {
    shape,
    notes: '',
    etag: 1,
    row: {
      id: `run-${index + 1}`,
      name: sketch.name,
      state: { name: sketch.state, reason: sketch.reason ?? '', text: sketch.text ?? sketch.state.replaceAll('_', ' '), is_active: ACTIVE.has(sketch.state) },
      tags: sketch.tags ?? [],
      method: sketch.method ?? 'lora',
      model: sketch.model ?? 'Starter 4M',
      data: sketch.data ?? 'support-chats v3',
      step: steps,
      total_steps: total,
      epoch: steps / shape.stepsPerEpoch,
      train_loss: steps ? lossAt(shape, steps, 0.5) : null,
      best_loss: hasEvaluated ? best.loss : null,
      best_step: hasEvaluated ? best.step : null,
      tokens_per_second: steps ? 412 - (index % 9) * 7 : null,
      elapsed_ms: steps * shape.msPerStep,
      left_ms: sketch.state === 'training' ? (total - steps) * shape.msPerStep : null,
      curve,
      created_at: before(sketch.minutes),
      changed_at: before(ACTIVE.has(sketch.state) ? 1 : sketch.minutes * 0.9),
      failure: sketch.failure?.[0] ?? '',
      failure_hint: sketch.failure?.[1] ?? '',
      queue_place: sketch.queue ?? null,
      sweep: null,
    },
  }
}

const SKETCHES: Sketch[] = [
  { name: 'tone-of-voice-3', state: 'training', steps: 1592, minutes: 86, floor: 1.3, tags: ['support'] },
  { name: 'facts-lora-8', state: 'queued', text: 'queued', minutes: 31, data: 'facts v1', queue: 1 },
  { name: 'scratch-tiny', state: 'queued', minutes: 12, method: 'scratch', model: '', data: 'almanac v1', queue: 2 },
  { name: 'tone-of-voice-2', state: 'finished', reason: 'early_stop', text: 'finished (early stop)', minutes: 60 * 22, data: 'support-chats v2', floor: 1.36, tags: ['support'] },
  { name: 'facts-lora-7', state: 'failed', reason: 'loss_not_finite', text: 'failed (loss not finite)', steps: 320, minutes: 60 * 50, model: 'Qwen 0.5B', data: 'facts v1', failure: ['The loss stopped being a number three times.', 'Lower learning_rate, or try precision=f32.'] },
  { name: 'tone-of-voice-1', state: 'stopped', steps: 700, minutes: 60 * 75, data: 'support-chats v1' },
  { name: 'almanac-full', state: 'interrupted', steps: 1100, minutes: 60 * 99, method: 'full', data: 'almanac v1' },
  { name: 'forms-json-strict-with-a-name-that-is-rather-long-for-a-table-of-runs-2026', state: 'paused', reason: 'asked', text: 'paused', steps: 420, minutes: 60 * 120, data: 'forms v2' },
  { name: 'محادثات-الدعم', state: 'finished', reason: 'completed', text: 'finished', minutes: 60 * 170, data: 'support-ar v1', floor: 1.52 },
]

const CHOICES = ['finished', 'finished', 'finished', 'stopped', 'failed', 'finished']

export function makeRuns(many: number): MockRun[] {
  const runs = SKETCHES.slice(0, Math.max(1, Math.min(many, SKETCHES.length))).map((sketch, index) => makeRun(index, sketch))
  for (let index = runs.length; index < many; index += 1) {
    const state = CHOICES[index % CHOICES.length]!
    runs.push(
      makeRun(index, {
        name: `${['tone', 'facts', 'forms', 'domain'][index % 4]}-lora-${index}`,
        state,
        steps: state === 'stopped' ? 900 : state === 'failed' ? 200 : undefined,
        minutes: 60 * 24 * (8 + index / 20),
        data: ['support-chats v3', 'facts v1', 'forms v2', 'almanac v1'][index % 4],
        failure: state === 'failed' ? ['The worker was killed because memory ran out, also with half the micro-batch.', 'Close other programs, or set recompute=on.'] : undefined,
      }),
    )
  }
  return runs
}

export const MODELS: ModelCard[] = [
  { reference: 'starter', name: 'Starter 4M', kind: 'starter', family: 'llama', parameters: 4_200_000, bytes: 8_400_000, context: 1024, made_by: '', best_loss: null, created_at: null, problem: '' },
  { reference: 'tone-of-voice-2', name: 'tone-of-voice-2 › best', kind: 'checkpoint', family: 'llama', parameters: 4_200_000, bytes: 9_100_000, context: 1024, made_by: 'lora on Starter 4M with support-chats v2', best_loss: 1.455, created_at: before(60 * 22), problem: '' },
  { reference: '/models/qwen2.5-0.5b', name: 'Qwen 0.5B', kind: 'folder', family: 'qwen2', parameters: 494_000_000, bytes: 988_000_000, context: 32_768, made_by: '', best_loss: null, created_at: null, problem: '' },
  { reference: '/models/broken', name: 'broken', kind: 'folder', family: '', parameters: 0, bytes: 0, context: 0, made_by: '', best_loss: null, created_at: null, problem: 'config.json is missing' },
]

export const DATA: DataCard[] = [
  { reference: 'sample', name: 'Sample: the almanac’s questions', kind: 'sample', version: 1, format: 'messages', rows: 1200, bad_rows: 0, bytes: 410_000, created_at: null, problem: '' },
  { reference: 'support-chats', name: 'support-chats', kind: 'upload', version: 3, format: 'messages', rows: 12_480, bad_rows: 31, bytes: 18_200_000, created_at: before(60 * 30), problem: '' },
  { reference: '/data/facts.jsonl', name: 'facts.jsonl', kind: 'path', version: 0, format: 'question/answer', rows: 2210, bad_rows: 3, bytes: 900_000, created_at: null, problem: '' },
]

export const PRESETS: Preset[] = [
  { name: 'facts', title: 'Teach it my facts', what: 'Answers questions from your texts, with the words of your data.', not_for: 'Not for a new style: it changes little about how it speaks.', fields: { method: 'lora', epochs: '5', 'lora.rank': '32', learning_rate: '2e-4' }, is_own: false },
  { name: 'tone', title: 'Change its tone', what: 'Says the same things in another voice, with a small adapter.', not_for: 'Not for facts it has never seen.', fields: { method: 'lora', epochs: '3', 'lora.rank': '8', learning_rate: '1e-4' }, is_own: false },
  { name: 'format', title: 'Follow a format', what: 'Answers as JSON, forms or tables, every time.', not_for: 'Not where answers should stay free.', fields: { method: 'lora', epochs: '3', train_on: 'last', 'lora.rank': '16' }, is_own: false },
  { name: 'domain', title: 'Learn a new text domain', what: 'Goes on reading plain text of your field with all weights.', not_for: 'Not for conversations: they want one of the others.', fields: { method: 'continue', epochs: '1', learning_rate: '2e-5' }, is_own: false },
  { name: 'scratch', title: 'From scratch, tiny', what: 'Makes a small model and its vocabulary from your text alone.', not_for: 'Not to answer questions about the world.', fields: { method: 'scratch', epochs: '3', model: '', learning_rate: 'auto' }, is_own: false },
]

const place = { seq: 40, epoch: 'mock' }

export function homeOf(runs: MockRun[], tourClosed: boolean): HomePage {
  const rows = runs.map((run) => run.row)
  const working = (row: RunRow) => row.state.is_active && row.state.name !== 'queued'
  const finished = rows.find((row) => row.state.name === 'finished')
  return {
    running: rows.filter(working).slice(0, 4),
    queued: rows.filter((row) => row.state.name === 'queued'),
    recent: rows.filter((row) => !row.state.is_active).slice(0, 5),
    next: finished
      ? [{ text: `${finished.name} got better: held-out loss 1.766 → 1.455 (−0.31). See what made the difference.`, label: 'Compare', href: `/runs/compare?runs=run-1,${finished.id}`, command: `apertis runs compare tone-of-voice-3 ${finished.name}` }]
      : [],
    models: rows.length ? MODELS.slice(0, 3) : MODELS.slice(0, 1),
    data: rows.length ? DATA : DATA.slice(0, 1),
    tour: tourClosed
      ? []
      : ['Start a first run with the sample', 'Watch its curves', 'Read its report', 'Train on your own file', 'Compare two runs'].map((text, index) => ({
          text,
          href: ['/train', '/runs', '/runs', '/train', '/runs'][index]!,
          is_done: rows.length > 0 && index < 4,
        })),
    ...place,
  }
}

export function runOf({ row, notes, etag, shape }: MockRun): Run {
  const isActive = row.state.is_active
  return {
    row,
    folder: `/home/ada/.apertis/runs/${row.name}`,
    notes,
    changed_fields: [
      { name: 'model', value: 'starter' },
      { name: 'data', value: 'support-chats' },
      { name: 'learning_rate', value: shape.learningRate === 2e-4 ? '2e-4' : '1e-4' },
      { name: 'lora.rank', value: '8' },
    ],
    parameters: 4_200_000,
    trainable_parameters: 210_000,
    memory: [
      { component: 'base', bytes: 270_000_000 },
      { component: 'adapter', bytes: 40_000_000 },
      { component: 'activations', bytes: 900_000_000 },
    ],
    peak_memory_bytes: row.step ? 1_270_000_000 : null,
    rows: row.step
      ? {
          rows: 12_480, train_rows: 11_827, eval_rows: 622, tokens: 1_033_000, target_tokens: 402_118,
          reasons: [
            { code: 'too_long_cut', is_dropped: false, count: 22, rows: [14, 90, 211], example: 'cut from 1,310 to 1,024 tokens' },
            { code: 'duplicate', is_dropped: true, count: 31, rows: [7, 8, 44], example: 'same as row 3' },
          ],
        }
      : null,
    energy: row.step ? { joules: 144_000, source: 'rapl' } : null,
    has_report: row.state.name === 'finished',
    can: isActive ? ['pause', 'save_now', 'evaluate_now', 'stop', 'abort', 'set_learning_rate', 'set_eval_steps', 'extend'] : ['resume', 'extend', 'clone', 'reproduce', 'delete'],
    next:
      row.state.name === 'finished'
        ? [
            { text: 'Read what changed, before and after.', label: 'Open the report', href: `/runs/${row.id}/report`, command: `apertis report ${row.name}` },
            { text: 'See it beside the run before.', label: 'Compare', href: `/runs/compare?runs=${row.id},run-6`, command: `apertis runs compare ${row.name} tone-of-voice-1` },
            { text: 'Train two more epochs from here.', label: 'Train further', href: `/train?model=${row.name}`, command: `apertis train model=${row.name} epochs=2` },
          ]
        : [],
    lineage: [
      { kind: 'model', name: 'Starter 4M', href: '', relation: 'made_from' },
      { kind: 'data', name: 'support-chats v3', href: '', relation: 'made_from' },
      { kind: 'checkpoint', name: 'step-001560', href: '', relation: 'made_into' },
    ],
    command: `apertis train model=starter data=support-chats name=${row.name} learning_rate=2e-4 lora.rank=8`,
    seq: shape.steps,
    etag: `"${etag}"`,
  }
}
