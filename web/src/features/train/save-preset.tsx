// Keeps the recipe under a name of one's own.
import { useState } from 'react'
import { useMutation, useQueryClient } from '@tanstack/react-query'
import { failureText, put } from '@/api/client'
import type { Preset } from '@/api/types'
import { Button } from '@/components/button'
import { Dialog } from '@/components/dialog'
import { TextBox } from '@/components/fields'
import type { Fields } from './use-draft'

export function SavePreset({ fields, onClose }: { fields: Fields; onClose: () => void }) {
  const client = useQueryClient()
  const [title, setTitle] = useState('')
  const [what, setWhat] = useState('')
  const name = title.toLowerCase().replace(/[^\p{L}\p{N}]+/gu, '-').replace(/^-|-$/g, '')
  const save = useMutation({
    mutationFn: () => {
      const kept = Object.fromEntries(Object.entries(fields).filter(([field]) => !['model', 'data', 'name', 'eval_data'].includes(field)))
      return put<Preset>(`presets/${encodeURIComponent(name)}`, { name, title: title.trim(), what: what.trim(), not_for: '', fields: kept, is_own: true } satisfies Preset)
    },
    onSuccess: () => {
      void client.invalidateQueries({ queryKey: ['presets'] })
      onClose()
    },
  })
  const failure = save.error ? failureText(save.error) : null
  return (
    <Dialog
      title="Save as preset"
      isOpen
      onClose={onClose}
      footer={
        <Button look="primary" disabled={!name || save.isPending} onClick={() => save.mutate()}>
          Save
        </Button>
      }
    >
      <label className="mb-3 block">
        <span className="text-quiet">What its card says</span>
        <TextBox autoFocus maxLength={80} value={title} onChange={(event) => setTitle(event.target.value)} />
      </label>
      <label className="block">
        <span className="text-quiet">What it does, in a sentence</span>
        <TextBox maxLength={200} value={what} onChange={(event) => setWhat(event.target.value)} />
      </label>
      {failure && (
        <p role="alert" className="mt-2 text-bad">
          {failure.message} {failure.hint}
        </p>
      )}
    </Dialog>
  )
}
