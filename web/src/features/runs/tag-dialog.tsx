// Adds a tag to the chosen runs, each under its own version so that nobody's change is lost.
import { useState } from 'react'
import { useMutation, useQueryClient } from '@tanstack/react-query'
import { failureText, get, patch } from '@/api/client'
import type { Run, RunRow } from '@/api/types'
import { Button } from '@/components/button'
import { Dialog } from '@/components/dialog'
import { TextBox } from '@/components/fields'
import { plural } from '@/lib/format'

export function TagDialog({ rows, onClose }: { rows: RunRow[]; onClose: () => void }) {
  const client = useQueryClient()
  const [tag, setTag] = useState('')
  const add = useMutation({
    mutationFn: async () => {
      for (const row of rows) {
        const run = await get<Run>(`runs/${encodeURIComponent(row.id)}`)
        const tags = [...new Set([...run.row.tags, tag.trim()])]
        await patch<Run>(`runs/${encodeURIComponent(row.id)}`, { tags }, run.etag)
      }
    },
    onSuccess: () => {
      void client.invalidateQueries({ queryKey: ['runs'] })
      onClose()
    },
  })
  return (
    <Dialog title={`Tag ${plural(rows.length, 'run', 'runs')}`} isOpen onClose={onClose}>
      <form
        className="flex gap-2"
        onSubmit={(event) => {
          event.preventDefault()
          if (tag.trim()) add.mutate()
        }}
      >
        <TextBox aria-label="Tag" autoFocus maxLength={40} value={tag} onChange={(event) => setTag(event.target.value)} />
        <Button type="submit" look="primary" disabled={!tag.trim() || add.isPending}>
          Add
        </Button>
      </form>
      {add.error && (
        <p role="alert" className="mt-2 text-bad">
          {failureText(add.error).message}
        </p>
      )}
    </Dialog>
  )
}
