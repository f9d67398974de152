// Any field against any metric, chosen in the address.
import type { Dimension } from '@/charts/dimensions'
import { Scatter } from '@/charts/scatter'
import { Select } from '@/components/fields'
import { useUrlText } from '@/lib/url-state'

interface ScatterViewProps {
  dimensions: Dimension[]
  runs: { id: string; name: string; place: number }[]
  lit: string | null
  onLight: (id: string | null) => void
  onOpen: (id: string) => void
}

export function ScatterView({ dimensions, ...rest }: ScatterViewProps) {
  const [across, setAcross] = useUrlText('across', dimensions.find((one) => !one.isResult)?.name ?? dimensions[0]?.name ?? '')
  const [up, setUp] = useUrlText('up', dimensions.find((one) => one.isResult)?.name ?? '')
  const x = dimensions.find((one) => one.name === across) ?? dimensions[0]
  const y = dimensions.find((one) => one.name === up) ?? dimensions.at(-1)
  if (!x || !y) return <p className="text-quiet">These runs differ in nothing that could be drawn.</p>
  return (
    <>
      <div className="flex flex-wrap items-center gap-3">
        <Choice label="Across" value={x.name} dimensions={dimensions} onChange={setAcross} />
        <Choice label="Up" value={y.name} dimensions={dimensions} onChange={setUp} />
      </div>
      <Scatter x={x} y={y} {...rest} />
    </>
  )
}

function Choice({ label, value, dimensions, onChange }: { label: string; value: string; dimensions: Dimension[]; onChange: (name: string) => void }) {
  return (
    <label className="flex items-center gap-2">
      <span className="text-quiet">{label}</span>
      <Select value={value} onChange={(event) => onChange(event.target.value)}>
        {dimensions.map((one) => (
          <option key={one.name} value={one.name}>
            {one.name}
          </option>
        ))}
      </Select>
    </label>
  )
}
