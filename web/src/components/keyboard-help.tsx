// What keys do, opened by `?`; screens add their own lines.
import { useQuery } from '@tanstack/react-query'
import { catalogueQuery } from '@/api/queries'
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

export function KeyboardHelp({ isOpen, onClose, guide }: { isOpen: boolean; onClose: () => void; guide: { title: string; lines: string[]; words: string[] } }) {
  return (
    <Dialog look="wide" title={guide.title} isOpen={isOpen} onClose={onClose}>
      <div className="grid gap-8 md:grid-cols-2">
        <div className="flex max-w-prose flex-col gap-3">
          {guide.lines.map((line) => (
            <p key={line}>{line}</p>
          ))}
          {isOpen && <Words words={guide.words} />}
        </div>
        <div className="flex flex-col gap-6">
          <KeyTable title="Keys everywhere" lines={SHARED_KEYS} />
          <KeyTable title="Keys on a chart" lines={CHART_KEYS} />
        </div>
      </div>
    </Dialog>
  )
}

/** What the words on this page mean, as far as the server's glossary has them. */
function Words({ words }: { words: string[] }) {
  const { data } = useQuery(catalogueQuery())
  const known = words.flatMap((word) => (data?.glossary[word] ? [[word, data.glossary[word]] as const] : []))
  if (known.length === 0) return null
  return (
    <section>
      <h3 className="mt-3 mb-2 font-medium">Words on this page</h3>
      <dl className="flex flex-col gap-2">
        {known.map(([word, meaning]) => (
          <div key={word}>
            <dt className="font-medium">{word}</dt>
            <dd className="text-quiet">{meaning}</dd>
          </div>
        ))}
      </dl>
    </section>
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
