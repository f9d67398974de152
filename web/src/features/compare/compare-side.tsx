// The compared runs: their line, the pinned one, filter and grouping.
import { Link } from 'react-router'
import type { Comparison } from '@/api/types'
import { LineKey } from '@/charts/chart-head'
import { IconButton } from '@/components/button'
import { SearchBox, Select } from '@/components/fields'
import { SideGroup } from '@/components/side-group'
import { loss, middleCut } from '@/lib/format'

interface CompareSideProps {
  comparison: Comparison
  places: number[]
  pinned: string
  group: string
  text: string
  onLight: (id: string | null) => void
  onPin: (id: string) => void
  onGroup: (field: string) => void
  onText: (text: string) => void
  onRemove: (id: string) => void
}

export function CompareSide({ comparison, places, pinned, group, text, onLight, onPin, onGroup, onText, onRemove }: CompareSideProps) {
  const base = comparison.runs.find((row) => row.id === pinned)
  return (
    <>
      <div className="flex flex-col gap-3 p-4">
        <div className="rounded-card border bg-page p-4">
          <span className="block text-small text-quiet">Pinned</span>
          <span className="block truncate font-medium" title={base?.name}>
            <bdi>{middleCut(base?.name ?? '–', 32)}</bdi>
          </span>
          <span className="tabular mt-1 block text-quiet">best held-out loss {loss(base?.best_loss)}</span>
        </div>
        <SearchBox label="Show only" value={text} onChange={(event) => onText(event.target.value)} />
        <label className="flex items-center justify-between gap-3">
          <span>Colour by</span>
          <Select value={group} onChange={(event) => onGroup(event.target.value)} className="max-w-44">
            <option value="">run</option>
            {comparison.fields.map((field) => (
              <option key={field.name} value={field.name}>
                {field.name}
              </option>
            ))}
          </Select>
        </label>
      </div>
      <SideGroup title="Runs">
        <ul>
          {comparison.runs.map((row, index) => (
            <li key={row.id} className="flex min-h-(--control) items-center gap-2" onPointerEnter={() => onLight(row.id)} onPointerLeave={() => onLight(null)}>
              <LineKey place={places[index]!} />
              <Link to={`/runs/${row.id}`} title={row.name} className="touchable min-w-0 grow truncate hover:underline" onFocus={() => onLight(row.id)} onBlur={() => onLight(null)}>
                <bdi>{middleCut(row.name, 24)}</bdi>
              </Link>
              <span className="tabular text-quiet">{loss(row.best_loss)}</span>
              <IconButton icon="pin" label={row.id === pinned ? `${row.name} is pinned` : `Pin ${row.name}`} isPressed={row.id === pinned} onClick={() => onPin(row.id)} />
              {comparison.runs.length > 2 && <IconButton icon="close" label={`Leave ${row.name} out`} onClick={() => onRemove(row.id)} />}
            </li>
          ))}
        </ul>
      </SideGroup>
    </>
  )
}
