// Two tabs changed the same: both values are shown, and the person decides.
import { useEffect } from 'react'
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { get, patch } from '@/api/client'
import { runQuery } from '@/api/queries'
import type { Run, RunChange } from '@/api/types'
import { Button } from '@/components/button'
import { Card, Note } from '@/components/bits'

export function ConflictNote({ run, mine, onSettled }: { run: Run; mine: RunChange; onSettled: () => void }) {
  const client = useQueryClient()
  const path = `runs/${encodeURIComponent(run.row.id)}`
  const refresh = () => {
    for (const key of ['run', 'runs', 'home']) void client.invalidateQueries({ queryKey: [key] })
    onSettled()
  }
  const save = useMutation({
    // Under the version that is there now: the person has seen both.
    mutationFn: async () => patch<Run>(path, mine, (await get<Run>(path)).etag),
    onSuccess: refresh,
  })
  const { data: now = run } = useQuery(runQuery(run.row.id))
  useEffect(() => void client.invalidateQueries({ queryKey: ['run', run.row.id] }), [client, run.row.id])
  const yours = mine.name ?? mine.notes ?? mine.tags?.join(', ') ?? ''
  const theirs = mine.name !== undefined ? now.row.name : mine.notes !== undefined ? now.notes : now.row.tags.join(', ')
  return (
    <Card>
      <Note
        tone="warn"
        actions={
          <>
            <Button isSmall disabled={save.isPending} onClick={() => save.mutate()}>
              Save mine
            </Button>
            <Button isSmall look="plain" onClick={refresh}>
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
