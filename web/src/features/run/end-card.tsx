// Stands on top of a run that ended: why and what to do, or where it lies and what comes next.
import { useResume } from '@/api/actions'
import type { Run } from '@/api/types'
import { Button, LinkButton } from '@/components/button'
import { Card, Note } from '@/components/bits'
import { CopyButton } from '@/components/copy-button'
import { count, loss } from '@/lib/format'

const RESUMABLE: Record<string, string> = {
  interrupted: 'Its worker is gone without a word. Nothing that was saved is lost.',
  stopped: 'Somebody stopped it. It goes on from its last checkpoint.',
}

export function EndCard({ run }: { run: Run }) {
  const { row } = run
  const resume = useResume(row.id)
  const canResume = run.can.includes('resume')
  const resumeButton = canResume && (
    <Button look="primary" isSmall icon="play" disabled={resume.isPending} onClick={() => resume.mutate()}>
      Resume
    </Button>
  )
  if (row.state.name === 'failed') {
    return (
      <Card>
        <Note
          tone="bad"
          actions={
            <>
              {resumeButton}
              <LinkButton isSmall to={`/train?clone=${row.id}`}>
                Change the recipe and start again
              </LinkButton>
              <LinkButton isSmall look="plain" to={`/runs/${row.id}/log`}>
                Look at the log
              </LinkButton>
            </>
          }
        >
          <p className="font-medium">{row.failure || row.state.text}</p>
          <p className="text-quiet">{row.failure_hint}</p>
        </Note>
      </Card>
    )
  }
  if (row.state.name === 'not_answering') {
    return (
      <Card>
        <Note tone="warn">Its worker holds the run but has said nothing for 30 seconds. Wait a little: a full disk or a sleeping machine does this. If it never speaks again, end its process (its number is under Files in worker.pid); the run can be resumed then.</Note>
      </Card>
    )
  }
  if (RESUMABLE[row.state.name]) {
    return (
      <Card>
        <Note tone={row.state.name === 'interrupted' ? 'warn' : 'info'} actions={resumeButton}>
          {RESUMABLE[row.state.name]}
        </Note>
      </Card>
    )
  }
  if (row.state.name !== 'finished') return null
  return (
    <Card className="flex flex-col gap-4">
      <Note tone="good">
        Best held-out loss {loss(row.best_loss)} at step {count(row.best_step)}. It lies in <code className="wrap-anywhere">{run.folder}</code>
      </Note>
      <ul className="flex flex-col gap-2">
        {run.next.slice(0, 3).map((step) => (
          <li key={step.text} className="flex flex-wrap items-center gap-x-3 gap-y-1">
            <span className="min-w-0 grow basis-56">{step.text}</span>
            <code className="max-w-full truncate text-small text-quiet">{step.command}</code>
            <CopyButton text={step.command} label="Copy the command" />
            {/* A step that leads to this page is its command alone. */}
            {step.href !== `/runs/${row.id}` && (
              <LinkButton isSmall to={step.href}>
                {step.label}
              </LinkButton>
            )}
          </li>
        ))}
      </ul>
    </Card>
  )
}
