// Collapsible groups of the right panel.
import { useId, useState, type ReactNode } from 'react'
import { classes } from '@/lib/class-names'
import { Icon } from './icon'

export function SideGroup({ title, children, isOpenAtFirst = true, note }: { title: string; children: ReactNode; isOpenAtFirst?: boolean; note?: ReactNode }) {
  const [isOpen, setOpen] = useState(isOpenAtFirst)
  const body = useId()
  return (
    <section className="border-t first:border-t-0">
      <h2>
        <button
          type="button"
          aria-expanded={isOpen}
          aria-controls={body}
          onClick={() => setOpen(!isOpen)}
          className="flex h-12 w-full items-center gap-2 px-4 text-left font-medium hover:bg-raised"
        >
          <span className="grow">{title}</span>
          {note && <span className="text-small font-normal text-quiet">{note}</span>}
          <Icon name="down" className={classes('eases text-quiet transition-transform', !isOpen && '-rotate-90')} />
        </button>
      </h2>
      <div id={body} hidden={!isOpen} className="px-4 pb-4">
        {children}
      </div>
    </section>
  )
}

/** A label with its value, on the panel's rhythm. */
export function Fact({ label, children }: { label: ReactNode; children: ReactNode }) {
  return (
    <div className="flex min-h-(--control) items-center justify-between gap-4">
      <dt className="text-quiet">{label}</dt>
      <dd className="tabular min-w-0 text-right wrap-anywhere">{children}</dd>
    </div>
  )
}
