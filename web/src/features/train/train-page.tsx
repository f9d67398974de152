// Train: a model, data and a purpose at the left, the plan below, the recipe at the right, one button.
import { useState } from 'react'
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { useNavigate } from 'react-router'
import { failureText, post } from '@/api/client'
import { useReached } from '@/api/reach'
import { dataQuery, modelsQuery, planQuery } from '@/api/queries'
import type { FieldProblem, Run } from '@/api/types'
import { Button } from '@/components/button'
import { TextBox } from '@/components/fields'
import { Page } from '@/components/page'
import { useSettled } from '@/lib/hooks'
import { ChoiceCard } from './choice-card'
import { CompareWith } from './compare-with'
import { aboutData, DataGallery } from './data-gallery'
import { aboutModel, ModelGallery } from './model-gallery'
import { PlanCard } from './plan-card'
import { Presets } from './presets'
import { RecipePanel } from './recipe-panel'
import { SavePreset } from './save-preset'
import { ShapeBlocks } from './shape-blocks'
import { SweepDialog } from './sweep-dialog'
import { useDraft, type Draft } from './use-draft'

export default function TrainPage() {
  const draft = useDraft()
  const { data: models } = useQuery(modelsQuery())
  const { data: sets } = useQuery(dataQuery())
  const [open, setOpen] = useState<'model' | 'data' | 'sweep' | 'preset' | null>(null)
  const settled = useSettled(draft.fields, 400)
  const isScratch = draft.value('method') === 'scratch'
  const modelReference = draft.value('model')
  const dataReference = draft.value('data')
  const isComplete = dataReference !== '' && (isScratch || modelReference !== '')
  // The plan is asked for what has settled, which was complete only if it held the same already.
  const isPlannable = isComplete && settled.data === draft.fields.data && settled.model === draft.fields.model && settled.method === draft.fields.method
  const plan = useQuery(planQuery({ fields: settled }, isPlannable))
  const model = models?.find((one) => one.reference === modelReference)
  const data = sets?.find((one) => one.reference === dataReference)
  return (
    <Page
      title="Train"
      tab="Train"
      actions={
        <>
          <Button look="plain" onClick={() => setOpen('preset')}>
            Save as preset
          </Button>
          <Button look="plain" icon="sliders" disabled={!isComplete} onClick={() => setOpen('sweep')}>
            Sweep
          </Button>
        </>
      }
      side={<RecipePanel draft={draft} />}
      sideTitle="Recipe"
      sideFoot={<Start draft={draft} isComplete={isComplete} />}
      command={draft.form?.command ?? 'apertis train'}
      code={[{ language: 'recipe.toml', text: draft.form?.toml ?? '' }]}
    >
      <div className="grid gap-4 md:grid-cols-2">
        {isScratch ? (
          <ChoiceCard step={1} what="Model" name="A new model" about="made from its shape, at the right" icon="plus" onOpen={() => setOpen('model')} />
        ) : (
          <ChoiceCard step={1} what="Model" name={model?.name ?? (modelReference || 'Choose a model')} about={model ? aboutModel(model) : modelReference ? 'a folder' : 'the starter is a good first one'} icon="system" problem={model?.problem || undefined} onOpen={() => setOpen('model')} />
        )}
        <ChoiceCard step={2} what="Data" name={data ? `${data.name}${data.version > 1 ? ` v${data.version}` : ''}` : dataReference || 'Choose data'} about={data ? aboutData(data) : dataReference ? 'a path' : 'the sample, a path, or drop a file'} icon="table" problem={data?.problem || undefined} onOpen={() => setOpen('data')} />
      </div>
      <Presets presets={draft.presets} chosen={draft.preset} onChoose={draft.choose} />
      {isScratch && <ShapeBlocks shape={shapeOf(draft)} />}
      {isComplete && (
        <PlanCard
          plan={plan.data}
          error={plan.error}
          isOld={plan.isPlaceholderData || settled !== draft.fields}
          fields={settled}
          onRepair={(repair) => draft.set(Object.fromEntries(repair.fields.map((field) => [field.name, field.value])))}
        />
      )}
      {isComplete && <CompareWith draft={draft} />}
      <ModelGallery
        isOpen={open === 'model'}
        chosen={modelReference}
        onClose={() => setOpen(null)}
        onChoose={(reference) => {
          draft.set({ model: reference, ...(isScratch ? { method: 'lora' } : {}) })
          setOpen(null)
        }}
      />
      <DataGallery isOpen={open === 'data'} chosen={dataReference} onClose={() => setOpen(null)} onChoose={(reference) => draft.set({ data: reference })} />
      {open === 'sweep' && <SweepDialog draft={draft} onClose={() => setOpen(null)} />}
      {open === 'preset' && <SavePreset fields={draft.fields} onClose={() => setOpen(null)} />}
    </Page>
  )
}

function shapeOf(draft: Draft) {
  const number = (name: string, instead: number) => Number(draft.value(name)) || instead
  const width = number('model.width', 384)
  const heads = number('model.heads', 6)
  return {
    layers: number('model.layers', 6),
    width,
    heads,
    kvHeads: number('model.kv_heads', heads),
    hidden: number('model.hidden', Math.round((width * 8) / 3)),
    context: number('model.context', 256),
    vocabulary: number('vocab_size', 4096),
  }
}

/** The problem with its field, unless the sentence names it already. */
const sentence = ({ field, message }: FieldProblem): string => (field === '' || message.includes(field) ? message : `${field} ${message}`)

/** Name and Start: the page's one primary button, at the panel's foot. */
function Start({ draft, isComplete }: { draft: Draft; isComplete: boolean }) {
  const navigate = useNavigate()
  const client = useQueryClient()
  const isReached = useReached()
  const start = useMutation({
    mutationFn: () => post<Run>('runs', { recipe: { fields: draft.fields }, start: true }),
    onSuccess: (run) => {
      for (const key of ['home', 'runs', 'queue']) void client.invalidateQueries({ queryKey: [key] })
      void navigate(`/runs/${run.row.id}`)
    },
  })
  const failure = start.error ? failureText(start.error) : null
  const first = draft.problems[0]
  const reason = !isComplete ? 'Choose a model and data first.' : first && draft.isFresh ? sentence(first) : ''
  return (
    <div className="flex flex-col gap-2">
      <TextBox aria-label="Name of the run" placeholder="Name, or numbered automatically" maxLength={80} value={draft.fields.name ?? ''} onChange={(event) => (event.target.value ? draft.set({ name: event.target.value }) : draft.reset('name'))} />
      <Button look="primary" className="w-full" disabled={!isComplete || !isReached || start.isPending || Boolean(reason)} onClick={() => start.mutate()}>
        {start.isPending ? 'Starting' : 'Start'}
      </Button>
      <p role="status" className="text-small text-quiet">
        {failure ? <span className="text-bad">{`${failure.message} ${failure.hint}`}</span> : reason}
      </p>
    </div>
  )
}
