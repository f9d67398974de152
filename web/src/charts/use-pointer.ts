// Pointer on a chart: moving moves the shared cursor, dragging chooses a range to zoom into (with Shift it moves
// the view), Ctrl and wheel zoom, a double click shows all; one finger for the cursor, two for zoom.
import { useEffect, type RefObject } from 'react'
import type { Curve } from './curve'
import { extentOf, type Extent } from './extent'
import type { Layout, View } from './layout'
import type { Palette } from './palette'
import { moved, zoomed, type ViewStore } from './shared-view'

export interface Latest {
  layout: Layout | null
  palette: Palette
  curves: Curve[]
  view: Omit<View, 'zoom'>
}

interface PointerInput {
  frame: RefObject<HTMLDivElement | null>
  latest: RefObject<Latest>
  store: ViewStore
  id: string
  /** The range being dragged, in pixels; painted by the chart. */
  range: RefObject<[number, number] | null>
}

export const fullExtent = (latest: Latest): Extent => extentOf(latest.curves.map((curve) => curve.x)) ?? [0, 1]

export function usePointer({ frame, latest, store, id, range }: PointerInput): void {
  useEffect(() => {
    const element = frame.current
    if (!element) return
    const fingers = new Map<number, number>()
    let from: number | null = null
    let last = 0
    const place = (event: PointerEvent | WheelEvent) => event.clientX - element.getBoundingClientRect().left

    const down = (event: PointerEvent) => {
      fingers.set(event.pointerId, place(event))
      if (event.button !== 0 || !latest.current.layout) return
      if (event.pointerType === 'touch') return
      element.setPointerCapture(event.pointerId)
      from = last = place(event)
    }
    const move = (event: PointerEvent) => {
      const { layout } = latest.current
      if (!layout) return
      const at = place(event)
      if (fingers.size === 2 && fingers.has(event.pointerId)) {
        pinch(event.pointerId, at)
        return
      }
      if (from !== null && event.shiftKey) {
        const now = store.get().zoom ?? layout.xDomain
        store.set({ zoom: moved(now, fullExtent(latest.current), layout.x.fromPixel(last) - layout.x.fromPixel(at)) })
        last = at
        return
      }
      range.current = from !== null && Math.abs(at - from) > 4 ? [from, at] : null
      store.set({ cursor: layout.x.fromPixel(at), owner: id })
    }
    const up = (event: PointerEvent) => {
      fingers.delete(event.pointerId)
      const { layout } = latest.current
      const dragged = range.current
      from = null
      range.current = null
      if (!dragged || !layout) return
      const ends = dragged.map((at) => layout.x.fromPixel(Math.min(Math.max(at, layout.plot.left), layout.plot.right))).sort((a, b) => a - b)
      store.set({ zoom: [ends[0]!, ends[1]!] })
    }
    const leave = (event: PointerEvent) => {
      fingers.delete(event.pointerId)
      if (from === null) store.set({ cursor: null, owner: null })
    }
    const pinch = (pointer: number, at: number) => {
      const { layout } = latest.current
      const other = [...fingers].find(([finger]) => finger !== pointer)?.[1]
      const before = fingers.get(pointer)
      if (!layout || other === undefined || before === undefined) return
      fingers.set(pointer, at)
      const factor = Math.abs(before - other) / Math.max(8, Math.abs(at - other))
      const now = store.get().zoom ?? layout.xDomain
      store.set({ zoom: zoomed(now, fullExtent(latest.current), layout.x.fromPixel((at + other) / 2), factor) })
    }
    const wheel = (event: WheelEvent) => {
      const { layout } = latest.current
      if (!layout || !(event.ctrlKey || event.metaKey)) return
      event.preventDefault()
      const now = store.get().zoom ?? layout.xDomain
      store.set({ zoom: zoomed(now, fullExtent(latest.current), layout.x.fromPixel(place(event)), Math.exp(event.deltaY / 300)) })
    }
    const all = () => store.set({ zoom: null })
    element.addEventListener('pointerdown', down)
    element.addEventListener('pointermove', move)
    element.addEventListener('pointerup', up)
    element.addEventListener('pointercancel', leave)
    element.addEventListener('pointerleave', leave)
    element.addEventListener('wheel', wheel, { passive: false })
    element.addEventListener('dblclick', all)
    return () => {
      element.removeEventListener('pointerdown', down)
      element.removeEventListener('pointermove', move)
      element.removeEventListener('pointerup', up)
      element.removeEventListener('pointercancel', leave)
      element.removeEventListener('pointerleave', leave)
      element.removeEventListener('wheel', wheel)
      element.removeEventListener('dblclick', all)
    }
  }, [frame, latest, store, id, range])
}
