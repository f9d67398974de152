// One parameter: label, slider, number with unit, and a dot that resets what was changed. 36 px high.
import { useId, type ReactNode } from 'react'
import { classes } from '@/lib/class-names'
import { NumberBox, Slider } from './fields'
import { Tip } from './tooltip'

interface RowProps {
  label: ReactNode
  isChanged?: boolean
  /** What it goes back to, in words. */
  initial?: string
  onReset?: () => void
  problem?: string
  problemId?: string
  children: ReactNode
}

/** The frame that every kind of parameter shares. */
export function ParameterRow({ label, isChanged, initial, onReset, problem, problemId, children }: RowProps) {
  return (
    <div className="py-0.5">
      <div className="grid min-h-(--control) grid-cols-[minmax(0,7rem)_minmax(0,1fr)_auto] items-center gap-x-3">
        <div className="min-w-0 leading-4 wrap-anywhere">{label}</div>
        <div className="flex min-w-0 items-center justify-end gap-2">{children}</div>
        <span className="flex w-4 justify-center">{isChanged && onReset && <ResetDot initial={initial} onReset={onReset} />}</span>
      </div>
      {problem && (
        <p id={problemId} className="pb-1 text-small text-bad">
          {problem}
        </p>
      )}
    </div>
  )
}

function ResetDot({ initial, onReset }: { initial?: string; onReset: () => void }) {
  const words = initial ? `Changed. Reset to ${initial}` : 'Changed. Reset'
  return (
    <Tip text={words}>
      <button type="button" aria-label={words} onClick={onReset} className="-m-2 flex size-8 shrink-0 items-center justify-center rounded-full hover:bg-raised">
        <span data-fill className="size-2 rounded-full bg-accent" />
      </button>
    </Tip>
  )
}

interface NumberRowProps {
  name: string
  label: ReactNode
  value: string
  unit?: string
  min?: number
  max?: number
  isInteger?: boolean
  isLogarithmic?: boolean
  words?: string[]
  isChanged?: boolean
  initial?: string
  problem?: string
  isDisabled?: boolean
  onChange: (value: string) => void
  onReset?: () => void
}

/** A number with its slider, where it has both ends; the number alone otherwise. */
export function NumberRow({ name, label, value, unit, min, max, isInteger, isLogarithmic, words, problem, isDisabled, onChange, ...row }: NumberRowProps) {
  const problemId = useId()
  const number = Number(value)
  const hasSlider = min !== undefined && max !== undefined && max > min
  return (
    <ParameterRow label={label} problem={problem} problemId={problemId} {...row}>
      {hasSlider && (
        <Slider
          label={name}
          value={Number.isFinite(number) ? number : min}
          min={min}
          max={max}
          isInteger={isInteger}
          isLogarithmic={isLogarithmic}
          isDisabled={isDisabled}
          className={Number.isFinite(number) ? undefined : 'opacity-40'}
          onChange={(next) => onChange(String(Math.abs(next) < 1e-3 && next !== 0 ? next.toExponential().replace('e+', 'e') : next))}
        />
      )}
      <span className="flex shrink-0 items-center gap-1">
        <NumberBox
          label={unit ? `${name}, ${unit}` : name}
          value={value}
          words={words}
          isInvalid={Boolean(problem)}
          describedBy={problem ? problemId : undefined}
          isDisabled={isDisabled}
          onChange={onChange}
          className={classes(hasSlider ? 'w-19' : 'w-24')}
        />
      </span>
    </ParameterRow>
  )
}
