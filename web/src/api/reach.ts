// Whether the server answers: a banner, stale marks and switched-off controls hang on it.
import { useSyncExternalStore } from 'react'

let reached = true
const listeners = new Set<() => void>()

export function setReached(next: boolean): void {
  if (reached === next) return
  reached = next
  for (const listener of listeners) listener()
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener)
  return () => listeners.delete(listener)
}

export const isReached = (): boolean => reached
export const useReached = (): boolean => useSyncExternalStore(subscribe, isReached)
