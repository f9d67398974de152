// The curves of one run while it is looked at: read once, then grown by the room's events. React hears of changes
// at most four times a second, and not while the page is hidden.
import { useEffect, useMemo, useSyncExternalStore } from 'react'
import { useQuery, useQueryClient } from '@tanstack/react-query'
import { machineQuery, metricsQuery } from '@/api/queries'
import type { Mark, Metrics, RunEvent, RunMessage, Series } from '@/api/types'
import { appendPoint, cutAfter, emptySeries, stretchAfter, type LivePoint } from '@/charts/grow'
import { announce } from '@/lib/announce'
import { useRoom } from '@/live/live'

const REDRAW_MS = 250

/** Metrics that come with events; the machine's own come from the log by asking again. */
const STEP_METRICS: [name: string, field: string][] = [
  ['loss', 'loss'],
  ['learning_rate', 'learning_rate'],
  ['grad_norm', 'grad_norm'],
  ['tokens_per_second', 'tokens_per_second'],
]

const TAKEN_BACK = ['loss', 'eval_loss']
const MOST_STRETCHES = 20

const numberOf = (fields: unknown, name: string): number | null => {
  const value = (fields as Record<string, unknown> | null)?.[name]
  return typeof value === 'number' ? value : null
}

export class LiveMetrics {
  readonly series = new Map<string, Series>()
  marks: Mark[] = []
  /** Stretches of the losses that a resume or rewind took back, while this page looked on. */
  takenBack: Series[] = []
  private version = 0
  private timer: ReturnType<typeof setTimeout> | null = null
  private readonly listeners = new Set<() => void>()

  getVersion = (): number => this.version

  subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener)
    return () => this.listeners.delete(listener)
  }

  /** Takes an answer of REST as the truth. */
  load(metrics: Metrics): void {
    this.series.clear()
    for (const series of metrics.series) this.series.set(series.name, structuredClone(series))
    this.marks = [...metrics.marks]
    this.tell()
  }

  /** Replaces single series: those of the machine. */
  merge(metrics: Metrics): void {
    for (const series of metrics.series) this.series.set(series.name, structuredClone(series))
    this.tellSoon()
  }

  apply(event: RunEvent): void {
    switch (event.kind) {
      case 'step_finished':
        this.step(event)
        break
      case 'evaluated':
        this.evaluation(event)
        break
      case 'run_resumed':
        this.cut(numberOf(event.fields, 'from_step') ?? 0)
        this.mark(event, 'resume', `resumed from step ${numberOf(event.fields, 'from_step') ?? 0}`)
        break
      case 'run_rewound':
        this.cut(numberOf(event.fields, 'to_step') ?? 0)
        this.mark(event, 'rewind', `went back to step ${numberOf(event.fields, 'to_step') ?? 0}`)
        break
      case 'checkpoint_saved':
        this.mark(event, 'checkpoint', `checkpoint at step ${event.step}`)
        break
      case 'run_paused':
        this.mark(event, 'pause', 'paused')
        break
      case 'learning_rate_changed':
        this.mark(event, 'learning_rate', `learning rate ${numberOf(event.fields, 'from')} → ${numberOf(event.fields, 'to')}`)
        break
      case 'worker_slept':
        this.mark(event, 'sleep', 'the machine slept')
        break
      default:
        return
    }
    this.tellSoon()
  }

  private step(event: RunEvent): void {
    const before = this.series.get('loss')
    const place = {
      step: event.step,
      tokens: (before?.tokens.at(-1) ?? 0) + (numberOf(event.fields, 'tokens') ?? 0),
      elapsed_ms: event.elapsed_ms,
      epoch: numberOf(event.fields, 'epoch') ?? 0,
    }
    for (const [name, field] of STEP_METRICS) this.add(name, { ...place, value: numberOf(event.fields, field) })
  }

  private evaluation(event: RunEvent): void {
    const loss = numberOf(event.fields, 'loss')
    const steps = this.series.get('loss')
    const place = { step: event.step, tokens: steps?.tokens.at(-1) ?? 0, elapsed_ms: event.elapsed_ms, epoch: steps?.epoch.at(-1) ?? 0 }
    this.add('eval_loss', { ...place, value: loss })
    this.add('eval_loss_low', { ...place, value: numberOf(event.fields, 'loss_low') })
    this.add('eval_loss_high', { ...place, value: numberOf(event.fields, 'loss_high') })
    this.add('accuracy', { ...place, value: numberOf(event.fields, 'accuracy') })
    this.add('perplexity', { ...place, value: loss === null ? null : Math.exp(loss) })
    const isBest = (event.fields as { best?: boolean } | null)?.best === true
    this.mark(event, isBest ? 'best' : 'evaluation', `held-out loss ${loss?.toFixed(3) ?? '–'}${isBest ? ', best so far' : ''}`)
    announce(`Evaluated at step ${event.step}: held-out loss ${loss?.toFixed(3) ?? 'unknown'}`)
  }

  private add(name: string, point: LivePoint): void {
    let series = this.series.get(name)
    if (!series) this.series.set(name, (series = emptySeries(name)))
    appendPoint(series, point)
  }

  private cut(step: number): void {
    const stretches = TAKEN_BACK.flatMap((name) => stretchAfter(this.series.get(name) ?? emptySeries(name), step) ?? [])
    this.takenBack = [...this.takenBack, ...stretches].slice(-MOST_STRETCHES)
    for (const series of this.series.values()) cutAfter(series, step)
    this.marks = this.marks.filter((mark) => mark.step <= step || !['evaluation', 'best', 'checkpoint'].includes(mark.kind))
  }

  private mark(event: RunEvent, kind: string, text: string): void {
    this.marks = [...this.marks, { step: event.step, elapsed_ms: event.elapsed_ms, kind, text }]
  }

  /** Many points, one redraw. */
  private tellSoon(): void {
    this.timer ??= setTimeout(() => {
      this.timer = null
      if (document.hidden) {
        document.addEventListener('visibilitychange', () => this.tellSoon(), { once: true })
        return
      }
      this.tell()
    }, REDRAW_MS)
  }

  private tell(): void {
    this.version += 1
    for (const listener of this.listeners) listener()
  }
}

export interface RunMetrics {
  series: Map<string, Series>
  marks: Mark[]
  takenBack: Series[]
  version: number
  isLoading: boolean
}

const MACHINE_EVERY_MS = 15_000

export function useRunMetrics(id: string, isActive: boolean): RunMetrics {
  const client = useQueryClient()
  // A run of another name is another set of curves.
  // eslint-disable-next-line react-hooks/exhaustive-deps
  const live = useMemo(() => new LiveMetrics(), [id])
  const { data, isLoading } = useQuery(metricsQuery(id))
  useEffect(() => {
    if (data) live.load(data)
  }, [data, live])
  const reload = () => void client.invalidateQueries({ queryKey: ['metrics', id] })
  useRoom(data ? `run:${id}` : null, data ? { after: data.seq, epoch: null } : null, {
    onMessage: (body) => {
      const { event } = body as RunMessage
      live.apply(event)
      refreshAfter(event, (key) => void client.invalidateQueries({ queryKey: [key, id] }))
    },
    onReload: reload,
    onGap: reload,
  })
  const names = useMemo(() => data?.series.map((series) => series.name).filter(isMachine).join(',') ?? '', [data])
  const machine = useQuery({
    ...machineQuery(id, names),
    enabled: isActive && names !== '',
    refetchInterval: MACHINE_EVERY_MS,
    staleTime: MACHINE_EVERY_MS,
  })
  useEffect(() => {
    if (machine.data) live.merge(machine.data)
  }, [machine.data, live])
  const version = useSyncExternalStore(live.subscribe, live.getVersion)
  return { series: live.series, marks: live.marks, takenBack: live.takenBack, version, isLoading }
}

const FROM_EVENTS = new Set([...STEP_METRICS.map(([name]) => name), 'eval_loss', 'accuracy', 'perplexity'])
const isMachine = (name: string): boolean => !FROM_EVENTS.has(name)

/** What else of the page an event makes old. */
function refreshAfter(event: RunEvent, refresh: (key: string) => void): void {
  if (event.kind === 'step_finished' || event.kind === 'sampled') return
  if (event.kind === 'evaluated') for (const key of ['coach', 'samples']) refresh(key)
  if (event.kind !== 'phase_entered') refresh('events')
  if (/^run_|learning_rate|schedule/.test(event.kind)) refresh('run')
}
