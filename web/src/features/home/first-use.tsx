// The one card of an empty home: start with the sample, or drop a file.
import { useState } from 'react'
import { useMutation } from '@tanstack/react-query'
import { useNavigate } from 'react-router'
import { failureText } from '@/api/client'
import type { DataCard, ModelCard } from '@/api/types'
import { uploadData } from '@/api/upload'
import { LinkButton } from '@/components/button'
import { Card, Progress } from '@/components/bits'
import { classes } from '@/lib/class-names'
import { count, short } from '@/lib/format'

/** What can be started at once, by what the home holds. */
function Offer({ model, data }: { model: ModelCard | undefined; data: DataCard | undefined }) {
  if (!data) {
    return (
      <>
        <h2 className="text-title">Teach a model with your own text</h2>
        <p className="text-quiet">Your data stays on this computer. You see its rows first, then what training will take, then how the model learns.</p>
        <LinkButton look="primary" to="/train">
          Choose model and data
        </LinkButton>
      </>
    )
  }
  const isSample = data.kind === 'sample'
  const what = isSample ? 'our sample' : `“${data.name}”`
  const parameters = new URLSearchParams({ ...(model ? { model: model.reference } : {}), data: data.reference, preset: model ? 'facts' : 'scratch' })
  return (
    <>
      <h2 className="text-title">{`Teach a small model with ${what}`}</h2>
      <p className="text-quiet">
        {model?.parameters ? `A model of ${short(model.parameters)} parameters` : 'A small new model'} reads {data.rows ? `${count(data.rows)} rows` : 'the rows'} of {what}, on this computer and without a network. You watch it learn,
        and see its answers before and after.
      </p>
      <LinkButton look="primary" to={`/train?${parameters.toString()}`}>
        Start
      </LinkButton>
    </>
  )
}

export function FirstUse({ model, data }: { model: ModelCard | undefined; data: DataCard | undefined }) {
  const navigate = useNavigate()
  const [isOver, setOver] = useState(false)
  const [share, setShare] = useState(0)
  const upload = useMutation({
    mutationFn: (file: File) => uploadData(file, setShare),
    onSuccess: (data) => void navigate(`/train?data=${encodeURIComponent(data.reference)}`),
  })
  const failure = upload.error ? failureText(upload.error) : null
  return (
    <div
      className={classes('flex grow items-start justify-center rounded-card py-8', isOver && 'bg-raised')}
      onDragOver={(event) => {
        event.preventDefault()
        setOver(true)
      }}
      onDragLeave={() => setOver(false)}
      onDrop={(event) => {
        event.preventDefault()
        setOver(false)
        const file = event.dataTransfer.files[0]
        if (file) upload.mutate(file)
      }}
    >
      <Card className="flex w-full max-w-xl flex-col items-start gap-4 p-8">
        <Offer model={model} data={data} />
        <p className="text-quiet">
          {data ? 'Or drop' : 'Drop'} a file of yours anywhere on this page:{' '}
          <label className="text-accent underline focus-within:outline-2 focus-within:outline-accent">
            choose one
            <input type="file" className="sr-only" onChange={(event) => event.target.files?.[0] && upload.mutate(event.target.files[0])} />
          </label>
          . Conversations, questions and answers, or plain text; JSON lines, CSV, Parquet or text.
        </p>
        {upload.isPending && (
          <div className="w-full">
            <Progress share={share} label="Upload" />
          </div>
        )}
        {failure && (
          <p role="alert" className="text-bad">
            {failure.message} {failure.hint}
          </p>
        )}
      </Card>
    </div>
  )
}
