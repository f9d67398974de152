// A chart's title line: name, unit, keys of its lines, and what can be done with it.
import { Menu } from '@/components/menu'
import { IconButton } from '@/components/button'
import type { Curve } from './curve'
import { colourVariable, dashOf } from './palette'

interface ChartHeadProps {
  title: string
  unit?: string
  curves: Curve[]
  isTable: boolean
  isZoomed: boolean
  onTable: () => void
  onReset: () => void
  onSave: (kind: 'png' | 'svg' | 'csv') => void
}

export function ChartHead({ title, unit, curves, isTable, isZoomed, onTable, onReset, onSave }: ChartHeadProps) {
  return (
    <figcaption className="flex h-9 items-center gap-3">
      <h2 className="truncate font-medium">
        {title}
        {unit && <span className="ml-1.5 text-small font-normal text-quiet">{unit}</span>}
      </h2>
      <div className="flex min-w-0 grow justify-end gap-3 overflow-hidden">
        {curves.length > 1 &&
          curves.slice(0, 4).map((curve) => (
            <span key={curve.id} className="flex items-center gap-1.5 text-small whitespace-nowrap text-quiet">
              <LineKey place={curve.place} />
              {curve.label}
            </span>
          ))}
      </div>
      <div className="-mr-1 flex">
        {isZoomed && <IconButton icon="restore" label="Show all" onClick={onReset} />}
        <Menu
          trigger={<IconButton icon="more" label={`More for ${title}`} />}
          items={[
            { label: isTable ? 'Show as a chart' : 'Show as a table', icon: 'table', hint: 'Key t on the chart', onSelect: onTable },
            'line',
            { label: 'Save as PNG', icon: 'download', onSelect: () => onSave('png') },
            { label: 'Save as SVG', icon: 'download', onSelect: () => onSave('svg') },
            { label: 'Save as CSV', icon: 'download', onSelect: () => onSave('csv') },
          ]}
        />
      </div>
    </figcaption>
  )
}

/** A short piece of a curve's line, with its dash. */
export function LineKey({ place }: { place: number }) {
  return (
    <svg aria-hidden="true" width="20" height="8" className="shrink-0" data-fill>
      <path d="M0 4H20" stroke={colourVariable(place)} strokeWidth="2" strokeDasharray={dashOf(place).join(' ') || undefined} />
    </svg>
  )
}
