// A finer stretch laid into a coarser series: after a zoom the middle is exact and the rest stays in view.
import type { Series } from '@/api/types'

export function splice(base: Series, detail: Series): Series {
  const first = detail.step[0]
  const last = detail.step.at(-1)
  if (first === undefined || last === undefined || detail.bin >= base.bin) return base
  const before = base.step.findIndex((step) => step >= first)
  const head = before < 0 ? base.step.length : before
  const after = base.step.findIndex((step) => step > last)
  const tail = after < 0 ? base.step.length : after
  const join = <T>(coarse: T[], fine: T[]): T[] => [...coarse.slice(0, head), ...fine, ...coarse.slice(tail)]
  const isSingle = detail.bin === 1
  return {
    ...base,
    step: join(base.step, detail.step),
    tokens: join(base.tokens, detail.tokens),
    elapsed_ms: join(base.elapsed_ms, detail.elapsed_ms),
    epoch: join(base.epoch, detail.epoch),
    mean: join(base.mean, detail.mean),
    min: join(base.min, isSingle ? detail.mean : detail.min),
    max: join(base.max, isSingle ? detail.mean : detail.max),
  }
}
