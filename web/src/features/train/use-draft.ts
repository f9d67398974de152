// The recipe being written: only the fields that were set. Kept in this tab, so that a reload or an ended session
// loses nothing; a link can set model, data, preset, or clone a run.
import { useCallback, useEffect, useMemo, useState } from 'react'
import { useQuery } from '@tanstack/react-query'
import { useSearchParams } from 'react-router'
import { cloneRun } from '@/api/actions'
import { ApiFailure } from '@/api/client'
import { catalogueQuery, formQuery, presetsQuery } from '@/api/queries'
import type { Catalogue, FieldProblem, Preset, RecipeForm } from '@/api/types'
import { useSettled } from '@/lib/hooks'

export type Fields = Record<string, string>

const KEY = 'apertis.recipe'

function saved(): Fields {
  try {
    return JSON.parse(sessionStorage.getItem(KEY) ?? '{}') as Fields
  } catch {
    return {}
  }
}

export interface Draft {
  catalogue: Catalogue | undefined
  form: RecipeForm | undefined
  /** What keeps the recipe from being started. */
  problems: FieldProblem[]
  /** Whether `form` answers what is written now. */
  isFresh: boolean
  fields: Fields
  presets: Preset[]
  preset: string | null
  value: (name: string) => string
  isChanged: (name: string) => boolean
  problem: (name: string) => string | undefined
  set: (changes: Fields) => void
  reset: (name: string) => void
  replace: (fields: Fields) => void
  choose: (preset: Preset) => void
}

/** What a preset leaves in place: what is trained, on what, and the run's name. */
const KEPT = ['model', 'data', 'eval_data', 'name']

export function withPreset(fields: Fields, preset: Preset): Fields {
  const kept = Object.fromEntries(KEPT.flatMap((name) => (fields[name] ? [[name, fields[name]]] : [])))
  return { ...kept, ...preset.fields, ...(preset.fields.model === '' ? { model: '' } : {}) }
}

/** A draft that cannot be read at all is refused; the refusal names the field. */
export function problemsOf(form: RecipeForm | undefined, refusal: unknown): FieldProblem[] {
  if (!(refusal instanceof ApiFailure) || refusal.code === 'away') return form?.problems ?? []
  const field = (refusal.details as { field?: unknown } | null)?.field
  return [{ field: typeof field === 'string' ? field : '', message: refusal.message, hint: refusal.hint }]
}

export function useDraft(): Draft {
  const [parameters, setParameters] = useSearchParams()
  const [fields, setFields] = useState<Fields>(saved)
  const { data: catalogue } = useQuery(catalogueQuery())
  const { data: presets } = useQuery(presetsQuery())
  const settled = useSettled(fields, 200)
  const draft = useMemo(() => ({ fields: settled }), [settled])
  const { data: form, error: formError, isPlaceholderData } = useQuery(formQuery(draft))
  const problems = useMemo(() => problemsOf(form, formError), [form, formError])

  useEffect(() => sessionStorage.setItem(KEY, JSON.stringify(fields)), [fields])

  // Links into this page: taken over once, then the address is clean again.
  useEffect(() => {
    const clone = parameters.get('clone')
    const names = ['model', 'data'].filter((name) => parameters.has(name))
    const preset = parameters.get('preset')
    if (!clone && names.length === 0 && !preset) return
    if (preset && !presets) return
    const how = parameters.get('how') === 'as_became' ? 'as_became' : 'as_started'
    const given = Object.fromEntries(names.map((name) => [name, parameters.get(name) ?? '']))
    const take = async () => {
      if (clone) {
        const { fields: all, changed } = await cloneRun(clone, how)
        setFields(Object.fromEntries(changed.filter((name) => name !== 'name').map((name) => [name, all[name] ?? ''])))
      }
      setFields((before) => {
        const chosen = presets?.find((one) => one.name === preset)
        return { ...(chosen ? withPreset(before, chosen) : before), ...given }
      })
      setParameters({}, { replace: true })
    }
    void take()
  }, [parameters, presets, setParameters])

  const set = useCallback((changes: Fields) => setFields((before) => ({ ...before, ...changes })), [])
  const reset = useCallback((name: string) => setFields((before) => Object.fromEntries(Object.entries(before).filter(([field]) => field !== name))), [])
  const initial = useMemo(() => new Map(catalogue?.fields.map((field) => [field.name, field.default])), [catalogue])
  const value = (name: string) => fields[name] ?? initial.get(name) ?? ''
  return {
    catalogue,
    form,
    problems,
    isFresh: settled === fields && !isPlaceholderData,
    fields,
    presets: presets ?? [],
    preset: presets?.find((one) => Object.entries(one.fields).every(([name, text]) => value(name) === text))?.name ?? null,
    value,
    isChanged: (name) => value(name) !== (initial.get(name) ?? ''),
    problem: (name) => {
      const found = problems.find((one) => one.field === name)
      return found && `${found.message} ${found.hint}`.trim()
    },
    set,
    reset,
    replace: setFields,
    choose: (preset) => setFields((before) => withPreset(before, preset)),
  }
}
