// Keys for other computers and programs: make, see once, revoke.
import { useState } from 'react'
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { failureText, post, remove } from '@/api/client'
import { keysQuery } from '@/api/queries'
import type { Key, MadeKey } from '@/api/types'
import { Button } from '@/components/button'
import { Note } from '@/components/bits'
import { CopyButton } from '@/components/copy-button'
import { Dialog } from '@/components/dialog'
import { TextBox } from '@/components/fields'
import { TimeAgo } from '@/components/time-ago'
import { Part } from './part'

export function Keys() {
  const client = useQueryClient()
  const { data: keys } = useQuery(keysQuery())
  const [name, setName] = useState('')
  const [doomed, setDoomed] = useState<Key | null>(null)
  const refresh = () => void client.invalidateQueries({ queryKey: ['keys'] })
  const make = useMutation({
    mutationFn: () => post<MadeKey>('keys', { name: name.trim() }),
    onSuccess: () => {
      setName('')
      refresh()
    },
  })
  const revoke = useMutation({
    mutationFn: (id: string) => remove<unknown>(`keys/${encodeURIComponent(id)}`),
    onSuccess: () => {
      setDoomed(null)
      refresh()
    },
  })
  const failure = make.error ?? revoke.error
  return (
    <Part id="keys" title="Keys">
      <div className="max-w-3xl">
        <p className="mb-3 text-quiet">For other computers and for programs. Only a hash is kept, so a key is shown once.</p>
        <ul>
          {keys?.map((key) => (
            <li key={key.id} className="flex min-h-12 flex-wrap items-center gap-x-4 border-b">
              <span className="min-w-0 grow truncate font-medium">
                <bdi>{key.name}</bdi>
              </span>
              <code className="text-quiet">{key.prefix}…</code>
              <span className="text-small text-quiet">
                {key.used_at ? (
                  <>
                    used <TimeAgo at={key.used_at} />
                  </>
                ) : (
                  'never used'
                )}
              </span>
              <Button isSmall look="plain" onClick={() => setDoomed(key)}>
                Revoke
              </Button>
            </li>
          ))}
        </ul>
        <form
          className="mt-3 flex gap-2"
          onSubmit={(event) => {
            event.preventDefault()
            if (name.trim()) make.mutate()
          }}
        >
          <TextBox aria-label="What the key is for" placeholder="What it is for" maxLength={80} value={name} onChange={(event) => setName(event.target.value)} />
          <Button type="submit" disabled={!name.trim() || make.isPending}>
            Make a key
          </Button>
        </form>
        {failure && (
          <p role="alert" className="mt-2 text-bad">
            {failureText(failure).message} {failureText(failure).hint}
          </p>
        )}
        {make.data && (
          <div className="mt-3 rounded-card border bg-panel p-4">
            <Note tone="info">Copy it now; it is not shown again.</Note>
            <div className="mt-2 flex items-center gap-2">
              <code className="min-w-0 grow wrap-anywhere">{make.data.secret}</code>
              <CopyButton text={make.data.secret} label="Copy the key" />
            </div>
          </div>
        )}
      </div>
      <Dialog
        title="Revoke the key?"
        isOpen={doomed !== null}
        onClose={() => setDoomed(null)}
        footer={
          <>
            <Button look="plain" onClick={() => setDoomed(null)}>
              Keep
            </Button>
            <Button look="bad" onClick={() => doomed && revoke.mutate(doomed.id)}>
              Revoke
            </Button>
          </>
        }
      >
        Whatever uses “<bdi>{doomed?.name}</bdi>” is refused from then on; its open sessions end.
      </Dialog>
    </Part>
  )
}
