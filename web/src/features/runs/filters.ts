// Filters of the list, held in the address and turned into the server's query.
import type { SortingState } from '@tanstack/react-table'
import type { RunQuery } from '@/api/types'

/** Columns that the server sorts by. */
export const SORTS = ['created', 'name', 'best_loss', 'tokens_per_second', 'state', 'step', 'elapsed'] as const

export const STATES = ['queued', 'training', 'paused', 'finished', 'stopped', 'failed', 'interrupted'] as const

/** `-created` is newest first. */
export function sortingOf(text: string): SortingState {
  const id = text.replace(/^-/, '')
  return (SORTS as readonly string[]).includes(id) ? [{ id, desc: text.startsWith('-') }] : [{ id: 'created', desc: true }]
}

export function sortText(sorting: SortingState): string {
  const first = sorting[0]
  return first ? `${first.desc ? '-' : ''}${first.id}` : '-created'
}

export interface Filters {
  text: string
  state: string
  model: string
  data: string
  tag: string
  sort: string
  isTrash: boolean
}

export function queryOf({ text, state, model, data, tag, sort, isTrash }: Filters): RunQuery {
  const [first] = sortingOf(sort)
  return {
    limit: 100,
    sort: first!.id,
    order: first!.desc ? 'desc' : 'asc',
    text: text || null,
    state: state || null,
    model: model || null,
    data: data || null,
    tag: tag || null,
    trash: isTrash || null,
  }
}
