// A standing line above the page: the server is away, the connection is not encrypted, and their like.
import type { ReactNode } from 'react'
import { classes } from '@/lib/class-names'
import { Icon } from './icon'

export function Banner({ tone = 'warn', children, action }: { tone?: 'warn' | 'bad' | 'info'; children: ReactNode; action?: ReactNode }) {
  const colour = tone === 'bad' ? 'text-bad' : tone === 'info' ? 'text-accent' : 'text-warn'
  return (
    <div role="alert" className="flex min-h-12 flex-wrap items-center gap-3 border-b bg-raised px-4 py-2 md:px-8">
      <Icon name={tone === 'info' ? 'info' : 'warn'} className={classes('shrink-0', colour)} />
      <p className="min-w-0 grow">{children}</p>
      {action}
    </div>
  )
}
