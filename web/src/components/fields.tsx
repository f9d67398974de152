// Inputs on the 36 px rhythm: text, number, select, slider.
import { useState, type ComponentProps } from 'react'
import { classes } from '@/lib/class-names'
import { fromShare, parseNumber, recipeText, rounded, toShare } from '@/lib/number-text'
import { Icon } from './icon'

const BOX = 'h-control rounded-control border border-hairline bg-page px-2.5 hover:border-outline aria-invalid:border-bad'

export function TextBox({ className, ...rest }: ComponentProps<'input'>) {
  return <input dir="auto" spellCheck={false} autoComplete="off" className={classes(BOX, 'w-full', className)} {...rest} />
}

export function SearchBox({ className, label, ...rest }: ComponentProps<'input'> & { label: string }) {
  return (
    <div className={classes('relative', className)}>
      <Icon name="search" className="pointer-events-none absolute top-1/2 left-3 -translate-y-1/2 text-quiet" />
      <input type="search" aria-label={label} placeholder={label} dir="auto" className="h-control w-full rounded-full border border-transparent bg-raised pr-3 pl-10 hover:border-hairline" {...rest} />
    </div>
  )
}

export function Select({ className, children, ...rest }: ComponentProps<'select'>) {
  return (
    <span className={classes('relative inline-flex', className)}>
      <select className="h-control w-full appearance-none truncate rounded-control border border-hairline bg-page pr-8 pl-3 hover:border-outline" {...rest}>
        {children}
      </select>
      <Icon name="down" className="pointer-events-none absolute top-1/2 right-2 -translate-y-1/2 text-quiet" />
    </span>
  )
}

interface NumberBoxProps {
  id?: string
  label: string
  /** As it stands in the recipe: a number, or a word such as auto. */
  value: string
  /** Words that are taken besides numbers. */
  words?: string[]
  isInvalid?: boolean
  describedBy?: string
  isDisabled?: boolean
  onChange: (value: string) => void
  className?: string
}

/** Takes `.` and the locale's mark while typing; gives back what a recipe holds. */
export function NumberBox({ id, label, value, words = [], isInvalid, describedBy, isDisabled, onChange, className }: NumberBoxProps) {
  const [draft, setDraft] = useState<string | null>(null)
  const finish = () => {
    if (draft === null) return
    const number = parseNumber(draft)
    const word = draft.trim().toLowerCase()
    if (number !== null) onChange(recipeText(number))
    else if (words.includes(word)) onChange(word)
    else if (draft.trim() !== value) onChange(draft.trim())
    setDraft(null)
  }
  return (
    <input
      id={id}
      aria-label={label}
      aria-invalid={isInvalid || undefined}
      aria-describedby={describedBy}
      inputMode="decimal"
      disabled={isDisabled}
      value={draft ?? value}
      onFocus={(event) => event.target.select()}
      onChange={(event) => setDraft(event.target.value)}
      onBlur={finish}
      onKeyDown={(event) => {
        if (event.key === 'Enter') finish()
        if (event.key === 'Escape') setDraft(null)
      }}
      className={classes(BOX, 'tabular text-right', className)}
    />
  )
}

interface SliderProps {
  label: string
  value: number
  min: number
  max: number
  isInteger?: boolean
  isLogarithmic?: boolean
  isDisabled?: boolean
  onChange: (value: number) => void
  className?: string
}

export function Slider({ label, value, min, max, isInteger = false, isLogarithmic = false, isDisabled, onChange, className }: SliderProps) {
  const share = toShare(value, min, max, isLogarithmic)
  const steps = isInteger && !isLogarithmic && max - min <= 1000 ? max - min : 200
  return (
    <input
      type="range"
      aria-label={label}
      aria-valuetext={recipeText(value)}
      min={0}
      max={steps}
      step={1}
      value={Math.round(share * steps)}
      disabled={isDisabled}
      onChange={(event) => onChange(rounded(fromShare(Number(event.target.value) / steps, min, max, isLogarithmic), isInteger, isLogarithmic))}
      style={{ '--fill': `${share * 100}%` } as React.CSSProperties}
      className={classes('slider min-w-0 grow', className)}
    />
  )
}
