// Axes of a sweep as the form holds them, and as the server takes them: a list of values, or a range.
import type { CatalogueField, SweepAxis } from '@/api/types'
import { parseNumber } from '@/lib/number-text'

export interface AxisDraft {
  field: string
  kind: 'list' | 'range'
  /** Values of a list, separated by commas; texts with commas stand in quotes. */
  list: string
  from: string
  to: string
  steps: string
  isLogarithmic: boolean
}

/** Fields that a run can differ in: not what it is called, nor what it begins from. */
const FIXED = new Set(['name', 'model', 'adapter', 'chat_template', 'sample_prompts'])

export const sweepable = (fields: CatalogueField[]): CatalogueField[] => fields.filter((field) => !FIXED.has(field.name))

const isNumber = (field: CatalogueField | undefined): boolean => field?.kind === 'integer' || field?.kind === 'number'

/** Whether a field has a range at all: words and switches only have values. */
export const hasRange = (field: CatalogueField | undefined): boolean => isNumber(field)

/** What a new axis of this field begins with: something around what the recipe holds now. */
export function newAxis(field: CatalogueField, value: string): AxisDraft {
  const blank = { field: field.name, from: '', to: '', steps: '3', isLogarithmic: field.is_logarithmic }
  if (field.kind === 'switch') return { ...blank, kind: 'list', list: 'true, false' }
  if (field.kind === 'choice') return { ...blank, kind: 'list', list: field.choices.slice(0, 3).map((choice) => choice.name).join(', ') }
  if (!isNumber(field)) return { ...blank, kind: 'list', list: value }
  const now = parseNumber(value) || (field.name === 'learning_rate' ? 2e-4 : Math.max(1, field.min ?? 1))
  const within = (next: number) => Math.min(field.max ?? Infinity, Math.max(field.min ?? -Infinity, next))
  const round = (next: number) => String(field.kind === 'integer' ? Math.max(1, Math.round(next)) : Number(next.toPrecision(3)))
  const values = [...new Set([now / 2, now, now * 2].map(within).map(round))]
  return { ...blank, kind: 'list', list: values.join(', '), from: values[0] ?? '', to: values.at(-1) ?? '' }
}

/** Values between commas; one that holds a comma stands in quotes. */
export function listOf(text: string): string[] {
  const values = text.match(/\s*(?:"[^"]*"|[^,]+)/g) ?? []
  return values.map((value) => value.trim().replace(/^"(.*)"$/, '$1')).filter(Boolean)
}

/** As the server takes it; `null` where nothing was filled in yet. */
export function axisOf(draft: AxisDraft): SweepAxis | null {
  const { field } = draft
  if (draft.kind === 'list') {
    const values = listOf(draft.list)
    return values.length === 0 ? null : { field, values, is_logarithmic: false }
  }
  const min = parseNumber(draft.from)
  const max = parseNumber(draft.to)
  if (min === null || max === null) return null
  return { field, values: [], min, max, steps: Math.min(20, Math.max(2, Math.round(parseNumber(draft.steps) ?? 3))), is_logarithmic: draft.isLogarithmic }
}
