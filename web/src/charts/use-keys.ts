// Keys on a chart: arrows move the cursor by points, + and − zoom, 0 shows all, t opens the table.
import type { KeyboardEvent, RefObject } from 'react'
import { nearestIndex } from './curve'
import { zoomed, type ViewStore } from './shared-view'
import { fullExtent, type Latest } from './use-pointer'

interface KeysInput {
  latest: RefObject<Latest>
  store: ViewStore
  id: string
  onTable: () => void
}

export function useChartKeys({ latest, store, id, onTable }: KeysInput): (event: KeyboardEvent) => void {
  return (event) => {
    const { layout, curves } = latest.current
    if (event.ctrlKey || event.metaKey || event.altKey) return
    if (event.key === 't') {
      event.preventDefault()
      onTable()
      return
    }
    const lead = curves.reduce<(typeof curves)[number] | null>((best, curve) => (!best || curve.x.length > best.x.length ? curve : best), null)
    if (!layout || !lead || lead.x.length === 0) return
    const full = fullExtent(latest.current)
    const cursor = store.get().cursor ?? layout.xDomain[1]
    const stand = (index: number) => {
      const kept = Math.min(lead.x.length - 1, Math.max(0, index))
      store.set({ cursor: lead.x[kept]!, owner: id })
    }
    const now = nearestIndex(lead.x, cursor)
    const step = event.shiftKey ? 10 : 1
    const zoom = store.get().zoom ?? layout.xDomain
    const acts: Record<string, () => void> = {
      ArrowLeft: () => stand(now - step),
      ArrowRight: () => stand(now + step),
      Home: () => stand(0),
      End: () => stand(lead.x.length - 1),
      '+': () => store.set({ zoom: zoomed(zoom, full, cursor, 0.5) }),
      '=': () => store.set({ zoom: zoomed(zoom, full, cursor, 0.5) }),
      '-': () => store.set({ zoom: zoomed(zoom, full, cursor, 2) }),
      '0': () => store.set({ zoom: null }),
      Escape: () => store.set({ cursor: null, owner: null }),
    }
    const act = acts[event.key]
    if (!act) return
    event.preventDefault()
    act()
  }
}
