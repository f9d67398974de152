// A page's title as the editable name of the thing: click or Enter edits, Escape gives it back.
import { useState } from 'react'
import { middleCut } from '@/lib/format'
import { Tip } from './tooltip'

export function EditableName({ name, label, onRename, isDisabled }: { name: string; label: string; onRename: (name: string) => void; isDisabled?: boolean }) {
  const [draft, setDraft] = useState<string | null>(null)
  const finish = () => {
    const next = draft?.trim() ?? ''
    setDraft(null)
    if (next && next !== name) onRename(next)
  }
  if (draft !== null) {
    return (
      <h1 className="min-w-0 grow text-title">
        <input
          autoFocus
          dir="auto"
          aria-label={label}
          value={draft}
          maxLength={80}
          onChange={(event) => setDraft(event.target.value)}
          onBlur={finish}
          onKeyDown={(event) => {
            if (event.key === 'Enter') finish()
            if (event.key === 'Escape') setDraft(null)
          }}
          className="-mx-2 w-full max-w-xl rounded-control border bg-panel px-2"
        />
      </h1>
    )
  }
  return (
    <h1 className="max-w-full shrink-0 text-title">
      <Tip text={`${name} · click to rename`}>
        <button
          type="button"
          dir="auto"
          disabled={isDisabled}
          onClick={() => setDraft(name)}
          className="-mx-2 max-w-[calc(100%+1rem)] touchable truncate rounded-control px-2 text-left hover:bg-raised"
        >
          {middleCut(name)}
          <span className="sr-only"> (rename)</span>
        </button>
      </Tip>
    </h1>
  )
}
