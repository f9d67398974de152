// Light, dark or as the system says: an attribute on the root, remembered in this browser.
import { useSyncExternalStore } from 'react'

export type Theme = 'system' | 'light' | 'dark'

const KEY = 'apertis.theme'
const listeners = new Set<() => void>()
const system = typeof matchMedia === 'function' ? matchMedia('(prefers-color-scheme: dark)') : null
system?.addEventListener('change', () => notify())

function notify(): void {
  for (const listener of listeners) listener()
}

export function theme(): Theme {
  const saved = localStorage.getItem(KEY)
  return saved === 'light' || saved === 'dark' ? saved : 'system'
}

/** What is really shown. */
export function shownTheme(): 'light' | 'dark' {
  const chosen = theme()
  return chosen === 'system' ? (system?.matches ? 'dark' : 'light') : chosen
}

export function applyTheme(): void {
  const chosen = theme()
  if (chosen === 'system') delete document.documentElement.dataset.theme
  else document.documentElement.dataset.theme = chosen
}

export function setTheme(chosen: Theme): void {
  if (chosen === 'system') localStorage.removeItem(KEY)
  else localStorage.setItem(KEY, chosen)
  applyTheme()
  notify()
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener)
  return () => listeners.delete(listener)
}

export const useTheme = (): Theme => useSyncExternalStore(subscribe, theme)
export const useShownTheme = (): 'light' | 'dark' => useSyncExternalStore(subscribe, shownTheme)
