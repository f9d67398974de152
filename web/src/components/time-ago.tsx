// "2 min ago", with the exact time on hover.
import { ago, exactTime } from '@/lib/format'
import { useNow } from '@/lib/hooks'

export function TimeAgo({ at }: { at: string }) {
  const now = useNow()
  return (
    <time dateTime={at} title={exactTime(at)} className="whitespace-nowrap">
      {ago(at, now)}
    </time>
  )
}
