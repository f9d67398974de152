// Which of the compared runs are shown, and in which colour: filter by text, group by a field.
import type { Comparison } from '@/api/types'

/** The comparison with only the runs whose name, data, model, tags or differing values contain the words. */
export function only(comparison: Comparison, text: string): Comparison {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean)
  if (words.length === 0) return comparison
  const keep = comparison.runs.flatMap((row, index) => {
    const fields = comparison.fields.map((field) => `${field.name}=${field.values[index] ?? ''}`)
    const all = [row.name, row.data, row.model, ...row.tags, ...fields].join(' ').toLowerCase()
    return words.every((word) => all.includes(word)) ? [index] : []
  })
  const pick = <T>(values: T[]): T[] => keep.map((index) => values[index]!)
  return {
    ...comparison,
    runs: pick(comparison.runs),
    curves: pick(comparison.curves),
    fields: comparison.fields.map((field) => ({ ...field, values: pick(field.values) })),
    values: comparison.values.map((metric) => ({ ...metric, best: pick(metric.best), last: pick(metric.last) })),
  }
}

/** Place of each run among line colours: its own, or its group's. */
export function placesOf(comparison: Comparison, group: string): number[] {
  const field = comparison.fields.find((one) => one.name === group)
  if (!field) return comparison.runs.map((_, index) => index)
  const values = [...new Set(field.values)]
  return field.values.map((value) => values.indexOf(value))
}
