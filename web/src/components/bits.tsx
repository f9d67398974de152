// Small marks that many screens share: chips, notes, progress, switches, check boxes, empty states.
import type { ComponentProps, ReactNode } from 'react'
import { classes } from '@/lib/class-names'
import { Icon, type IconName } from './icon'

export function Chip({ isOn, className, ...rest }: ComponentProps<'button'> & { isOn?: boolean }) {
  return (
    <button
      type="button"
      aria-pressed={isOn}
      className={classes(
        'eases h-chip inline-flex items-center gap-1.5 rounded-full border px-3 whitespace-nowrap transition-colors',
        isOn ? 'border-transparent bg-soft text-on-soft' : 'hover:bg-raised',
        className,
      )}
      {...rest}
    />
  )
}

export function Tag({ children }: { children: ReactNode }) {
  return <span className="inline-flex h-6 items-center rounded-full bg-raised px-2 text-small text-quiet">{children}</span>
}

const TONES: Record<string, { colour: string; icon: IconName; word: string }> = {
  good: { colour: 'text-good', icon: 'check', word: 'Good' },
  info: { colour: 'text-accent', icon: 'info', word: 'Note' },
  warn: { colour: 'text-warn', icon: 'warn', word: 'Warning' },
  bad: { colour: 'text-bad', icon: 'warn', word: 'Problem' },
}

/** A sentence with its tone as icon and word for those who cannot see the colour. */
export function Note({ tone, children, actions }: { tone: string; children: ReactNode; actions?: ReactNode }) {
  const look = TONES[tone] ?? TONES.info!
  return (
    <div className="flex gap-3">
      <Icon name={look.icon} className={classes('shrink-0', look.colour)} />
      <div className="min-w-0 grow">
        <span className="sr-only">{look.word}: </span>
        {children}
        {actions && <div className="mt-2 flex flex-wrap gap-2">{actions}</div>}
      </div>
    </div>
  )
}

export function Progress({ share, label }: { share: number | null; label: string }) {
  const value = share === null ? undefined : Math.round(Math.min(1, Math.max(0, share)) * 100)
  return (
    <div
      role="progressbar"
      aria-label={label}
      aria-valuenow={value}
      aria-valuemin={0}
      aria-valuemax={100}
      className="h-1 overflow-hidden rounded-full bg-pressed"
    >
      <div data-fill className={classes('h-full rounded-full bg-accent', value === undefined && 'breathes')} style={{ width: `${value ?? 100}%` }} />
    </div>
  )
}

export function Switch({ isOn, onChange, label, isDisabled }: { isOn: boolean; onChange: (isOn: boolean) => void; label: string; isDisabled?: boolean }) {
  return (
    <button
      type="button"
      role="switch"
      aria-checked={isOn}
      aria-label={label}
      disabled={isDisabled}
      onClick={() => onChange(!isOn)}
      className="group inline-flex h-control w-11 shrink-0 items-center"
    >
      <span
        className={classes(
          'eases flex h-5 w-9 items-center rounded-full border px-[3px] transition-colors',
          isOn ? 'border-accent bg-accent' : 'border-outline bg-raised',
        )}
      >
        <span
          data-fill
          className={classes('eases size-3 rounded-full transition-transform', isOn ? 'translate-x-4 bg-on-accent' : 'bg-outline')}
        />
      </span>
    </button>
  )
}

export function CheckBox({ label, isHidden, ...rest }: ComponentProps<'input'> & { label: string; isHidden?: boolean }) {
  return (
    <label className="inline-flex min-h-(--control) items-center gap-2">
      <input type="checkbox" className="size-4 accent-accent" {...rest} />
      <span className={classes(isHidden && 'sr-only')}>{label}</span>
    </label>
  )
}

export function Card({ className, ...rest }: ComponentProps<'section'>) {
  return <section className={classes('rounded-card border bg-panel p-4', className)} {...rest} />
}

export function Empty({ title, children, action }: { title: string; children?: ReactNode; action?: ReactNode }) {
  return (
    <div className="flex grow flex-col items-center justify-center gap-3 px-4 py-16 text-center">
      <h2 className="text-lead font-medium">{title}</h2>
      {children && <p className="max-w-prose text-quiet">{children}</p>}
      {action}
    </div>
  )
}
