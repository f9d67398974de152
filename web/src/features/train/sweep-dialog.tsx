// A sweep: values for some fields, what would run in which order, then a queued group.
import { useMemo, useState } from 'react'
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { useNavigate } from 'react-router'
import { failureText, post } from '@/api/client'
import type { CatalogueField, Sweep, SweepDraft } from '@/api/types'
import { Button } from '@/components/button'
import { CheckBox } from '@/components/bits'
import { Dialog } from '@/components/dialog'
import { NumberBox, Select, TextBox } from '@/components/fields'
import { Term } from '@/components/term'
import { plural } from '@/lib/format'
import { useSettled } from '@/lib/hooks'
import { axisOf, newAxis, sweepable, type AxisDraft } from './sweep-axes'
import { SweepAxisRow } from './sweep-axis-row'
import type { Draft } from './use-draft'

/** The server takes no more. */
const MOST_RUNS = 20
const MOST_FIELDS = 8
const USUAL_FIELDS = ['learning_rate', 'lora.rank', 'epochs', 'batch_size']

export function SweepDialog({ draft, onClose }: { draft: Draft; onClose: () => void }) {
  const fields = useMemo(() => sweepable(draft.catalogue?.fields ?? []), [draft.catalogue])
  return fields.length === 0 ? null : <SweepForm draft={draft} fields={fields} onClose={onClose} />
}

function SweepForm({ draft, fields, onClose }: { draft: Draft; fields: CatalogueField[]; onClose: () => void }) {
  const navigate = useNavigate()
  const client = useQueryClient()
  const axisFor = (name: string) => {
    const field = fields.find((one) => one.name === name) ?? fields[0]!
    return newAxis(field, draft.value(field.name))
  }
  const [axes, setAxes] = useState<AxisDraft[]>(() => [axisFor('learning_rate')])
  const [name, setName] = useState('')
  const [order, setOrder] = useState('grid')
  const [seed, setSeed] = useState('1')
  const [limit, setLimit] = useState(String(MOST_RUNS))
  const [rungs, setRungs] = useState(true)
  const settled = useSettled(axes, 300)
  const body = useMemo<SweepDraft>(
    () => ({
      // Each run of the group has a name of its own.
      recipe: { fields: Object.fromEntries(Object.entries(draft.fields).filter(([field]) => field !== 'name')) },
      axes: settled.flatMap((axis) => axisOf(axis) ?? []),
      order,
      seed: Math.max(0, Math.round(Number(seed) || 0)),
      limit: Math.min(MOST_RUNS, Math.max(1, Math.round(Number(limit) || MOST_RUNS))),
      rungs,
      name: name.trim(),
      preview: true,
    }),
    [draft.fields, settled, order, seed, limit, rungs, name],
  )
  const preview = useQuery({ queryKey: ['sweep-preview', body], queryFn: () => post<Sweep>('sweeps', body), enabled: body.axes.length > 0, placeholderData: (before) => before })
  const start = useMutation({
    mutationFn: () => post<Sweep>('sweeps', { ...body, preview: false }),
    onSuccess: (sweep) => {
      for (const key of ['home', 'runs', 'queue']) void client.invalidateQueries({ queryKey: [key] })
      onClose()
      void navigate(`/sweeps/${sweep.id}`)
    },
  })
  const failure = preview.error ?? start.error
  const problem = failure ? `${failureText(failure).message} ${failureText(failure).hint}` : (preview.data?.problem ?? '')
  const tries = body.axes.length > 0 && !preview.error ? (preview.data?.tries ?? []) : []
  const isSettled = settled === axes && !preview.isPlaceholderData
  const taken = axes.map((axis) => axis.field)
  const next = [...USUAL_FIELDS, ...fields.map((field) => field.name)].find((field) => !taken.includes(field) && fields.some((one) => one.name === field))
  return (
    <Dialog
      look="wide"
      title="Sweep"
      isOpen
      onClose={onClose}
      footer={
        <Button look="primary" disabled={problem !== '' || tries.length === 0 || !isSettled || start.isPending} onClick={() => start.mutate()}>
          {start.isPending ? 'Queueing' : `Queue ${plural(tries.length, 'run', 'runs')}`}
        </Button>
      }
    >
      <div className="grid gap-6 md:grid-cols-2">
        <div className="flex flex-col gap-3">
          <label>
            <span className="text-quiet">Name of the group</span>
            <TextBox maxLength={60} placeholder="Named automatically" value={name} onChange={(event) => setName(event.target.value)} />
          </label>
          {axes.map((axis, index) => (
            <SweepAxisRow
              key={index}
              axis={axis}
              fields={fields}
              taken={taken}
              value={draft.value}
              onChange={(changed) => setAxes(axes.map((one, place) => (place === index ? changed : one)))}
              onRemove={axes.length > 1 ? () => setAxes(axes.filter((_, place) => place !== index)) : null}
            />
          ))}
          <div>
            <Button isSmall icon="plus" disabled={axes.length >= MOST_FIELDS || !next} onClick={() => next && setAxes([...axes, axisFor(next)])}>
              Field
            </Button>
          </div>
          <div className="flex flex-wrap items-center gap-x-4 gap-y-2">
            <Select aria-label="Order" value={order} onChange={(event) => setOrder(event.target.value)}>
              <option value="grid">Every combination</option>
              <option value="random">Random ones</option>
            </Select>
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
          <div className="flex flex-wrap items-center gap-x-2">
            <CheckBox label="Stop the worse half at a quarter and at a half" checked={rungs} onChange={(event) => setRungs(event.target.checked)} />
            <Term meaning="All runs train until a quarter of their steps; the half with the lower held-out loss goes on to the middle, and of these the better half to the end. The others keep what they saved and can be resumed.">
              How
            </Term>
          </div>
        </div>
        <section aria-label="What would run">
          <p className="mb-2 text-quiet" role="status">
            {problem ? <span className="text-bad">{problem}</span> : preview.data && tries.length > 0 ? `${plural(tries.length, 'run', 'runs')}${preview.data.total > tries.length ? ` of ${preview.data.total}` : ''}, in this order` : 'Give values to try.'}
          </p>
          {tries.length > 0 && (
            <ol className="max-h-80 list-decimal overflow-y-auto pl-8" tabIndex={0} aria-label="Runs in their order">
              {tries.map((one, index) => (
                <li key={index} className="tabular py-1 marker:text-quiet">
                  {one.fields.map((field) => `${field.name} ${field.value}`).join(', ')}
                </li>
              ))}
            </ol>
          )}
        </section>
      </div>
    </Dialog>
  )
}
