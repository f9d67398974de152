// Data to learn from: the sample, what was dropped before, a path, or a file dropped now; with 20 rows as chat.
import { useState } from 'react'
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { failureText } from '@/api/client'
import { dataQuery, rowsQuery } from '@/api/queries'
import { uploadData } from '@/api/upload'
import type { DataCard, DataPreview } from '@/api/types'
import { Button } from '@/components/button'
import { Note, Progress, Tag } from '@/components/bits'
import { Dialog } from '@/components/dialog'
import { TextBox } from '@/components/fields'
import { Skeleton } from '@/components/skeleton'
import { classes } from '@/lib/class-names'
import { bytes, count } from '@/lib/format'

const KINDS: Record<string, string> = { sample: 'Sample', upload: 'Uploaded', path: 'Path' }

export function DataGallery({ isOpen, chosen, onChoose, onClose }: { isOpen: boolean; chosen: string; onChoose: (reference: string) => void; onClose: () => void }) {
  const client = useQueryClient()
  const { data: sets } = useQuery({ ...dataQuery(), enabled: isOpen })
  const preview = useQuery({ ...rowsQuery(chosen), enabled: isOpen && chosen !== '' })
  const [path, setPath] = useState('')
  const [share, setShare] = useState(0)
  const [isOver, setOver] = useState(false)
  const upload = useMutation({
    mutationFn: (file: File) => uploadData(file, setShare),
    onSuccess: (card) => {
      void client.invalidateQueries({ queryKey: ['data'] })
      onChoose(card.reference)
    },
  })
  const failure = upload.error ? failureText(upload.error) : null
  return (
    <Dialog
      look="wide"
      title="Choose data"
      isOpen={isOpen}
      onClose={onClose}
      footer={
        <Button look="primary" disabled={!chosen} onClick={onClose}>
          Use it
        </Button>
      }
    >
      <div className="grid gap-6 lg:grid-cols-2">
        <div className="flex min-w-0 flex-col gap-4">
          {!sets && <Skeleton className="h-20" lines={3} />}
          <ul className="flex flex-col gap-2">
            {sets?.map((set) => (
              <li key={set.reference}>
                <button
                  type="button"
                  disabled={set.problem !== ''}
                  aria-pressed={set.reference === chosen}
                  onClick={() => onChoose(set.reference)}
                  className="flex w-full flex-col gap-1 rounded-card border bg-page p-4 text-left hover:bg-raised disabled:opacity-60 aria-pressed:border-accent aria-pressed:bg-soft aria-pressed:text-on-soft"
                >
                  <span className="flex w-full items-center gap-2">
                    <span className="min-w-0 grow truncate font-medium" dir="auto">
                      {set.name}
                      {set.version > 1 && ` v${set.version}`}
                    </span>
                    <Tag>{KINDS[set.kind] ?? set.kind}</Tag>
                  </span>
                  <span className={classes(set.reference !== chosen && 'text-quiet')}>{set.problem ? <span className="text-bad">{set.problem}</span> : aboutData(set)}</span>
                </button>
              </li>
            ))}
          </ul>
          <div
            onDragOver={(event) => {
              event.preventDefault()
              setOver(true)
            }}
            onDragLeave={() => setOver(false)}
            onDrop={(event) => {
              event.preventDefault()
              setOver(false)
              const file = event.dataTransfer.files[0]
              if (file) upload.mutate(file)
            }}
            className={classes('rounded-card border border-dashed border-outline p-4 text-center text-quiet', isOver && 'bg-raised')}
          >
            Drop a file here, or{' '}
            <label className="text-accent underline focus-within:outline-2 focus-within:outline-accent">
              choose one
              <input type="file" className="sr-only" onChange={(event) => event.target.files?.[0] && upload.mutate(event.target.files[0])} />
            </label>
            <br />
            JSON lines, JSON, CSV, Parquet or text, up to 2 GB
            {upload.isPending && (
              <div className="mt-3">
                <Progress share={share} label="Upload" />
              </div>
            )}
            {failure && (
              <p role="alert" className="mt-2 text-bad">
                {failure.message} {failure.hint}
              </p>
            )}
          </div>
          <form
            className="flex items-end gap-2"
            onSubmit={(event) => {
              event.preventDefault()
              if (path.trim()) onChoose(path.trim())
            }}
          >
            <label className="grow">
              <span className="text-quiet">Or a path on this computer</span>
              <TextBox value={path} onChange={(event) => setPath(event.target.value)} placeholder="/data/*.jsonl" />
            </label>
            <Button type="submit" disabled={!path.trim()}>
              Use path
            </Button>
          </form>
        </div>
        <section aria-label="Preview" className="min-w-0">
          {!chosen && <p className="text-quiet">Choose data to see its first rows.</p>}
          {chosen && preview.isLoading && <Skeleton className="h-16" lines={4} />}
          {preview.error && <p className="text-bad">{failureText(preview.error).message}</p>}
          {preview.data && <Preview preview={preview.data} />}
        </section>
      </div>
    </Dialog>
  )
}

function Preview({ preview }: { preview: DataPreview }) {
  return (
    <>
      <p className="mb-2 text-quiet">
        {typeof preview.rows === 'number' ? `${count(preview.rows)} rows` : 'Rows are being counted'}, recognised as {preview.format}
      </p>
      {preview.reasons.map((reason) => (
        <div key={reason.code} className="mb-2">
          <Note tone="warn">
            {count(reason.count)} rows {reason.is_dropped ? 'are left out' : 'are changed'}: {reason.code.replaceAll('_', ' ')}. {reason.example && <bdi className="text-quiet">{reason.example}</bdi>}
          </Note>
        </div>
      ))}
      <ol tabIndex={0} aria-label="First rows" className="max-h-96 overflow-y-auto border-t">
        {preview.items.map((row) => (
          <li key={row.row} className="flex gap-3 border-b py-2">
            <span className="tabular w-8 shrink-0 text-small text-quiet">{count(row.row + 1)}</span>
            <div className="min-w-0 grow">
              {row.messages.map((message, index) => (
                <p key={index} dir="auto" className="wrap-anywhere">
                  {message.role !== 'text' && <span className="text-quiet">{message.role} </span>}
                  {message.text}
                </p>
              ))}
              {row.problem && <p className="text-small text-warn">{row.problem}</p>}
            </div>
          </li>
        ))}
      </ol>
    </>
  )
}

export function aboutData(set: DataCard): string {
  return [
    set.rows === null || set.rows === undefined ? '' : `${count(set.rows)} rows`,
    set.bad_rows ? `${count(set.bad_rows)} unusable` : '',
    set.format,
    bytes(set.bytes),
  ]
    .filter(Boolean)
    .join(' · ')
}
