// What it sees: the first packed batches, token by token: trained, masked, cut. Told apart by line style too.
import { useQuery } from '@tanstack/react-query'
import { batchesQuery } from '@/api/queries'
import type { SeenRow } from '@/api/types'
import { classes } from '@/lib/class-names'
import { count } from '@/lib/format'

const KINDS: Record<string, { look: string; means: string }> = {
  trained: { look: 'border-b-2 border-accent text-ink', means: 'learned' },
  masked: { look: 'text-quiet', means: 'read, not learned' },
  cut: { look: 'text-bad line-through', means: 'cut: too long' },
}

export function Seen({ id }: { id: string }) {
  const { data: rows } = useQuery(batchesQuery(id))
  if (!rows || rows.length === 0) return null
  const batches = [...new Set(rows.map((row) => row.batch))]
  return (
    <section aria-labelledby="seen" className="flex flex-col gap-4">
      <div className="flex flex-wrap items-center gap-x-6 gap-y-1">
        <h2 id="seen" className="text-lead font-medium">
          What it sees
        </h2>
        {Object.entries(KINDS).map(([kind, { look, means }]) => (
          <span key={kind} className="text-small text-quiet">
            <span className={classes(look, 'mr-1.5')}>{kind}</span>
            {means}
          </span>
        ))}
      </div>
      {batches.map((batch) => (
        <div key={batch}>
          <h3 className="mb-1 text-quiet">Batch {batch + 1}</h3>
          {rows.filter((row) => row.batch === batch).map((row) => (
            <Row key={row.row} row={row} />
          ))}
        </div>
      ))}
    </section>
  )
}

function Row({ row }: { row: SeenRow }) {
  return (
    <div className="flex gap-4 border-t py-2">
      <span className="tabular w-16 shrink-0 text-small text-quiet">row {count(row.row)}</span>
      <p dir="auto" className="font-mono text-small leading-6 whitespace-pre-wrap">
        {row.tokens.map((token, index) => (
          <span key={index} title={`${token.id}, ${KINDS[token.kind]?.means ?? token.kind}`} className={KINDS[token.kind]?.look}>
            {token.text}
          </span>
        ))}
      </p>
    </div>
  )
}
