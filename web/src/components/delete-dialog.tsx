// Asks before runs go to the trash, after naming what depends on them.
import { useQueries } from '@tanstack/react-query'
import { useDelete } from '@/api/actions'
import { failureText } from '@/api/client'
import { dependentsQuery } from '@/api/queries'
import { middleCut, plural } from '@/lib/format'
import { Button } from './button'
import { Dialog } from './dialog'

export function DeleteDialog({ ids, names, onClose, onDeleted }: { ids: string[]; names: string[]; onClose: () => void; onDeleted: () => void }) {
  const found = useQueries({ queries: ids.slice(0, 20).map((id) => dependentsQuery(id)) })
  const dependents = found.flatMap((query) => query.data ?? [])
  const remove = useDelete()
  const failure = remove.error ? failureText(remove.error) : null
  return (
    <Dialog
      title={names.length === 1 ? `Delete ${middleCut(names[0] ?? '', 32)}?` : `Delete ${plural(names.length, 'run', 'runs')}?`}
      isOpen={ids.length > 0}
      onClose={onClose}
      footer={
        <>
          <Button look="plain" onClick={onClose}>
            Keep
          </Button>
          <Button look="bad" disabled={remove.isPending} onClick={() => remove.mutate(ids, { onSuccess: () => { onClose(); onDeleted() } })}>
            Move to the trash
          </Button>
        </>
      }
    >
      <p>It lies in the trash for 30 days and can be brought back from there.</p>
      {dependents.length > 0 && (
        <>
          <p className="mt-3 font-medium">These stand on it:</p>
          <ul className="list-disc pl-5">
            {dependents.map((one) => (
              <li key={`${one.kind} ${one.name}`}>
                {one.kind} <bdi>{one.name}</bdi>
              </li>
            ))}
          </ul>
        </>
      )}
      {failure && (
        <p role="alert" className="mt-3 text-bad">
          {failure.message} {failure.hint}
        </p>
      )}
    </Dialog>
  )
}
