// Models to start from: the starter, own checkpoints, a folder.
import { useState } from 'react'
import { useQuery } from '@tanstack/react-query'
import { modelsQuery } from '@/api/queries'
import type { ModelCard } from '@/api/types'
import { Button } from '@/components/button'
import { Tag } from '@/components/bits'
import { Dialog } from '@/components/dialog'
import { TextBox } from '@/components/fields'
import { Skeleton } from '@/components/skeleton'
import { classes } from '@/lib/class-names'
import { bytes, count, loss, short } from '@/lib/format'

const KINDS: Record<string, string> = { starter: 'Starter', checkpoint: 'Your own', folder: 'Folder' }

export function ModelGallery({ isOpen, chosen, onChoose, onClose }: { isOpen: boolean; chosen: string; onChoose: (reference: string) => void; onClose: () => void }) {
  const { data: models } = useQuery({ ...modelsQuery(), enabled: isOpen })
  const [path, setPath] = useState('')
  return (
    <Dialog look="wide" title="Choose a model" isOpen={isOpen} onClose={onClose}>
      {!models && <Skeleton className="h-24" lines={3} />}
      <ul className="grid gap-3 sm:grid-cols-2">
        {models?.map((model) => (
          <li key={model.reference}>
            <button
              type="button"
              disabled={model.problem !== ''}
              aria-pressed={model.reference === chosen}
              onClick={() => onChoose(model.reference)}
              className="flex h-full w-full flex-col gap-1 rounded-card border bg-page p-4 text-left hover:bg-raised disabled:opacity-60 aria-pressed:border-accent aria-pressed:bg-soft aria-pressed:text-on-soft"
            >
              <span className="flex w-full items-center gap-2">
                <span className="min-w-0 grow truncate font-medium" dir="auto">
                  {model.name}
                </span>
                <Tag>{KINDS[model.kind] ?? model.kind}</Tag>
              </span>
              <span className={classes(model.reference !== chosen && 'text-quiet')}>{model.problem ? <span className="text-bad">{model.problem}</span> : aboutModel(model)}</span>
              {model.made_by && <span className="text-small">{model.made_by}</span>}
            </button>
          </li>
        ))}
      </ul>
      <form
        className="mt-6 flex items-end gap-2"
        onSubmit={(event) => {
          event.preventDefault()
          if (path.trim()) onChoose(path.trim())
        }}
      >
        <label className="grow">
          <span className="text-quiet">Or a folder on this computer, as Transformers writes them</span>
          <TextBox value={path} onChange={(event) => setPath(event.target.value)} placeholder="/models/SmolLM2-135M" />
        </label>
        <Button type="submit" disabled={!path.trim()}>
          Use folder
        </Button>
      </form>
    </Dialog>
  )
}

export function aboutModel(model: ModelCard): string {
  return [
    model.parameters ? `${short(model.parameters)} parameters` : '',
    model.family,
    model.context ? `${count(model.context)} tokens` : '',
    model.bytes ? bytes(model.bytes) : '',
    model.best_loss ? `best loss ${loss(model.best_loss)}` : '',
  ]
    .filter(Boolean)
    .join(' · ')
}
