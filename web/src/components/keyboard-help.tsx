// What keys do, opened by `?`; screens add their own lines.
import { Dialog } from './dialog'

export interface KeyLine {
  keys: string[]
  does: string
}

export const SHARED_KEYS: KeyLine[] = [
  { keys: ['?'], does: 'This page' },
  { keys: ['g', 'h'], does: 'Home' },
  { keys: ['g', 't'], does: 'Train' },
  { keys: ['g', 'r'], does: 'Runs' },
  { keys: ['g', 's'], does: 'System' },
  { keys: ['/'], does: 'Search, where a page has a search field' },
  { keys: ['['], does: 'Fold the rail' },
]

export const CHART_KEYS: KeyLine[] = [
  { keys: ['←', '→'], does: 'Move the cursor by a point; with Shift by ten' },
  { keys: ['Home', 'End'], does: 'First and last point' },
  { keys: ['+', '−'], does: 'Zoom in and out at the cursor' },
  { keys: ['0'], does: 'Show all' },
  { keys: ['t'], does: 'The chart as a table' },
  { keys: ['Esc'], does: 'Leave the cursor' },
]

export function KeyboardHelp({ isOpen, onClose, guide }: { isOpen: boolean; onClose: () => void; guide: { title: string; lines: string[] } }) {
  return (
    <Dialog look="wide" title={guide.title} isOpen={isOpen} onClose={onClose}>
      <div className="grid gap-8 md:grid-cols-2">
        <div className="flex max-w-prose flex-col gap-3">
          {guide.lines.map((line) => (
            <p key={line}>{line}</p>
          ))}
        </div>
        <div className="flex flex-col gap-6">
          <KeyTable title="Keys everywhere" lines={SHARED_KEYS} />
          <KeyTable title="Keys on a chart" lines={CHART_KEYS} />
        </div>
      </div>
    </Dialog>
  )
}

function KeyTable({ title, lines }: { title: string; lines: KeyLine[] }) {
  return (
    <section>
      <h3 className="mb-2 font-medium">{title}</h3>
      <dl className="grid grid-cols-[auto_1fr] items-center gap-x-4 gap-y-2">
        {lines.map((line) => (
          <div key={line.does} className="contents">
            <dt className="flex gap-1">
              {line.keys.map((key) => (
                <kbd key={key} className="min-w-6 rounded border bg-raised px-1.5 text-center text-small">
                  {key}
                </kbd>
              ))}
            </dt>
            <dd className="text-quiet">{line.does}</dd>
          </div>
        ))}
      </dl>
    </section>
  )
}
