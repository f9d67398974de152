// Long work of the server, with its progress; what broke off can be run again.
import { useQuery, useQueryClient } from '@tanstack/react-query'
import { cancelJob } from '@/api/actions'
import { post } from '@/api/client'
import { jobsQuery } from '@/api/queries'
import type { Job } from '@/api/types'
import { Button } from '@/components/button'
import { Progress } from '@/components/bits'
import { TimeAgo } from '@/components/time-ago'
import { useLiveJobs } from '@/live/live'
import { Part } from './part'

export function Jobs() {
  const client = useQueryClient()
  const { data: jobs } = useQuery(jobsQuery())
  useLiveJobs(jobs)
  const refresh = () => void client.invalidateQueries({ queryKey: ['jobs'] })
  return (
    <Part id="jobs" title="Long work">
      <ul className="max-w-3xl">
        {jobs?.items.slice(0, 20).map((job) => (
          <li key={job.id} className="flex min-h-12 flex-wrap items-center gap-x-4 gap-y-1 border-b py-2">
            <span className="min-w-0 grow">
              <bdi>{job.title}</bdi>
              <span className="block text-small text-quiet">{job.failure ? `${job.failure} ${job.failure_hint}` : job.message}</span>
            </span>
            <span className="text-quiet">{job.state}</span>
            {isRunning(job) ? (
              <>
                <div className="w-28">
                  <Progress share={job.progress ?? null} label={job.title} />
                </div>
                <Button isSmall look="plain" onClick={() => void cancelJob(job.id).then(refresh)}>
                  Cancel
                </Button>
              </>
            ) : (
              <>
                <span className="text-small text-quiet">
                  <TimeAgo at={job.ended_at ?? job.created_at} />
                </span>
                {job.can_repeat && (
                  <Button isSmall onClick={() => void post(`jobs/${encodeURIComponent(job.id)}/again`).then(refresh)}>
                    Run again
                  </Button>
                )}
              </>
            )}
          </li>
        ))}
      </ul>
      {jobs?.items.length === 0 && <p className="text-quiet">Nothing runs. Uploads, measurements and merges are shown here.</p>}
    </Part>
  )
}

const isRunning = (job: Job): boolean => job.state === 'running' || job.state === 'waiting'
