// One field of a sweep: which, and its values as a list or a range.
import type { CatalogueField } from '@/api/types'
import { IconButton } from '@/components/button'
import { CheckBox } from '@/components/bits'
import { NumberBox, Select, TextBox } from '@/components/fields'
import { hasRange, newAxis, type AxisDraft } from './sweep-axes'

interface SweepAxisRowProps {
  axis: AxisDraft
  fields: CatalogueField[]
  /** Fields that other rows try already. */
  taken: string[]
  value: (name: string) => string
  onChange: (axis: AxisDraft) => void
  onRemove: (() => void) | null
}

export function SweepAxisRow({ axis, fields, taken, value, onChange, onRemove }: SweepAxisRowProps) {
  const field = fields.find((one) => one.name === axis.field)
  const change = (next: Partial<AxisDraft>) => onChange({ ...axis, ...next })
  const choose = (name: string) => {
    const chosen = fields.find((one) => one.name === name)
    if (chosen) onChange(newAxis(chosen, value(name)))
  }
  return (
    <fieldset className="flex flex-col gap-2 rounded-card border p-3">
      <legend className="sr-only">{axis.field}</legend>
      <div className="flex items-center gap-2">
        <Select aria-label="Field" value={axis.field} onChange={(event) => choose(event.target.value)} className="min-w-0 grow">
          {fields
            .filter((one) => one.name === axis.field || !taken.includes(one.name))
            .map((one) => (
              <option key={one.name} value={one.name}>
                {one.name}
              </option>
            ))}
        </Select>
        {hasRange(field) && (
          <Select aria-label={`Kind of values of ${axis.field}`} value={axis.kind} onChange={(event) => change({ kind: event.target.value as AxisDraft['kind'] })} className="shrink-0">
            <option value="list">List</option>
            <option value="range">Range</option>
          </Select>
        )}
        {onRemove && <IconButton icon="close" label={`Leave ${axis.field} out`} onClick={onRemove} />}
      </div>
      {axis.kind === 'list' && (
        <TextBox aria-label={`Values of ${axis.field}`} placeholder="Values, separated by commas" value={axis.list} onChange={(event) => change({ list: event.target.value })} />
      )}
      {axis.kind === 'range' && (
        <div className="flex flex-wrap items-center gap-x-3 gap-y-1">
          <Labelled label="From">
            <NumberBox label={`${axis.field} from`} value={axis.from} onChange={(from) => change({ from })} className="w-20" />
          </Labelled>
          <Labelled label="to">
            <NumberBox label={`${axis.field} to`} value={axis.to} onChange={(to) => change({ to })} className="w-20" />
          </Labelled>
          <Labelled label="in">
            <NumberBox label={`Values of the range of ${axis.field}`} value={axis.steps} onChange={(steps) => change({ steps })} className="w-14" />
          </Labelled>
          <CheckBox label="by factors" checked={axis.isLogarithmic} onChange={(event) => change({ isLogarithmic: event.target.checked })} />
        </div>
      )}
    </fieldset>
  )
}

function Labelled({ label, children }: { label: string; children: React.ReactNode }) {
  return (
    <label className="flex items-center gap-2">
      <span className="text-quiet">{label}</span>
      {children}
    </label>
  )
}
