// The frame of a page: title line, content, right panel, and the same thing as a command at the foot.
import { createContext, useContext, useState, type ReactNode } from 'react'
import { usePhone, useRemembered } from '@/lib/hooks'
import { IconButton } from './button'
import { CommandFoot } from './command-foot'
import { Dialog } from './dialog'
import { DocumentTitle } from './document-title'

interface PageProps {
  /** The name of what the page shows; text or an editable name. */
  title: ReactNode
  /** For the tab of the browser. */
  tab: string
  /** Beside the title: state, counts. */
  about?: ReactNode
  /** Icons and small buttons at the right of the title line. */
  actions?: ReactNode
  /** Settings of what the page shows. */
  side?: ReactNode
  sideTitle?: string
  /** Stands at the foot of the right panel: the one primary button. */
  sideFoot?: ReactNode
  command?: string
  code?: { language: string; text: string }[]
  children: ReactNode
}

/** Puts a page's banner region above its title; filled by the shell. */
export const BannerContext = createContext<ReactNode>(null)

export function Page({ title, tab, about, actions, side, sideTitle = 'Settings', sideFoot, command, code, children }: PageProps) {
  const isPhone = usePhone()
  const [shown, setShown] = useRemembered<'yes' | 'no'>('side', 'yes')
  const [sheetOpen, setSheetOpen] = useState(false)
  const banner = useContext(BannerContext)
  const hasSide = side !== undefined
  const isBeside = hasSide && !isPhone && shown === 'yes'
  return (
    <>
      <DocumentTitle text={tab} />
      <main id="content" tabIndex={-1} className="flex min-w-0 grow flex-col outline-none">
        {banner}
        <header className="flex min-h-16 flex-wrap items-center gap-x-4 gap-y-1 px-4 py-3 md:px-8">
          <div className="flex min-w-0 grow flex-wrap items-center gap-x-4 gap-y-1">
            {typeof title === 'string' ? <h1 className="text-title">{title}</h1> : title}
            {about}
          </div>
          <div className="flex flex-wrap items-center gap-1">
            {actions}
            {hasSide && (
              <IconButton
                icon="panel"
                label={isPhone ? sideTitle : shown === 'yes' ? 'Hide the panel' : 'Show the panel'}
                onClick={() => (isPhone ? setSheetOpen(true) : setShown(shown === 'yes' ? 'no' : 'yes'))}
              />
            )}
          </div>
        </header>
        <div className="mx-auto flex w-full max-w-(--content) grow flex-col gap-6 px-4 pb-8 md:px-8">{children}</div>
        {isPhone && sideFoot && <div className="sticky bottom-14 z-10 border-t bg-page px-4 py-3">{sideFoot}</div>}
        {command && <CommandFoot command={command} code={code} />}
      </main>
      {isBeside && (
        <aside
          aria-label={sideTitle}
          className="sticky top-0 flex h-dvh w-(--side) shrink-0 flex-col border-l bg-panel"
        >
          <div className="min-h-0 grow overflow-y-auto">{side}</div>
          {sideFoot && <div className="border-t p-4">{sideFoot}</div>}
        </aside>
      )}
      {isPhone && hasSide && (
        <Dialog look="sheet" title={sideTitle} isOpen={sheetOpen} onClose={() => setSheetOpen(false)}>
          <div className="-mx-6">{side}</div>
        </Dialog>
      )}
    </>
  )
}
