// Presets, ours and one's own, with what each would change here; one's own can be thrown away.
import { useMutation, useQueryClient } from '@tanstack/react-query'
import { failureText, remove } from '@/api/client'
import type { Preset } from '@/api/types'
import { Button } from '@/components/button'
import { Dialog } from '@/components/dialog'
import { PresetCards } from './presets'
import type { Draft } from './use-draft'

export function PresetGallery({ draft, onClose }: { draft: Draft; onClose: () => void }) {
  const client = useQueryClient()
  const chosen = draft.presets.find((preset) => preset.name === draft.preset)
  const drop = useMutation({
    mutationFn: (preset: Preset) => remove<unknown>(`presets/${encodeURIComponent(preset.name)}`),
    onSuccess: () => client.invalidateQueries({ queryKey: ['presets'] }),
  })
  const failure = drop.error ? failureText(drop.error) : null
  return (
    <Dialog
      look="wide"
      title="Choose a recipe"
      isOpen
      onClose={onClose}
      footer={
        chosen?.is_own && (
          <Button look="bad" disabled={drop.isPending} onClick={() => drop.mutate(chosen)}>
            Delete “{chosen.title}”
          </Button>
        )
      }
    >
      <PresetCards
        presets={draft.presets}
        chosen={draft.preset}
        onChoose={(preset) => {
          draft.choose(preset)
          onClose()
        }}
      />
      <p className="mt-4 text-quiet">A recipe of your own is kept with “Save as preset”, as a file in the home.</p>
      {failure && (
        <p role="alert" className="mt-2 text-bad">
          {failure.message} {failure.hint}
        </p>
      )}
    </Dialog>
  )
}
