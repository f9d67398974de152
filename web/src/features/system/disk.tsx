// What the home takes, and what could go without losing a result.
import type { SystemPage } from '@/api/types'
import { classes } from '@/lib/class-names'
import { bytes } from '@/lib/format'
import { CleanUp } from './clean-up'
import { Part } from './part'

const COLOURS = ['bg-[var(--line-1)]', 'bg-[var(--line-2)]', 'bg-[var(--line-3)]', 'bg-[var(--line-4)]', 'bg-[var(--line-5)]', 'bg-[var(--line-8)]']

export function Disk({ disk }: { disk: SystemPage['disk'] }) {
  const total = disk.parts.reduce((sum, part) => sum + part.bytes, 0)
  return (
    <Part id="disk" title="Disk">
      <div className="flex max-w-3xl flex-col gap-3">
        <p className="tabular">
          The home takes {bytes(total)}; <span className="text-quiet">{bytes(disk.free_bytes)} are free</span>
        </p>
        <div className="flex h-2 overflow-hidden rounded-full bg-pressed" aria-hidden="true">
          {disk.parts.map((part, index) => (
            <span
              key={part.component}
              data-fill
              className={classes('h-full border-r border-page last:border-r-0', COLOURS[index % COLOURS.length])}
              style={{ width: `${(part.bytes / (total || 1)) * 100}%` }}
            />
          ))}
        </div>
        <ul className="tabular flex flex-wrap gap-x-5 gap-y-1 text-quiet">
          {disk.parts.map((part, index) => (
            <li key={part.component} className="flex items-center gap-1.5">
              <span data-fill className={classes('size-2 rounded-full', COLOURS[index % COLOURS.length])} />
              {part.component} {bytes(part.bytes)}
            </li>
          ))}
        </ul>
        <CleanUp disk={disk} />
      </div>
    </Part>
  )
}
