// A card that shows what was chosen and opens a gallery.
import type { ReactNode } from 'react'
import { Icon, type IconName } from '@/components/icon'
import { classes } from '@/lib/class-names'

export function ChoiceCard({ step, what, name, about, icon, problem, onOpen }: { step: number; what: string; name: string; about: ReactNode; icon: IconName; problem?: string; onOpen: () => void }) {
  return (
    <section className="min-w-0" aria-label={what}>
      <h2 className="mb-2 font-medium">
        <span className="mr-2 text-quiet">{step}</span>
        {what}
      </h2>
      <button type="button" onClick={onOpen} className={classes('flex w-full items-center gap-4 rounded-card border bg-panel p-4 text-left hover:bg-raised', problem && 'border-bad')}>
        <span className="flex size-10 shrink-0 items-center justify-center rounded-full bg-raised text-quiet">
          <Icon name={icon} />
        </span>
        <span className="min-w-0 grow">
          <span className="block truncate font-medium" dir="auto">
            {name}
          </span>
          <span className="block truncate text-quiet">{problem ? <span className="text-bad">{problem}</span> : about}</span>
        </span>
        <Icon name="right" className="shrink-0 text-quiet" />
      </button>
    </section>
  )
}
