// What the run will take: memory by part, steps, time, disk, and what to change if it does not fit.
import { useQuery } from '@tanstack/react-query'
import { cancelJob, useStartJob } from '@/api/actions'
import { failureText } from '@/api/client'
import { jobsQuery } from '@/api/queries'
import type { Plan, Repair } from '@/api/types'
import { Button } from '@/components/button'
import { Card, Note, Progress } from '@/components/bits'
import { Skeleton } from '@/components/skeleton'
import { Word } from '@/components/word'
import { classes } from '@/lib/class-names'
import { bytes, count, duration, short } from '@/lib/format'
import { useLiveJobs } from '@/live/live'
import type { Fields } from './use-draft'

const PARTS = ['bg-accent', 'bg-[var(--line-2)]', 'bg-[var(--line-3)]', 'bg-[var(--line-4)]', 'bg-[var(--line-5)]', 'bg-[var(--line-6)]']

interface PlanCardProps {
  plan: Plan | undefined
  error: unknown
  isOld: boolean
  fields: Fields
  onRepair: (repair: Repair) => void
}

export function PlanCard({ plan, error, isOld, fields, onRepair }: PlanCardProps) {
  return (
    <Card aria-labelledby="plan" className={classes('flex flex-col gap-4', isOld && 'opacity-70')}>
      <div className="flex flex-wrap items-center gap-2">
        <h2 id="plan" className="grow font-medium">
          Plan{' '}
          {plan && <span className="font-normal text-quiet">{plan.is_measured ? (plan.measured_at ? 'from an earlier measurement' : 'measured') : 'estimated'}</span>}
        </h2>
        {plan && <Measure fields={fields} />}
      </div>
      {!plan && !error && <Skeleton className="h-5" lines={3} />}
      {Boolean(error) && <Note tone="warn">{failureText(error).message} {failureText(error).hint}</Note>}
      {plan && (
        <>
          <Memory plan={plan} />
          <p className="tabular flex flex-wrap gap-x-6 gap-y-1">
            <span>
              {count(plan.steps)} <Word of="step">steps</Word>
            </span>
            <span>
              {plan.is_token_estimate && 'about '}
              {short(plan.tokens)} <Word of="token">tokens</Word>
            </span>
            <span>{plan.seconds ? `about ${duration(plan.seconds * 1000)}` : 'time not known yet'}</span>
            {plan.tokens_per_second ? <span className="text-quiet">{count(plan.tokens_per_second)} tokens/s</span> : null}
            <span className="text-quiet">{bytes(plan.disk_bytes)} on disk</span>
            <span className="text-quiet">evaluates {count(plan.evaluations)} times</span>
            <span className="text-quiet">
              {short(plan.trainable_parameters)} of {short(plan.parameters)} <Word of="parameter">parameters</Word> trained
            </span>
          </p>
          {plan.remarks.map((remark) => (
            <Note
              key={remark.text}
              tone={remark.tone}
              actions={remark.repairs.map((repair) => (
                <Button key={repair.label} isSmall onClick={() => onRepair(repair)}>
                  {repair.label}
                </Button>
              ))}
            >
              {remark.text}
            </Note>
          ))}
        </>
      )}
    </Card>
  )
}

function Memory({ plan }: { plan: Plan }) {
  const limit = Math.max(plan.memory_limit_bytes, plan.memory_bytes)
  const isTooMuch = plan.memory_bytes > plan.memory_limit_bytes
  return (
    <div>
      <p className={classes('tabular', isTooMuch && 'text-bad')}>
        Memory {bytes(plan.memory_bytes)} <span className="text-quiet">of {bytes(plan.memory_limit_bytes)}</span>
        {isTooMuch && ' – does not fit'}
      </p>
      <div className="mt-2 flex h-2 overflow-hidden rounded-full bg-pressed" role="img" aria-label={plan.memory.map((part) => `${part.component} ${bytes(part.bytes)}`).join(', ')}>
        {plan.memory.map((part, index) => (
          <span key={part.component} data-fill className={classes('h-full border-r border-page last:border-r-0', PARTS[index % PARTS.length])} style={{ width: `${(part.bytes / limit) * 100}%` }} />
        ))}
      </div>
      <ul className="tabular mt-2 flex flex-wrap gap-x-4 gap-y-1 text-small text-quiet">
        {plan.memory.map((part, index) => (
          <li key={part.component} className="flex items-center gap-1.5">
            <span data-fill className={classes('size-2 rounded-full', PARTS[index % PARTS.length])} />
            {part.component} {bytes(part.bytes)}
          </li>
        ))}
      </ul>
    </div>
  )
}

/** Three real steps instead of an estimate; a job that can be cancelled. */
function Measure({ fields }: { fields: Fields }) {
  const start = useStartJob()
  const { data: jobs } = useQuery(jobsQuery())
  useLiveJobs(jobs)
  const job = jobs?.items.find((one) => one.id === start.data?.id) ?? start.data
  const isRunning = job?.state === 'running' || job?.state === 'waiting'
  const failure = start.error ? failureText(start.error) : null
  if (isRunning) {
    return (
      <div className="flex items-center gap-3">
        <span className="text-small text-quiet">{job.message || 'measuring'}</span>
        <div className="w-24">
          <Progress share={job.progress ?? null} label="Measuring" />
        </div>
        <Button isSmall look="plain" onClick={() => void cancelJob(job.id)}>
          Cancel
        </Button>
      </div>
    )
  }
  return (
    <>
      {(failure || job?.failure) && <span className="text-small text-bad">{failure?.message ?? job?.failure}</span>}
      <Button isSmall look="plain" onClick={() => start.mutate({ kind: 'measure_plan', recipe: { fields } })}>
        Measure
      </Button>
    </>
  )
}
