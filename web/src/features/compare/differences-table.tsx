// Fields that differ and best and last values, beside the pinned run.
import type { Comparison } from '@/api/types'
import { change, significant } from '@/lib/format'
import { classes } from '@/lib/class-names'

export function DifferencesTable({ comparison, baseline, most }: { comparison: Comparison; baseline: number; most: number }) {
  const order = [baseline, ...comparison.runs.map((_, index) => index).filter((index) => index !== baseline)].slice(0, most)
  const rest = comparison.runs.length - order.length
  if (comparison.runs.length === 0) return <p className="text-quiet">No run fits.</p>
  return (
    <section aria-labelledby="differs">
      <h2 id="differs" className="mb-2 font-medium">
        What differs{' '}
        <span className="font-normal text-quiet">
          {comparison.fields.length} of {comparison.field_count} fields{rest > 0 && `; ${rest} more runs under Table`}
        </span>
      </h2>
      <div tabIndex={0} role="region" aria-label="Table of differences" className="relative overflow-x-auto rounded-card border">
        <table className="tabular w-full text-left">
          <thead>
            <tr className="h-10 border-b text-small text-quiet">
              <th scope="col" className="sticky left-0 bg-page px-3 font-medium">
                Field
              </th>
              {order.map((index) => (
                <th key={index} scope="col" className="max-w-44 truncate px-3 font-medium" title={comparison.runs[index]!.name}>
                  <bdi>{comparison.runs[index]!.name}</bdi>
                  {index === baseline && <span className="font-normal"> (pinned)</span>}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {comparison.fields.map((field) => (
              <tr key={field.name} className="h-10 border-b">
                <th scope="row" className="sticky left-0 bg-page px-3 font-mono text-small font-normal">
                  {field.name}
                </th>
                {order.map((index) => (
                  <td key={index} className={classes('max-w-44 truncate px-3', field.values[index] !== field.values[baseline] && 'font-medium')} title={field.values[index]}>
                    <bdi>{field.values[index] || '–'}</bdi>
                  </td>
                ))}
              </tr>
            ))}
            {comparison.values.flatMap((metric) =>
              (['best', 'last'] as const).map((kind) => (
                <tr key={`${metric.name} ${kind}`} className="h-10 border-b last:border-b-0">
                  <th scope="row" className="sticky left-0 bg-page px-3 font-normal">
                    {kind} {metric.name.replaceAll('_', ' ')}
                  </th>
                  {order.map((index) => (
                    <td key={index} className="px-3 whitespace-nowrap">
                      {significant(metric[kind][index])}
                      {index !== baseline && <Change value={metric[kind][index]} base={metric[kind][baseline]} isLessBetter={metric.is_less_better} />}
                    </td>
                  ))}
                </tr>
              )),
            )}
          </tbody>
        </table>
      </div>
    </section>
  )
}

/** How far from the pinned run; better and worse as a word for those who cannot see the colour. */
function Change({ value, base, isLessBetter }: { value: number | null | undefined; base: number | null | undefined; isLessBetter: boolean }) {
  if (typeof value !== 'number' || typeof base !== 'number' || value === base) return null
  const isBetter = value < base === isLessBetter
  return (
    <span className={classes('ml-2 text-small', isBetter ? 'text-good' : 'text-bad')}>
      {change(value, base)}
      <span className="sr-only">{isBetter ? ' better' : ' worse'}</span>
    </span>
  )
}
