// The rail and what every page shares: banners, keys, help, live rows of runs.
import { useEffect, useRef, useState, type ReactNode } from 'react'
import { useQuery, useQueryClient } from '@tanstack/react-query'
import { useLocation, useNavigate } from 'react-router'
import { homeQuery, sessionQuery } from '@/api/queries'
import { useReached } from '@/api/reach'
import { Banner } from '@/components/banner'
import { BannerContext } from '@/components/page'
import { KeyboardHelp } from '@/components/keyboard-help'
import { isTyping, useHotkey } from '@/lib/hooks'
import { useLiveRuns } from '@/live/live'
import { guideOf } from './guide'
import { Rail } from './rail'
import { useNotices } from './notices'

const GO: Record<string, string> = { h: '/', t: '/train', r: '/runs', s: '/system' }

export function Shell({ children }: { children: ReactNode }) {
  const { pathname } = useLocation()
  const [isHelpOpen, setHelpOpen] = useState(false)
  const home = useQuery(homeQuery())
  useLiveRuns(home.data)
  useNotices(home.data)
  useGoKeys()
  useHotkey('?', () => setHelpOpen(true))
  useHotkey('/', () => document.querySelector<HTMLElement>('main input[type=search]')?.focus())
  return (
    <div className="flex min-h-dvh max-md:flex-col">
      <a href="#content" className="sr-only z-50 rounded-control bg-accent px-4 py-2 text-on-accent focus:not-sr-only focus:fixed focus:top-2 focus:left-2">
        Skip to the content
      </a>
      <Rail onHelp={() => setHelpOpen(true)} />
      <div className="flex min-w-0 grow max-md:flex-col max-md:pb-14">
        <BannerContext value={<Banners />}>{children}</BannerContext>
      </div>
      <KeyboardHelp isOpen={isHelpOpen} onClose={() => setHelpOpen(false)} guide={guideOf(pathname)} />
    </div>
  )
}

/** `g` then a letter goes to a page. */
function useGoKeys(): void {
  const navigate = useNavigate()
  const isArmed = useRef(false)
  useEffect(() => {
    const listen = (event: KeyboardEvent) => {
      if (isTyping(event.target) || event.ctrlKey || event.metaKey || event.altKey || document.querySelector('dialog[open]')) return
      const target = isArmed.current ? GO[event.key] : undefined
      isArmed.current = event.key === 'g'
      if (target) void navigate(target)
    }
    addEventListener('keydown', listen)
    return () => removeEventListener('keydown', listen)
  }, [navigate])
}

function Banners() {
  const isReached = useReached()
  const client = useQueryClient()
  const { data: session } = useQuery(sessionQuery())
  useEffect(() => {
    if (isReached) {
      void client.invalidateQueries()
      return
    }
    const timer = setInterval(() => void client.invalidateQueries({ queryKey: ['session'] }), 2000)
    return () => clearInterval(timer)
  }, [isReached, client])
  return (
    <>
      {!isReached && (
        <Banner>
          The server does not answer; what you see is from before. Runs go on without it. Start it again with <code>apertis serve</code>.
        </Banner>
      )}
      {session?.is_plain && <Banner>This connection is not encrypted: keys and data can be read on the way. Use --public-url with TLS.</Banner>}
    </>
  )
}
