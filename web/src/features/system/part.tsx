// A part of the page with an address of its own.
import type { ReactNode } from 'react'

export function Part({ id, title, children }: { id: string; title: string; children: ReactNode }) {
  return (
    <section
      id={id}
      aria-labelledby={`${id}-title`}
      className="grid scroll-mt-4 gap-x-8 gap-y-3 border-t pt-6 first:border-t-0 first:pt-0 lg:grid-cols-[12rem_minmax(0,1fr)]"
    >
      <h2 id={`${id}-title`} className="text-lead font-medium">
        {title}
      </h2>
      <div className="min-w-0">{children}</div>
    </section>
  )
}
