// The fixed prompts answered over time, with a slider through the evaluations; and what the model saw first.
import { useState } from 'react'
import { useQuery } from '@tanstack/react-query'
import { samplesQuery } from '@/api/queries'
import type { SampleAnswer } from '@/api/types'
import { Empty } from '@/components/bits'
import { Slider } from '@/components/fields'
import { Skeleton } from '@/components/skeleton'
import { count } from '@/lib/format'
import { Seen } from './seen'

export function SamplesTab({ id }: { id: string }) {
  const { data } = useQuery(samplesQuery(id))
  return (
    <>
      {!data && <Skeleton className="h-40" lines={2} />}
      {data && data.length === 0 && <Empty title="No samples yet">Prompts are answered at each evaluation.</Empty>}
      {data && data.length > 0 && <Answers answers={data} />}
      <Seen id={id} />
    </>
  )
}

function Answers({ answers }: { answers: SampleAnswer[] }) {
  const steps = [...new Set(answers.map((answer) => answer.step))].sort((a, b) => a - b)
  const [chosen, setChosen] = useState<number | null>(null)
  const place = chosen ?? steps.length - 1
  const step = steps[Math.min(place, steps.length - 1)]!
  const prompts = [...new Set(answers.map((answer) => answer.index))]
  const at = (index: number, when: number) => answers.find((answer) => answer.index === index && answer.step === when)
  return (
    <section aria-label="Sample answers" className="flex flex-col gap-6">
      <label className="flex max-w-xl items-center gap-4">
        <span className="tabular w-28 text-quiet">Step {count(step)}</span>
        <Slider label="Evaluation" value={place} min={0} max={Math.max(1, steps.length - 1)} isInteger isDisabled={steps.length < 2} onChange={setChosen} />
      </label>
      {prompts.map((index) => {
        const now = at(index, step)
        const first = at(index, steps[0]!)
        return (
          <article key={index} className="grid max-w-4xl gap-2 md:grid-cols-[7rem_1fr]">
            <span className="text-quiet">Prompt</span>
            <p dir="auto" className="font-medium whitespace-pre-wrap">{now?.prompt ?? first?.prompt}</p>
            <span className="text-quiet">At step {count(step)}</span>
            <p dir="auto" className="whitespace-pre-wrap">{now?.text ?? '–'}</p>
            {place > 0 && (
              <>
                <span className="text-quiet">Before</span>
                <p dir="auto" className="whitespace-pre-wrap text-quiet">{first?.text || '–'}</p>
              </>
            )}
            {now?.reference && (
              <>
                <span className="text-quiet">In the data</span>
                <p dir="auto" className="whitespace-pre-wrap text-quiet">{now.reference}</p>
              </>
            )}
          </article>
        )
      })}
    </section>
  )
}
