// Dialog and sheet over the browser's own <dialog>: it traps and returns focus, closes on Escape, and needs
// no style element at run time.
import { useEffect, useId, useRef, type ReactNode } from 'react'
import { classes } from '@/lib/class-names'
import { Icon } from './icon'

interface DialogProps {
  isOpen: boolean
  title: string
  onClose: () => void
  children: ReactNode
  footer?: ReactNode
  /** sheet: from the bottom edge, for phones. wide: galleries and tables. */
  look?: 'small' | 'wide' | 'sheet'
}

const LOOKS = {
  small: 'm-auto w-[min(30rem,calc(100vw-2rem))] rounded-card',
  wide: 'm-auto w-[min(60rem,calc(100vw-2rem))] rounded-card',
  sheet: 'mx-0 mt-auto mb-0 w-full max-w-full rounded-t-card',
}

export function Dialog(properties: DialogProps) {
  return properties.isOpen ? <OpenDialog {...properties} /> : null
}

function OpenDialog({ title, onClose, children, footer, look = 'small' }: DialogProps) {
  const ref = useRef<HTMLDialogElement>(null)
  const heading = useId()
  useEffect(() => {
    const dialog = ref.current
    const before = document.activeElement
    dialog?.showModal()
    return () => {
      dialog?.close()
      // Where React took the dialog away first, the browser had nothing to give the focus back from.
      if (before instanceof HTMLElement && before.isConnected) before.focus()
    }
  }, [])
  return (
    <dialog
      ref={ref}
      aria-labelledby={heading}
      onCancel={(event) => {
        event.preventDefault()
        onClose()
      }}
      onClick={(event) => {
        if (event.target === ref.current) onClose()
      }}
      className={classes('max-h-[calc(100dvh-2rem)] flex-col border bg-panel p-0 open:flex', LOOKS[look])}
    >
      <header className="flex items-center gap-2 py-2 pr-2 pl-6">
        <h2 id={heading} className="grow text-lead font-medium">
          {title}
        </h2>
        {/* Without a tooltip: that would take the first Escape. */}
        <button type="button" aria-label="Close" onClick={onClose} className="control-width h-control flex shrink-0 items-center justify-center rounded-full text-quiet hover:bg-raised hover:text-ink">
          <Icon name="close" />
        </button>
      </header>
      {/* Scrolled by keys where it is longer than the window. */}
      <div tabIndex={0} className="min-h-0 grow overflow-y-auto px-6 pb-6 outline-offset-[-2px]">
        {children}
      </div>
      {footer && <footer className="flex flex-wrap justify-end gap-2 border-t px-6 py-3">{footer}</footer>}
    </dialog>
  )
}
