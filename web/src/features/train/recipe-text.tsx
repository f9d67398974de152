// The recipe as a file and as a command; both can be edited, and the form follows.
import { useId, useState } from 'react'
import { useMutation } from '@tanstack/react-query'
import { failureText, post } from '@/api/client'
import type { FieldProblem, RecipeDraft, RecipeForm } from '@/api/types'
import { Button } from '@/components/button'
import { CopyButton } from '@/components/copy-button'
import type { Draft } from './use-draft'

export function RecipeText({ draft }: { draft: Draft }) {
  const { form } = draft
  return (
    <div className="flex flex-col gap-6 px-4 pb-4">
      <Editor key={`toml ${form?.toml}`} label="recipe.toml" text={form?.toml ?? ''} rows={10} of={(toml) => ({ toml })} draft={draft} />
      <Editor key={`command ${form?.command}`} label="Command" text={form?.command ?? ''} rows={5} of={(command) => ({ command })} draft={draft} />
    </div>
  )
}

function Editor({ label, text, rows, of, draft }: { label: string; text: string; rows: number; of: (text: string) => RecipeDraft; draft: Draft }) {
  const id = useId()
  const [written, setWritten] = useState(text)
  const [problems, setProblems] = useState<FieldProblem[]>([])
  const take = useMutation({
    mutationFn: () => post<RecipeForm>('recipe', of(written)),
    onSuccess: (form) => {
      const unknown = form.problems.filter((problem) => problem.field === '')
      setProblems(unknown)
      if (unknown.length === 0) draft.replace(Object.fromEntries(form.changed.map((name) => [name, form.fields[name] ?? ''])))
    },
  })
  const failure = take.error ? failureText(take.error) : null
  return (
    <div>
      <div className="flex items-center">
        <label htmlFor={id} className="grow font-medium">
          {label}
        </label>
        <CopyButton text={written} label={`Copy ${label}`} />
      </div>
      <textarea
        id={id}
        dir="ltr"
        rows={rows}
        spellCheck={false}
        value={written}
        onChange={(event) => setWritten(event.target.value)}
        className="w-full rounded-control border bg-page p-3 font-mono text-small hover:border-outline"
      />
      {(failure || problems.length > 0) && (
        <p role="alert" className="text-small text-bad">
          {failure ? `${failure.message} ${failure.hint}` : problems.map((problem) => `${problem.message} ${problem.hint}`).join(' ')}
        </p>
      )}
      {written !== text && (
        <div className="mt-2 flex gap-2">
          <Button isSmall disabled={take.isPending} onClick={() => take.mutate()}>
            Use it
          </Button>
          <Button isSmall look="plain" onClick={() => setWritten(text)}>
            Undo
          </Button>
        </div>
      )}
    </div>
  )
}
