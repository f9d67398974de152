// A menu under a button. Not modal: a modal one would write a style element, which the page's policy refuses.
import * as Dropdown from '@radix-ui/react-dropdown-menu'
import { useState, type ReactNode } from 'react'
import { classes } from '@/lib/class-names'
import { Icon, type IconName } from './icon'
import { portalHome } from './portal-home'

export interface MenuItem {
  label: string
  hint?: string
  icon?: IconName
  isBad?: boolean
  isDisabled?: boolean
  isChecked?: boolean
  onSelect: () => void
}

export function Menu({ trigger, items, align = 'end' }: { trigger: ReactNode; items: (MenuItem | 'line')[]; align?: 'start' | 'end' }) {
  // Held here so that the place of the menu is looked up when it opens, not when the page was last drawn.
  const [isOpen, setOpen] = useState(false)
  return (
    <Dropdown.Root modal={false} open={isOpen} onOpenChange={setOpen}>
      <Dropdown.Trigger asChild>{trigger}</Dropdown.Trigger>
      <Dropdown.Portal container={portalHome()}>
        <Dropdown.Content
          align={align}
          sideOffset={4}
          collisionPadding={8}
          className="z-50 max-h-(--radix-dropdown-menu-content-available-height) min-w-48 overflow-y-auto rounded-card border bg-panel py-2"
        >
          {items.map((item, index) =>
            item === 'line' ? (
              <Dropdown.Separator key={index} className="my-2 border-t" />
            ) : (
              <Dropdown.Item
                key={item.label}
                disabled={item.isDisabled}
                onSelect={item.onSelect}
                className={classes(
                  'flex min-h-(--control) cursor-pointer items-center gap-3 px-4 py-1 outline-none select-none',
                  'data-disabled:cursor-default data-disabled:opacity-50 data-highlighted:bg-raised',
                  item.isBad && 'text-bad',
                )}
              >
                {(item.icon || item.isChecked !== undefined) && (
                  <Icon name={item.icon ?? 'check'} className={item.isChecked === false ? 'invisible' : undefined} />
                )}
                <span>
                  {item.label}
                  {item.hint && <span className="block text-small text-quiet">{item.hint}</span>}
                </span>
              </Dropdown.Item>
            ),
          )}
        </Dropdown.Content>
      </Dropdown.Portal>
    </Dropdown.Root>
  )
}
