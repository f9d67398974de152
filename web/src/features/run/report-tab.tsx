// The run's report, before and after: a page of its own without scripts, framed in a sandbox.
import { address } from '@/api/client'
import type { Run } from '@/api/types'
import { Empty } from '@/components/bits'

export function ReportTab({ run }: { run: Run }) {
  if (!run.has_report) return <Empty title="No report yet">It is written when the run ends: the answers before and after, the curves, and what was trained on what.</Empty>
  return (
    <iframe
      title={`Report of ${run.row.name}`}
      sandbox=""
      src={address(`runs/${encodeURIComponent(run.row.id)}/files/report.html`, { view: 'frame' })}
      className="h-[80dvh] w-full rounded-card border bg-page"
    />
  )
}
