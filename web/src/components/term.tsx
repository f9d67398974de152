// A word with its glossary line on click.
import * as Popover from '@radix-ui/react-popover'
import { useState, type ReactNode } from 'react'
import { portalHome } from './portal-home'

export function Term({ meaning, children }: { meaning: ReactNode; children: ReactNode }) {
  // Held here so that its place is looked up when it opens.
  const [isOpen, setOpen] = useState(false)
  if (!meaning) return children
  return (
    <Popover.Root open={isOpen} onOpenChange={setOpen}>
      <Popover.Trigger className="touchable rounded-sm text-left underline decoration-hairline decoration-dotted underline-offset-4 hover:decoration-current">
        {children}
      </Popover.Trigger>
      <Popover.Portal container={portalHome()}>
        <Popover.Content sideOffset={6} collisionPadding={8} className="z-50 max-w-80 rounded-card border bg-panel p-4 text-body">
          {meaning}
        </Popover.Content>
      </Popover.Portal>
    </Popover.Root>
  )
}
