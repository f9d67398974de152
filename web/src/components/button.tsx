// Buttons: one primary a screen, tonal and plain ones beside it, icons with a name and a tooltip.
import type { ComponentProps, ReactNode } from 'react'
import { Link } from 'react-router'
import { classes } from '@/lib/class-names'
import { Icon, type IconName } from './icon'
import { Tip } from './tooltip'

export type ButtonLook = 'primary' | 'tonal' | 'plain' | 'bad'

const LOOKS: Record<ButtonLook, string> = {
  primary: 'bg-accent text-on-accent hover:opacity-90',
  tonal: 'bg-raised text-ink hover:bg-pressed border',
  plain: 'text-accent hover:bg-raised',
  bad: 'border border-bad text-bad hover:bg-raised',
}

export function buttonClasses(look: ButtonLook, isSmall = false): string {
  return classes(
    'eases inline-flex shrink-0 items-center justify-center gap-2 rounded-full text-body font-medium whitespace-nowrap transition-colors',
    'disabled:opacity-50 aria-disabled:opacity-50',
    isSmall ? 'h-chip px-3' : 'h-control px-4',
    LOOKS[look],
  )
}

interface ButtonProps extends ComponentProps<'button'> {
  look?: ButtonLook
  icon?: IconName
  isSmall?: boolean
}

export function Button({ look = 'tonal', icon, isSmall, className, children, ...rest }: ButtonProps) {
  return (
    <button type="button" className={classes(buttonClasses(look, isSmall), className)} {...rest}>
      {icon && <Icon name={icon} className="-ml-1" />}
      {children}
    </button>
  )
}

interface LinkButtonProps {
  to: string
  look?: ButtonLook
  icon?: IconName
  isSmall?: boolean
  className?: string
  children: ReactNode
}

export function LinkButton({ to, look = 'tonal', icon, isSmall, className, children }: LinkButtonProps) {
  return (
    <Link to={to} className={classes(buttonClasses(look, isSmall), className)}>
      {icon && <Icon name={icon} className="-ml-1" />}
      {children}
    </Link>
  )
}

interface IconButtonProps extends Omit<ComponentProps<'button'>, 'children'> {
  icon: IconName
  label: string
  isPressed?: boolean
}

export function IconButton({ icon, label, isPressed, className, ...rest }: IconButtonProps) {
  return (
    <Tip text={label}>
      <button
        type="button"
        aria-label={label}
        aria-pressed={isPressed}
        className={classes(
          'eases control-width h-control inline-flex shrink-0 items-center justify-center rounded-full text-quiet transition-colors',
          'hover:bg-raised hover:text-ink disabled:opacity-50 aria-pressed:bg-soft aria-pressed:text-on-soft',
          className,
        )}
        {...rest}
      >
        <Icon name={icon} />
      </button>
    </Tip>
  )
}
