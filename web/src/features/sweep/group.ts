// What a group of runs comes to: counts in words, the best try, the fields that are tried.
import type { Sweep, SweepTry } from '@/api/types'
import { plural } from '@/lib/format'

/** How far a run came, by the rung's number. */
export const RUNGS = ['–', 'a quarter', 'a half', 'the end']

/** Whether the worse half stopped somewhere: rungs below the last are only counted then. */
export const hasRungs = (sweep: Sweep): boolean => sweep.tries.some((one) => one.rung === 1 || one.rung === 2)

export const fieldNames = (sweep: Sweep): string[] => [...new Set(sweep.tries.flatMap((one) => one.fields.map((field) => field.name)))]

/** The try with the lowest held-out loss. */
export function bestOf(sweep: Sweep): SweepTry | undefined {
  const lossOf = (one: SweepTry) => one.run?.best_loss ?? Infinity
  const best = sweep.tries.reduce<SweepTry | undefined>((found, one) => (!found || lossOf(one) < lossOf(found) ? one : found), undefined)
  return best && lossOf(best) < Infinity ? best : undefined
}

/** "3 of 8 finished, 1 at work, 4 waiting." */
export function counts(sweep: Sweep): string {
  const of = (is: (state: string, isActive: boolean) => boolean) => sweep.tries.filter(({ run }) => run && is(run.state.name, run.state.is_active)).length
  const many = sweep.tries.length
  const parts: [number, string][] = [
    [of((state, isActive) => isActive && state !== 'queued'), 'at work'],
    [of((state) => state === 'queued'), 'waiting'],
    [of((state) => state === 'failed'), 'failed'],
    [of((state, isActive) => !isActive && ['stopped', 'interrupted'].includes(state)), 'stopped'],
  ]
  const said = parts.filter(([number]) => number > 0).map(([number, word]) => `${number} ${word}`)
  return [`${of((state) => state === 'finished')} of ${plural(many, 'run', 'runs')} finished`, ...said].join(', ')
}
