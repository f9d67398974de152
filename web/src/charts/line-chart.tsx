// A line chart: React holds the frame and the words, two canvases hold the marks (curves below, cursor above).
import { useCallback, useContext, useEffect, useId, useMemo, useRef, useState } from 'react'
import type { Mark } from '@/api/types'
import { Skeleton } from '@/components/skeleton'
import { useSize } from '@/lib/hooks'
import { useShownTheme } from '@/lib/theme'
import { ChartHead } from './chart-head'
import { ChartTable } from './chart-table'
import { saveCsv, savePng, saveSvg } from './export'
import { nearestIndex, X_KINDS, type Curve } from './curve'
import { layoutChart, type Layout, type View } from './layout'
import { paintChart, paintCursor, prepare } from './paint'
import { readPalette } from './palette'
import { readingAt, readingText } from './reading'
import { ViewContext, ViewStore } from './shared-view'
import { usePointer } from './use-pointer'
import { useChartKeys } from './use-keys'

export interface LineChartProps {
  title: string
  unit?: string
  curves: Curve[]
  /** Stretches that were taken back. */
  behind?: Curve[]
  marks?: Mark[]
  view: Omit<View, 'zoom'>
  startMs?: number
  height?: number
  hasEndLabels?: boolean
  /** A new one means that the curves' columns were changed in place. */
  version?: number
  isLoading?: boolean
  /** What a file of this chart is called. */
  fileStem?: string
}

/** The zoom of the shared view as React state: it changes the layout. */
function useZoom(store: ViewStore) {
  const [zoom, setZoom] = useState(store.get().zoom)
  useEffect(() => store.subscribe(() => setZoom(store.get().zoom)), [store])
  return zoom
}

export function LineChart(properties: LineChartProps) {
  const { title, unit, curves, behind, marks, view, startMs = 0, height = 200, hasEndLabels, version, isLoading, fileStem } = properties
  const shared = useContext(ViewContext)
  const [own] = useState(() => new ViewStore())
  const store = shared ?? own
  const zoom = useZoom(store)
  const theme = useShownTheme()
  const id = useId()
  const [box, { width }] = useSize<HTMLDivElement>()
  const under = useRef<HTMLCanvasElement>(null)
  const over = useRef<HTMLCanvasElement>(null)
  const frame = useRef<HTMLDivElement>(null)
  const words = useRef<HTMLDivElement>(null)
  const range = useRef<[number, number] | null>(null)
  const [isTable, setTable] = useState(false)

  const placedMarks = useMemo(() => (marks ? placeMarks(marks, curves, view.kind, startMs) : undefined), [marks, curves, view.kind, startMs])
  const layout = useMemo(
    () => layoutChart({ ...view, zoom, curves, behind, marks: placedMarks, width, height, hasEndLabels }),
    // `version` stands for columns that grew in place.
    // eslint-disable-next-line react-hooks/exhaustive-deps
    [view, zoom, curves, behind, placedMarks, width, height, hasEndLabels, version],
  )
  // eslint-disable-next-line react-hooks/exhaustive-deps
  const palette = useMemo(() => readPalette(), [theme])

  const latest = useRef({ layout, palette, curves, view })
  useEffect(() => {
    latest.current = { layout, palette, curves, view }
  })

  useEffect(() => {
    if (!under.current || width === 0) return
    const pen = prepare(under.current, width, height)
    if (pen && layout) paintChart(pen, layout, palette)
  }, [layout, palette, width, height])

  const paintOver = useCallback(() => {
    const canvas = over.current
    const { layout: now, palette: colours, curves: lines, view: how } = latest.current
    if (!canvas || !now) return
    const pen = prepare(canvas, now.width, now.height)
    if (!pen) return
    const { cursor, owner } = store.get()
    const reading = cursor === null ? null : readingAt(now, lines, cursor)
    const mark = owner === id && cursor !== null ? nearMark(now, cursor) : ''
    if (words.current) words.current.textContent = reading ? readingText(reading, how.kind, mark) : ''
    frame.current?.setAttribute('aria-valuetext', reading ? readingText(reading, how.kind, mark) : `${title}: no point chosen`)
    frame.current?.setAttribute('aria-valuenow', String(reading?.index ?? 0))
    paintCursor(pen, now, colours, reading?.x ?? null, reading?.dots ?? [], range.current)
  }, [store, id, title])

  usePointer({ frame, latest, store, id, range })
  const table = useRef<HTMLDivElement>(null)
  const isByKey = useRef(false)
  const turn = () => {
    isByKey.current = true
    setTable((shown) => !shown)
  }
  const onKeyDown = useChartKeys({ latest, store, id, onTable: turn })
  // Chart and table replace one another: the focus goes along.
  useEffect(() => {
    if (isByKey.current) (isTable ? table : frame).current?.focus()
    isByKey.current = false
  }, [isTable])

  useEffect(() => {
    let asked = 0
    const paintSoon = () => {
      if (!asked) {
        asked = requestAnimationFrame(() => {
          asked = 0
          paintOver()
        })
      }
    }
    paintSoon()
    const leave = store.subscribe(paintSoon)
    return () => {
      leave()
      cancelAnimationFrame(asked)
    }
  }, [store, paintOver, layout, palette])

  const name = fileStem ? `${fileStem} ${title}` : title
  return (
    <figure className="flex min-w-0 flex-col rounded-card border bg-page p-3">
      <ChartHead
        title={title}
        unit={unit}
        curves={hasEndLabels ? [] : curves}
        isTable={isTable}
        isZoomed={zoom !== null}
        onTable={() => setTable(!isTable)}
        onReset={() => store.set({ zoom: null })}
        onSave={(kind) => {
          if (kind === 'csv') saveCsv(name, curves, X_KINDS.find((x) => x.id === view.kind)?.label ?? view.kind)
          else if (layout) void (kind === 'png' ? savePng(name, layout, palette) : Promise.resolve(saveSvg(name, layout, palette)))
        }}
      />
      <div ref={box} className="relative" style={{ height }}>
        {isTable ? (
          <ChartTable ref={table} title={title} curves={curves} kind={view.kind} height={height} onTurn={turn} />
        ) : (
          <div
            ref={frame}
            role="slider"
            tabIndex={0}
            aria-label={`${title}${unit ? `, ${unit}` : ''}: cursor`}
            aria-valuemin={0}
            aria-valuemax={Math.max(1, (curves[0]?.x.length ?? 1) - 1)}
            aria-valuenow={0}
            aria-valuetext={`${title}: no point chosen`}
            onKeyDown={onKeyDown}
            className="absolute inset-0 touch-pan-y rounded-control select-none"
          >
            <canvas ref={under} aria-hidden="true" className="absolute inset-0 size-full" />
            <canvas ref={over} aria-hidden="true" className="absolute inset-0 size-full" />
            {!layout && width > 0 && (isLoading ? <Skeleton className="h-40" /> : <p className="pt-16 text-center text-small text-quiet">No points yet</p>)}
          </div>
        )}
      </div>
      <div ref={words} aria-hidden="true" className="tabular h-4 truncate pl-12 text-small text-quiet" />
    </figure>
  )
}

function placeMarks(marks: Mark[], curves: Curve[], kind: View['kind'], startMs: number): (Mark & { x: number })[] {
  const longest = curves.reduce<Curve | null>((best, curve) => (!best || curve.x.length > best.x.length ? curve : best), null)
  return marks.map((mark) => {
    if (kind === 'step') return { ...mark, x: mark.step }
    if (kind === 'relative') return { ...mark, x: mark.elapsed_ms }
    if (kind === 'wall') return { ...mark, x: startMs + mark.elapsed_ms }
    const index = longest ? nearestIndex(longest.step, mark.step) : -1
    return { ...mark, x: index < 0 ? Number.NaN : longest!.x[index]! }
  })
}

function nearMark(layout: Layout, cursor: number): string {
  const at = layout.x.toPixel(cursor)
  let best = ''
  let reach = 6
  for (const mark of layout.marks) {
    if (Math.abs(mark.x - at) <= reach) {
      reach = Math.abs(mark.x - at)
      best = mark.text
    }
  }
  return best
}

