// What of the home can go without losing a result: chosen, then removed.
import { useState } from 'react'
import { useMutation, useQueryClient } from '@tanstack/react-query'
import { failureText, post } from '@/api/client'
import type { SystemPage } from '@/api/types'
import { Button } from '@/components/button'
import { CheckBox } from '@/components/bits'
import { Dialog } from '@/components/dialog'
import { announce } from '@/lib/announce'
import { bytes } from '@/lib/format'

type DiskUse = SystemPage['disk']

export function CleanUp({ disk }: { disk: DiskUse }) {
  const client = useQueryClient()
  const [isOpen, setOpen] = useState(false)
  const [chosen, setChosen] = useState<string[]>([])
  const sum = (kinds: string[]) => disk.removable.filter((one) => kinds.includes(one.kind)).reduce((total, one) => total + one.bytes, 0)
  const clean = useMutation({
    mutationFn: () => post<DiskUse>('system/cleanup', { kinds: chosen }),
    onSuccess: (left) => {
      announce(`${bytes(sum(chosen))} removed`)
      client.setQueryData<SystemPage>(['system'], (system) => system && { ...system, disk: left })
      for (const key of ['system', 'runs', 'home']) void client.invalidateQueries({ queryKey: [key] })
      setOpen(false)
    },
  })
  const all = disk.removable.map((one) => one.kind)
  if (sum(all) === 0) return <p className="text-quiet">Nothing that could be made again lies here.</p>
  const failure = clean.error ? failureText(clean.error) : null
  return (
    <>
      <div>
        <Button
          onClick={() => {
            clean.reset()
            setChosen(all.filter((kind) => kind !== 'trash'))
            setOpen(true)
          }}
        >
          Clean up {bytes(sum(all))}…
        </Button>
      </div>
      <Dialog
        title="Clean up"
        isOpen={isOpen}
        onClose={() => setOpen(false)}
        footer={
          <>
            <Button look="plain" onClick={() => setOpen(false)}>
              Keep all
            </Button>
            <Button look="bad" disabled={chosen.length === 0 || clean.isPending} onClick={() => clean.mutate()}>
              Remove {bytes(sum(chosen))}
            </Button>
          </>
        }
      >
        <ul>
          {disk.removable.map((one) => (
            <li key={one.kind} className="tabular flex items-center justify-between gap-4 border-b py-1">
              <CheckBox label={one.text} checked={chosen.includes(one.kind)} onChange={(event) => setChosen(event.target.checked ? [...chosen, one.kind] : chosen.filter((kind) => kind !== one.kind))} />
              <span className="shrink-0 text-quiet">{bytes(one.bytes)}</span>
            </li>
          ))}
        </ul>
        <p className="mt-3 text-quiet">Models, data, runs and their checkpoints stay.{chosen.includes('trash') && ' What is in the trash cannot be brought back afterwards.'}</p>
        {failure && (
          <p role="alert" className="mt-2 text-bad">
            {failure.message} {failure.hint}
          </p>
        )}
      </Dialog>
    </>
  )
}
