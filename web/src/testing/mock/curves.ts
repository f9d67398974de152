// Curves of invented runs: the same every time, shaped like real ones.
import type { Mark, Metrics, Series } from '@/api/types'

/** A small random number generator with a seed (mulberry32). */
export function random(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}

export interface Shape {
  seed: number
  steps: number
  total: number
  start: number
  floor: number
  tokensPerStep: number
  msPerStep: number
  learningRate: number
  stepsPerEpoch: number
  evalEvery: number
}

export function lossAt(shape: Shape, step: number, noise: number): number {
  const decay = Math.exp((-step / shape.total) * 6)
  return shape.floor + (shape.start - shape.floor) * decay + (noise - 0.5) * 0.24 * (0.4 + decay)
}

export function evalAt(shape: Shape, step: number): number {
  const best = shape.total * 0.66
  const after = Math.max(0, step - best) / shape.total
  return shape.floor + 0.09 + (shape.start - shape.floor) * Math.exp((-step / shape.total) * 6) + after * after * 2.4
}

export function learningRateAt(shape: Shape, step: number): number {
  const warmup = shape.total * 0.03
  if (step < warmup) return (shape.learningRate * step) / warmup
  return shape.learningRate * 0.5 * (1 + Math.cos((Math.PI * (step - warmup)) / (shape.total - warmup)))
}

interface Metric {
  name: string
  unit: string
  at: (step: number, noise: number) => number
}

function metricsOf(shape: Shape): Metric[] {
  return [
    { name: 'loss', unit: 'nats', at: (step, noise) => lossAt(shape, step, noise) },
    { name: 'learning_rate', unit: '', at: (step) => learningRateAt(shape, step) },
    { name: 'grad_norm', unit: '', at: (step, noise) => 0.5 + 1.5 * Math.exp((-step / shape.total) * 5) + noise * 0.3 + (noise > 0.995 ? 6 : 0) },
    { name: 'tokens_per_second', unit: 'tokens/s', at: (step, noise) => 412 + (noise - 0.5) * 24 - (step % 97 === 0 ? 90 : 0) },
    { name: 'cpu_percent', unit: '%', at: (_, noise) => 92 + noise * 7 },
    { name: 'process_bytes', unit: 'bytes', at: (step) => 1.21e9 + 6e7 * Math.min(1, step / 60) },
    { name: 'disk_written_bytes', unit: 'bytes/s', at: (step, noise) => (step % shape.evalEvery < 3 ? 4.2e7 : 2e4) * (0.5 + noise) },
    { name: 'network_received_bytes', unit: 'bytes/s', at: (_, noise) => 800 * noise },
  ]
}

const EVALUATED: Metric[] = [
  { name: 'eval_loss', unit: 'nats', at: () => 0 },
  { name: 'accuracy', unit: 'share', at: () => 0 },
  { name: 'perplexity', unit: '', at: () => 0 },
]

function columns(name: string, unit: string, bin: number, total: number): Series {
  return { name, unit, bin, total, step: [], tokens: [], elapsed_ms: [], epoch: [], mean: [], min: [], max: [] }
}

function stand(series: Series, shape: Shape, step: number): void {
  series.step.push(step)
  series.tokens.push(step * shape.tokensPerStep)
  series.elapsed_ms.push(step * shape.msPerStep)
  series.epoch.push(step / shape.stepsPerEpoch)
}

export function metrics(run: string, shape: Shape, names: string[] | null, points: number, from = 0, to = Infinity): Metrics {
  const last = Math.min(shape.steps, to)
  const first = Math.max(1, from)
  let bin = 1
  while ((last - first) / bin > points) bin *= 16
  const wanted = (name: string) => !names || names.includes(name)
  const series = metricsOf(shape)
    .filter((metric) => wanted(metric.name))
    .map((metric, place) => {
      const noise = random(shape.seed * 31 + place)
      const curve = columns(metric.name, metric.unit, bin, shape.steps)
      for (let start = first; start <= last; start += bin) {
        const end = Math.min(start + bin - 1, last)
        const values = Array.from({ length: Math.min(4, end - start + 1) }, (_, part) => metric.at(start + (part * (end - start)) / 4, noise()))
        stand(curve, shape, end)
        curve.mean.push(values.reduce((sum, value) => sum + value, 0) / values.length)
        if (bin > 1) {
          curve.min.push(Math.min(...values))
          curve.max.push(Math.max(...values))
        }
      }
      return curve
    })
  for (const metric of EVALUATED.filter(({ name }) => wanted(name))) {
    const curve = columns(metric.name, metric.unit, 1, Math.floor(shape.steps / shape.evalEvery) + 1)
    for (let step = 0; step <= shape.steps; step += shape.evalEvery) {
      if (step < from || step > to) continue
      const value = evalAt(shape, step)
      stand(curve, shape, step)
      curve.mean.push(metric.name === 'eval_loss' ? value : metric.name === 'accuracy' ? Math.exp(-value) + 0.35 : Math.exp(value))
    }
    series.push(curve)
  }
  return { run, series, marks: marks(shape), seq: shape.steps }
}

function marks(shape: Shape): Mark[] {
  const best = bestOf(shape)
  const list: Mark[] = []
  for (let step = shape.evalEvery; step <= shape.steps; step += shape.evalEvery) {
    list.push({ step, elapsed_ms: step * shape.msPerStep, kind: 'evaluation', text: `held-out loss ${evalAt(shape, step).toFixed(3)}` })
    list.push({ step, elapsed_ms: step * shape.msPerStep, kind: 'checkpoint', text: `checkpoint at step ${step}` })
  }
  if (best.step > 0) list.push({ step: best.step, elapsed_ms: best.step * shape.msPerStep, kind: 'best', text: `best so far: ${best.loss.toFixed(3)}` })
  const half = Math.round(shape.total * 0.4)
  if (shape.steps > half && shape.seed % 3 === 0) {
    list.push({ step: half, elapsed_ms: half * shape.msPerStep, kind: 'learning_rate', text: 'learning rate 4e-4 → 2e-4' })
  }
  return list
}

export function bestOf(shape: Shape): { step: number; loss: number } {
  let best = { step: 0, loss: evalAt(shape, 0) }
  for (let step = 0; step <= shape.steps; step += shape.evalEvery) {
    if (evalAt(shape, step) < best.loss) best = { step, loss: evalAt(shape, step) }
  }
  return best
}
