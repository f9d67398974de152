// A text as a QR code: one path of squares, dark on white in both themes, since that is what cameras read.
import { useMemo } from 'react'
import { encode } from 'uqr'

/** White squares around the code, as readers ask for. */
const MARGIN = 4

export function QrCode({ text, label }: { text: string; label: string }) {
  const { size, path } = useMemo(() => squares(text), [text])
  return (
    <svg role="img" aria-label={label} viewBox={`0 0 ${size} ${size}`} width="200" height="200" shapeRendering="crispEdges" className="shrink-0 rounded-control" data-fill>
      <path d={`M0 0h${size}v${size}h-${size}z`} fill="white" />
      <path d={path} fill="black" />
    </svg>
  )
}

export function squares(text: string): { size: number; path: string } {
  const { data } = encode(text, { ecc: 'M', border: MARGIN })
  const path = data.flatMap((row, y) => row.flatMap((isDark, x) => (isDark ? [`M${x} ${y}h1v1h-1z`] : []))).join('')
  return { size: data.length, path }
}
