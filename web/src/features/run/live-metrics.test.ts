// A run's curves while events come: growth, resume, and which charts there are.
import { beforeEach, expect, test, vi } from 'vitest'
import type { RunEvent } from '@/api/types'
import { splice } from '@/charts/splice'
import { emptySeries } from '@/charts/grow'
import { MockServer } from '@/testing/mock/server'
import type { Metrics } from '@/api/types'
import { CHARTS, chartsFor, curvesOf, takenBackOf } from './chart-list'
import { LiveMetrics } from './live-metrics'
import { fieldsText } from './log-tab'

beforeEach(() => void vi.useFakeTimers())

const loaded = (): LiveMetrics => {
  const answer = new MockServer().handle('GET', new URL('http://x/api/v1/runs/run-6/metrics?points=2000'), null, null)
  const live = new LiveMetrics()
  live.load(answer.body as Metrics)
  return live
}

const event = (step: number, kind: string, fields: Record<string, unknown>): RunEvent => ({ seq: step, attempt: 1, step, at: '', elapsed_ms: step * 1000, kind, fields })

test('a step grows every curve of steps, once a quarter second', () => {
  const live = loaded()
  const heard = vi.fn()
  live.subscribe(heard)
  vi.runAllTimers()
  heard.mockClear()
  const before = live.series.get('loss')!.step.length
  for (const step of [701, 702, 703]) live.apply(event(step, 'step_finished', { loss: 1.5, learning_rate: 1e-4, grad_norm: 1, tokens: 100, epoch: 1, tokens_per_second: 400 }))
  vi.runAllTimers()
  expect(heard).toHaveBeenCalledTimes(1)
  expect(live.series.get('loss')!.step.length).toBe(before + 3)
  expect(live.series.get('loss')!.tokens.at(-1)! - live.series.get('loss')!.tokens.at(-3)!).toBe(200)
})

test('a resume takes later points and marks back', () => {
  const live = loaded()
  live.apply(event(700, 'run_resumed', { from_step: 300 }))
  expect(live.series.get('loss')!.step.at(-1)).toBeLessThanOrEqual(300)
  expect(live.series.get('eval_loss')!.step.at(-1)).toBeLessThanOrEqual(300)
  expect(live.marks.filter((mark) => mark.kind === 'checkpoint').every((mark) => mark.step <= 300)).toBe(true)
  expect(live.marks.at(-1)?.kind).toBe('resume')
  // What was taken back can still be drawn behind.
  const loss = live.takenBack.find((series) => series.name === 'loss')!
  expect(loss.step[0]).toBeGreaterThan(300)
  expect(loss.mean).toHaveLength(loss.step.length)
  expect(takenBackOf(CHARTS[0]!, live.takenBack, 'step', 0).map((curve) => curve.label)).toEqual(['train, taken back', 'held-out, taken back'])
})

test('a loss that is no number is a gap, not zero', () => {
  const live = loaded()
  live.apply(event(701, 'step_finished', { loss: null, tokens: 100, epoch: 1 }))
  expect(live.series.get('loss')!.mean.at(-1)).toBeNull()
})

test('unknown metrics get a chart of their own', () => {
  const series = new Map([['loss', emptySeries('loss')], ['tea_temperature', emptySeries('tea_temperature', '°C')]])
  expect(chartsFor(series).map((chart) => chart.title)).toEqual(['Loss', 'Tea temperature'])
  expect(curvesOf(chartsFor(series)[0]!, series, 'step', 0)).toHaveLength(1)
})

test('a finer stretch replaces the coarse one and nothing else', () => {
  const base = { ...emptySeries('loss'), bin: 16, step: [16, 32, 48, 64], tokens: [1, 2, 3, 4], elapsed_ms: [1, 2, 3, 4], epoch: [0, 0, 0, 0], mean: [4, 3, 2, 1], min: [4, 3, 2, 1], max: [4, 3, 2, 1] }
  const detail = { ...emptySeries('loss'), step: [20, 30, 40], tokens: [1, 2, 3], elapsed_ms: [1, 2, 3], epoch: [0, 0, 0], mean: [3.5, 3, 2.5] }
  expect(splice(base, detail).step).toEqual([16, 20, 30, 40, 48, 64])
  expect(splice(base, detail).min).toHaveLength(6)
  expect(splice(base, emptySeries('loss'))).toBe(base)
})

test('events of another version are shown as they stand', () => {
  expect(fieldsText({ brew: 'strong', grams: 12, nested: { a: 1 } })).toBe('brew strong · grams 12 · nested {"a":1}')
  expect(fieldsText(null)).toBe('')
})
