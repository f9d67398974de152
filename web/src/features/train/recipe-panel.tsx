// The right panel: the form that the catalogue makes, with search, simple and all, and the recipe as file or command.
import { useMemo, useState } from 'react'
import type { CatalogueField } from '@/api/types'
import { Chip } from '@/components/bits'
import { SearchBox } from '@/components/fields'
import { Icon } from '@/components/icon'
import { SideGroup } from '@/components/side-group'
import { Skeleton } from '@/components/skeleton'
import { useRemembered } from '@/lib/hooks'
import { FieldRow } from './field-row'
import { PresetGallery } from './preset-gallery'
import { RecipeText } from './recipe-text'
import type { Draft } from './use-draft'

/** Chosen on the page's left side, not here. */
const ELSEWHERE = new Set(['model', 'data', 'name'])

/** Fields of the form: those of the chosen method, simple or all, or whatever a search finds. */
export function shownFields(fields: CatalogueField[], method: string, isAll: boolean, search: string): CatalogueField[] {
  const words = search.toLowerCase().split(/\s+/).filter(Boolean)
  return fields.filter((field) => {
    if (ELSEWHERE.has(field.name)) return false
    if (words.length > 0) {
      const text = `${field.name} ${field.label} ${field.meaning}`.toLowerCase()
      return words.every((word) => text.includes(word))
    }
    return (isAll || field.is_simple) && (field.methods.length === 0 || field.methods.includes(method))
  })
}

export function RecipePanel({ draft }: { draft: Draft }) {
  const { catalogue } = draft
  const [view, setView] = useRemembered<'simple' | 'all' | 'text'>('recipe.view', 'simple')
  const [search, setSearch] = useState('')
  const [isGallery, setGallery] = useState(false)
  const preset = draft.presets.find((one) => one.name === draft.preset)
  const method = draft.value('method')
  const fields = useMemo(() => shownFields(catalogue?.fields ?? [], method, view === 'all', search), [catalogue, method, view, search])
  const changed = catalogue?.fields.filter((field) => !ELSEWHERE.has(field.name) && draft.isChanged(field.name)) ?? []
  return (
    <>
      <div className="flex flex-col gap-3 p-4">
        <button type="button" aria-haspopup="dialog" onClick={() => setGallery(true)} className="flex items-center gap-3 rounded-card border bg-page p-4 text-left hover:bg-raised">
          <span className="min-w-0 grow">
            <span className="block text-small text-quiet">Recipe</span>
            <span className="block truncate font-medium">{preset?.title ?? 'Your own'}</span>
            <span className="mt-1 block text-quiet">{changed.length === 0 ? 'Nothing changed' : `${changed.length} ${changed.length === 1 ? 'field' : 'fields'} changed`}</span>
          </span>
          <Icon name="right" className="shrink-0 text-quiet" />
        </button>
        {isGallery && <PresetGallery draft={draft} onClose={() => setGallery(false)} />}
        <div role="group" aria-label="View of the recipe" className="flex gap-2">
          <Chip isOn={view === 'simple'} onClick={() => setView('simple')}>
            Simple
          </Chip>
          <Chip isOn={view === 'all'} onClick={() => setView('all')}>
            All
          </Chip>
          <Chip isOn={view === 'text'} onClick={() => setView('text')}>
            File and command
          </Chip>
        </div>
        {view !== 'text' && <SearchBox label={`Search all ${catalogue?.fields.length ?? ''} fields`} value={search} onChange={(event) => setSearch(event.target.value)} />}
      </div>
      {!catalogue && (
        <div className="px-4">
          <Skeleton className="h-9" lines={6} />
        </div>
      )}
      {catalogue && view === 'text' && <RecipeText draft={draft} />}
      {catalogue && view !== 'text' && (
        <>
          {catalogue.groups.map((group) => {
            const rows = fields.filter((field) => field.group === group)
            if (rows.length === 0) return null
            const many = rows.filter((field) => draft.isChanged(field.name)).length
            return (
              <SideGroup key={`${group} ${search !== ''}`} title={group} note={many > 0 ? `${many} changed` : undefined} isOpenAtFirst={search !== '' || ['Basics', 'Training', 'Optimization', 'Adapter', 'Shape of a new model'].includes(group)}>
                {rows.map((field) => (
                  <FieldRow key={field.name} field={field} draft={draft} />
                ))}
              </SideGroup>
            )
          })}
          {fields.length === 0 && <p className="px-4 py-8 text-center text-quiet">No field fits “{search}”.</p>}
        </>
      )}
    </>
  )
}
