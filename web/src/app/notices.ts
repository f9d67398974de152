// Tells a person that a run ended: said aloud, in the tab's icon, and as a notification where that was allowed.
import { useEffect, useRef } from 'react'
import type { HomePage, RunRow } from '@/api/types'
import { announce } from '@/lib/announce'

const ENDS = new Set(['finished', 'failed', 'stopped', 'interrupted'])

export function useNotices(home: HomePage | undefined): void {
  const before = useRef<Map<string, string> | null>(null)
  useEffect(() => {
    if (!home) return
    const rows = [...home.running, ...home.queued, ...home.recent]
    const last = before.current
    before.current = new Map(rows.map((row) => [row.id, row.state.name]))
    if (!last) return
    for (const row of rows) {
      const was = last.get(row.id)
      if (was === undefined || was === row.state.name) continue
      announce(`${row.name}: ${row.state.text}`)
      if (ENDS.has(row.state.name) && !ENDS.has(was)) tell(row)
    }
  }, [home])
}

function tell(row: RunRow): void {
  if (!document.hidden) return
  setBadge(row.state.name === 'failed' ? 'failed' : 'done')
  document.addEventListener('visibilitychange', () => setBadge(null), { once: true })
  if (typeof Notification === 'function' && Notification.permission === 'granted') {
    new Notification(`${row.name}: ${row.state.text}`, { body: row.failure || (row.best_loss ? `best held-out loss ${row.best_loss.toFixed(3)}` : ''), tag: row.id })
  }
}

/** A sign before the tab's title, and another icon. */
function setBadge(kind: 'done' | 'failed' | null): void {
  const icon = document.querySelector<HTMLLinkElement>('link[rel=icon]')
  if (icon) icon.href = kind ? `/favicon-${kind}.svg` : '/favicon.svg'
  document.title = document.title.replace(/^[✓!] /u, '')
  if (kind) document.title = `${kind === 'done' ? '✓' : '!'} ${document.title}`
}
