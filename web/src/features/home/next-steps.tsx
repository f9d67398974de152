// What is worth doing now, in one sentence each with its button.
import type { NextStep } from '@/api/types'
import { LinkButton } from '@/components/button'

export function NextSteps({ steps }: { steps: NextStep[] }) {
  if (steps.length === 0) return null
  return (
    <section aria-labelledby="next">
      <h2 id="next" className="mb-2 font-medium">
        Next
      </h2>
      <ul className="flex flex-col gap-2">
        {steps.slice(0, 3).map((step) => (
          <li key={step.text} className="flex flex-wrap items-center gap-x-4 gap-y-2 rounded-card border px-4 py-3">
            <p className="min-w-0 grow basis-64" dir="auto">
              {step.text}
            </p>
            <LinkButton to={step.href} isSmall>
              {step.label}
            </LinkButton>
          </li>
        ))}
      </ul>
    </section>
  )
}
