// What the coach sees, with its numbers, and what to do about it.
import { useQuery } from '@tanstack/react-query'
import { useRunCommand } from '@/api/actions'
import { coachQuery } from '@/api/queries'
import { Button } from '@/components/button'
import { Card, Note } from '@/components/bits'

const ACTIONS: Record<string, string> = { stop: 'Stop and save', pause: 'Pause', save_now: 'Save now', evaluate_now: 'Evaluate now', set_learning_rate: 'Change the learning rate', extend: 'Train longer', abort: 'Abort', unpause: 'Go on', set_eval_steps: 'Change the interval' }

export function Coach({ id }: { id: string }) {
  const { data: notes } = useQuery(coachQuery(id))
  const command = useRunCommand(id)
  if (!notes || notes.length === 0) return null
  return (
    <Card aria-label="Coach" className="flex flex-col gap-4">
      {notes.slice(0, 3).map((note) => (
        <Note
          key={note.text}
          tone={note.tone}
          actions={
            note.action && (
              <Button isSmall disabled={command.isPending} onClick={() => note.action && command.mutate(note.action)}>
                {ACTIONS[note.action.action] ?? note.action.action}
              </Button>
            )
          }
        >
          <p>{note.text}</p>
          <p className="text-quiet">{note.advice}</p>
        </Note>
      ))}
    </Card>
  )
}
