// The rail: 220 px, folded 56 px, on phones a bar at the bottom.
import { NavLink } from 'react-router'
import { Icon, type IconName } from '@/components/icon'
import { Menu } from '@/components/menu'
import { Tip } from '@/components/tooltip'
import { classes } from '@/lib/class-names'
import { useHotkey, usePhone, useRemembered } from '@/lib/hooks'
import { setTheme, useShownTheme, useTheme, type Theme } from '@/lib/theme'

const PLACES: { to: string; label: string; icon: IconName }[] = [
  { to: '/', label: 'Home', icon: 'home' },
  { to: '/train', label: 'Train', icon: 'train' },
  { to: '/runs', label: 'Runs', icon: 'runs' },
  { to: '/system', label: 'System', icon: 'system' },
]

const ITEM = 'eases flex h-control items-center gap-3 rounded-full px-3 text-quiet transition-colors hover:bg-raised hover:text-ink'

export function Rail({ onHelp }: { onHelp: () => void }) {
  const isPhone = usePhone()
  const [fold, setFold] = useRemembered<'open' | 'folded'>('rail', 'open')
  useHotkey('[', () => setFold(fold === 'open' ? 'folded' : 'open'))
  if (isPhone) return <BottomBar onHelp={onHelp} />
  const isFolded = fold === 'folded'
  return (
    <nav
      aria-label="Studio"
      className={classes('sticky top-0 flex h-dvh shrink-0 flex-col border-r bg-panel py-3', isFolded ? 'w-(--rail-folded) px-2' : 'w-(--rail) px-3')}
    >
      <div className={classes('mb-4 flex items-center', isFolded ? 'justify-center' : 'justify-between pl-3')}>
        {!isFolded && <span className="text-lead font-medium">Apertis</span>}
        <RailButton icon="fold" label={isFolded ? 'Unfold the rail' : 'Fold the rail'} onClick={() => setFold(isFolded ? 'open' : 'folded')} />
      </div>
      <ul className="flex flex-col gap-1">
        {PLACES.map(({ to, label, icon }) => (
          <li key={to}>
            <Tip text={isFolded ? label : ''} side="right">
              <NavLink
                to={to}
                end={to === '/'}
                aria-label={label}
                className={({ isActive }) => classes(ITEM, isFolded && 'justify-center px-0', isActive && 'bg-soft font-medium text-on-soft hover:bg-soft hover:text-on-soft')}
              >
                <Icon name={icon} className="shrink-0" />
                {!isFolded && label}
              </NavLink>
            </Tip>
          </li>
        ))}
      </ul>
      <div className={classes('mt-auto flex border-t pt-3', isFolded ? 'flex-col items-center' : 'px-1')}>
        <Tip text="Settings">
          <NavLink to="/system#settings" aria-label="Settings" className="control-width eases h-control flex items-center justify-center rounded-full text-quiet transition-colors hover:bg-raised hover:text-ink">
            <Icon name="settings" />
          </NavLink>
        </Tip>
        <ThemeMenu />
        <RailButton icon="help" label="Guide and keys" onClick={onHelp} />
      </div>
    </nav>
  )
}

function RailButton({ icon, label, onClick }: { icon: IconName; label: string; onClick: () => void }) {
  return (
    <Tip text={label} side="right">
      <button type="button" aria-label={label} onClick={onClick} className="control-width eases h-control flex items-center justify-center rounded-full text-quiet transition-colors hover:bg-raised hover:text-ink">
        <Icon name={icon} />
      </button>
    </Tip>
  )
}

const THEMES: { id: Theme; label: string }[] = [
  { id: 'system', label: 'As the system' },
  { id: 'light', label: 'Light' },
  { id: 'dark', label: 'Dark' },
]

function ThemeMenu() {
  const chosen = useTheme()
  const shown = useShownTheme()
  return (
    <Menu
      align="start"
      trigger={
        <button type="button" aria-label="Theme" className="control-width eases h-control flex items-center justify-center rounded-full text-quiet transition-colors hover:bg-raised hover:text-ink">
          <Icon name={shown === 'dark' ? 'moon' : 'sun'} />
        </button>
      }
      items={THEMES.map(({ id, label }) => ({ label, isChecked: id === chosen, onSelect: () => setTheme(id) }))}
    />
  )
}

function BottomBar({ onHelp }: { onHelp: () => void }) {
  const item = 'flex h-14 grow flex-col items-center justify-center gap-0.5 text-small text-quiet'
  return (
    <nav aria-label="Studio" className="fixed inset-x-0 bottom-0 z-20 flex border-t bg-panel">
      {PLACES.map(({ to, label, icon }) => (
        <NavLink key={to} to={to} end={to === '/'} className={({ isActive }) => classes(item, isActive && 'text-ink')}>
          {({ isActive }) => (
            <>
              <span className={classes('rounded-full px-4 py-0.5', isActive && 'bg-soft text-on-soft')}>
                <Icon name={icon} />
              </span>
              {label}
            </>
          )}
        </NavLink>
      ))}
      <button type="button" className={item} onClick={onHelp}>
        <span className="py-0.5">
          <Icon name="help" />
        </span>
        Guide
      </button>
    </nav>
  )
}
