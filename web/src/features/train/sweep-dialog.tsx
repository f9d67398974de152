// A sweep: values for some fields, what would run in which order, then a queued group.
import { useMemo, useState } from 'react'
import { useMutation, useQuery } from '@tanstack/react-query'
import { useNavigate } from 'react-router'
import { failureText, post } from '@/api/client'
import type { Sweep, SweepAxis, SweepDraft } from '@/api/types'
import { Button, IconButton } from '@/components/button'
import { CheckBox } from '@/components/bits'
import { Dialog } from '@/components/dialog'
import { NumberBox, Select, TextBox } from '@/components/fields'
import { plural } from '@/lib/format'
import { useSettled } from '@/lib/hooks'
import type { Draft } from './use-draft'

interface Axis {
  field: string
  text: string
}

/** `1e-4, 2e-4` is a list; `1e-5 to 1e-3` a range, by factors where it spans a hundred. */
export function axisOf({ field, text }: Axis): SweepAxis {
  const range = /^\s*(\S+)\s+to\s+(\S+?)(?:\s+in\s+(\d+))?\s*$/.exec(text)
  const min = Number(range?.[1])
  const max = Number(range?.[2])
  if (range && Number.isFinite(min) && Number.isFinite(max)) {
    return { field, values: [], min, max, steps: range[3] ? Number(range[3]) : 3, is_logarithmic: min > 0 && max / min >= 100 }
  }
  return { field, values: text.split(',').map((value) => value.trim()).filter(Boolean), is_logarithmic: false }
}

export function SweepDialog({ draft, onClose }: { draft: Draft; onClose: () => void }) {
  const navigate = useNavigate()
  const fields = draft.catalogue?.fields.filter((field) => !['name', 'model'].includes(field.name)) ?? []
  const [axes, setAxes] = useState<Axis[]>([{ field: 'learning_rate', text: '1e-4, 2e-4, 4e-4' }])
  const [order, setOrder] = useState('grid')
  const [seed, setSeed] = useState('1')
  const [limit, setLimit] = useState('20')
  const [rungs, setRungs] = useState(true)
  const settled = useSettled(axes, 300)
  const body = useMemo<SweepDraft>(
    () => ({
      recipe: { fields: draft.fields },
      axes: settled.filter((axis) => axis.text.trim()).map(axisOf),
      order,
      seed: Number(seed) || 0,
      limit: Math.min(20, Math.max(1, Number(limit) || 20)),
      rungs,
      name: '',
      preview: true,
    }),
    [draft.fields, settled, order, seed, limit, rungs],
  )
  const preview = useQuery({ queryKey: ['sweep-preview', body], queryFn: () => post<Sweep>('sweeps', body), enabled: body.axes.length > 0 })
  const start = useMutation({
    mutationFn: () => post<Sweep>('sweeps', { ...body, preview: false }),
    onSuccess: (sweep) => {
      onClose()
      void navigate(`/runs?sweep=${sweep.id}`)
    },
  })
  const problem = preview.error ? failureText(preview.error).message : start.error ? failureText(start.error).message : preview.data?.problem
  const tries = preview.data?.tries ?? []
  const change = (index: number, next: Partial<Axis>) => setAxes(axes.map((axis, place) => (place === index ? { ...axis, ...next } : axis)))
  return (
    <Dialog
      look="wide"
      title="Sweep"
      isOpen
      onClose={onClose}
      footer={
        <Button look="primary" disabled={Boolean(problem) || tries.length < 2 || start.isPending} onClick={() => start.mutate()}>
          Queue {plural(tries.length, 'run', 'runs')}
        </Button>
      }
    >
      <div className="grid gap-6 md:grid-cols-2">
        <div className="flex flex-col gap-3">
          {axes.map((axis, index) => (
            <div key={index} className="flex items-end gap-2">
              <Select aria-label="Field" value={axis.field} onChange={(event) => change(index, { field: event.target.value })} className="w-40 shrink-0">
                {fields.map((field) => (
                  <option key={field.name} value={field.name}>
                    {field.name}
                  </option>
                ))}
              </Select>
              <TextBox aria-label={`Values of ${axis.field}`} value={axis.text} onChange={(event) => change(index, { text: event.target.value })} />
              {axes.length > 1 && <IconButton icon="close" label={`Leave ${axis.field} out`} onClick={() => setAxes(axes.filter((_, place) => place !== index))} />}
            </div>
          ))}
          <p className="text-small text-quiet">A list as 8, 16, 32, or a range as 1e-5 to 1e-3 in 4.</p>
          <div className="flex flex-wrap items-center gap-3">
            <Button isSmall icon="plus" onClick={() => setAxes([...axes, { field: 'lora.rank', text: '8, 16' }])}>
              Field
            </Button>
            <Select aria-label="Order" value={order} onChange={(event) => setOrder(event.target.value)}>
              <option value="grid">Every combination</option>
              <option value="random">Random ones</option>
            </Select>
          </div>
          <div className="flex flex-wrap items-center gap-4">
            {order === 'random' && (
              <label className="flex items-center gap-2">
                Seed
                <NumberBox label="Seed" value={seed} onChange={setSeed} className="w-20" />
              </label>
            )}
            <label className="flex items-center gap-2">
              At most
              <NumberBox label="Most runs" value={limit} onChange={setLimit} className="w-16" />
              runs
            </label>
          </div>
          <CheckBox label="Stop the worse half at a quarter and at a half" checked={rungs} onChange={(event) => setRungs(event.target.checked)} />
        </div>
        <section aria-label="What would run">
          <p className="mb-2 text-quiet" role="status">
            {problem || (preview.data ? `${plural(tries.length, 'run', 'runs')}${preview.data.total > tries.length ? ` of ${preview.data.total}` : ''}, in this order` : '')}
          </p>
          <ol className="max-h-72 list-decimal overflow-y-auto pl-6" tabIndex={0}>
            {tries.map((one, index) => (
              <li key={index} className="tabular py-1">
                {one.fields.map((field) => `${field.name} ${field.value}`).join(', ')}
              </li>
            ))}
          </ol>
        </section>
      </div>
    </Dialog>
  )
}
