// Tabs of a page as links, so that each has an address and the back button works.
import { Link } from 'react-router'
import { classes } from '@/lib/class-names'

export interface Tab {
  id: string
  label: string
  to: string
}

export function Tabs({ tabs, current, label }: { tabs: Tab[]; current: string; label: string }) {
  return (
    <nav aria-label={label} className="-mx-4 overflow-x-auto border-b px-4 md:mx-0 md:px-0">
      <ul className="flex gap-1">
        {tabs.map((tab) => (
          <li key={tab.id}>
            <Link
              to={tab.to}
              aria-current={tab.id === current ? 'page' : undefined}
              className={classes(
                'eases flex h-row items-center rounded-t-control border-b-2 px-3 whitespace-nowrap transition-colors hover:bg-raised',
                tab.id === current ? 'border-accent font-medium text-ink' : 'border-transparent text-quiet',
              )}
            >
              {tab.label}
            </Link>
          </li>
        ))}
      </ul>
    </nav>
  )
}
