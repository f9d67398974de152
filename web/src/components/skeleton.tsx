// Grey shapes of what is coming, shown only after 300 ms; the space is kept from the start.
import { useDelayed } from '@/lib/hooks'
import { classes } from '@/lib/class-names'

export function Skeleton({ className, lines = 1 }: { className?: string; lines?: number }) {
  const isShown = useDelayed(true)
  return (
    <div data-skeleton aria-busy="true" aria-label="Loading" role="status" className="flex flex-col gap-3">
      {Array.from({ length: lines }, (_, line) => (
        <div key={line} className={classes('rounded-control', className ?? 'h-6', isShown && 'breathes bg-raised')} />
      ))}
    </div>
  )
}
