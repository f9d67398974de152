// The cursor and zoom that all charts of a page share. A small store: moving the cursor repaints canvases and
// never makes React draw.
import { createContext } from 'react'
import type { Extent } from './extent'

export interface SharedView {
  cursor: number | null
  zoom: Extent | null
  /** The chart being pointed at; it alone shows marks' words. */
  owner: string | null
}

export class ViewStore {
  private view: SharedView = { cursor: null, zoom: null, owner: null }
  private readonly listeners = new Set<() => void>()

  get = (): SharedView => this.view

  subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener)
    return () => this.listeners.delete(listener)
  }

  set(change: Partial<SharedView>): void {
    this.view = { ...this.view, ...change }
    for (const listener of this.listeners) listener()
  }
}

export const ViewContext = createContext<ViewStore | null>(null)

/** A zoom by `factor` around `at`, kept within `full`; `null` once it shows everything. */
export function zoomed(now: Extent, full: Extent, at: number, factor: number): Extent | null {
  const low = at - (at - now[0]) * factor
  const high = at + (now[1] - at) * factor
  const next: Extent = [Math.max(full[0], low), Math.min(full[1], high)]
  if (next[1] - next[0] >= (full[1] - full[0]) * 0.999) return null
  return next[1] - next[0] < (full[1] - full[0]) * 1e-5 ? now : next
}

/** A zoom moved by `by`, stopping at the ends. */
export function moved(now: Extent, full: Extent, by: number): Extent {
  const span = now[1] - now[0]
  const low = Math.min(Math.max(now[0] + by, full[0]), full[1] - span)
  return [low, low + span]
}
