// Two tabs changed the same: both values are shown, and the person decides.
import { useQueryClient } from '@tanstack/react-query'
import { useRunChange } from '@/api/actions'
import type { Run, RunChange } from '@/api/types'
import { Button } from '@/components/button'
import { Card, Note } from '@/components/bits'

export function ConflictNote({ run, mine, onSettled }: { run: Run; mine: RunChange; onSettled: () => void }) {
  const client = useQueryClient()
  const change = useRunChange(run.row.id, run.etag)
  const yours = mine.name ?? mine.notes ?? mine.tags?.join(', ') ?? ''
  const theirs = mine.name !== undefined ? run.row.name : mine.notes !== undefined ? run.notes : run.row.tags.join(', ')
  return (
    <Card>
      <Note
        tone="warn"
        actions={
          <>
            <Button
              isSmall
              onClick={() => {
                void client.invalidateQueries({ queryKey: ['run', run.row.id] }).then(() => {
                  change.mutate(mine)
                  onSettled()
                })
              }}
            >
              Save mine
            </Button>
            <Button
              isSmall
              look="plain"
              onClick={() => {
                void client.invalidateQueries({ queryKey: ['run', run.row.id] })
                onSettled()
              }}
            >
              Keep theirs
            </Button>
          </>
        }
      >
        Somebody else changed this meanwhile. Yours: “<bdi>{yours}</bdi>”. Theirs: “<bdi>{theirs}</bdi>”.
      </Note>
    </Card>
  )
}
