// First steps, which can be closed.
import { Link } from 'react-router'
import type { TourStep } from '@/api/types'
import { IconButton } from '@/components/button'
import { Card } from '@/components/bits'
import { Icon } from '@/components/icon'
import { classes } from '@/lib/class-names'

export function Tour({ steps, onClose }: { steps: TourStep[]; onClose: () => void }) {
  if (steps.length === 0) return null
  const done = steps.filter((step) => step.is_done).length
  return (
    <Card>
      <div className="flex items-center">
        <h2 className="grow font-medium">
          First steps <span className="font-normal text-quiet">{`${done} of ${steps.length} done`}</span>
        </h2>
        <IconButton icon="close" label="Close the first steps" onClick={onClose} />
      </div>
      <ol className="flex flex-wrap gap-x-6">
        {steps.map((step) => (
          <li key={step.text} className="flex h-control items-center gap-2">
            <span className={classes('flex size-5 items-center justify-center rounded-full', step.is_done ? 'text-good' : 'border')}>{step.is_done && <Icon name="check" />}</span>
            <Link to={step.href} className={classes('touchable hover:underline', step.is_done && 'text-quiet')}>
              {step.text}
              {step.is_done && <span className="sr-only"> (done)</span>}
            </Link>
          </li>
        ))}
      </ol>
    </Card>
  )
}
