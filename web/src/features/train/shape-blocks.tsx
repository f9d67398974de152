// A new model drawn from its numbers: embedding, blocks of attention and feed-forward, head; with its parameters.
import { short } from '@/lib/format'

export interface Shape {
  layers: number
  width: number
  heads: number
  kvHeads: number
  hidden: number
  context: number
  vocabulary: number
}

/** Parameters of a gated decoder with tied embeddings, to a few in a thousand. */
export function parametersOf(shape: Shape): { embedding: number; attention: number; feedForward: number; total: number } {
  const { layers, width, heads, kvHeads, hidden, vocabulary } = shape
  const kvWidth = heads > 0 ? (width / heads) * kvHeads : width
  const embedding = vocabulary * width
  const attention = layers * (2 * width * width + 2 * width * kvWidth)
  const feedForward = layers * 3 * width * hidden
  return { embedding, attention, feedForward, total: embedding + attention + feedForward + (2 * layers + 1) * width }
}

const MOST_DRAWN = 12

export function ShapeBlocks({ shape }: { shape: Shape }) {
  const parts = parametersOf(shape)
  const drawn = Math.min(shape.layers, MOST_DRAWN)
  const wide = Math.min(100, 24 + shape.width / 12)
  return (
    <figure className="rounded-card border bg-panel p-4">
      <figcaption className="mb-3 flex flex-wrap gap-x-6">
        <span className="font-medium">The new model</span>
        <span className="tabular text-quiet">
          about {short(parts.total)} parameters: embedding {short(parts.embedding)}, attention {short(parts.attention)}, feed-forward {short(parts.feedForward)}
        </span>
      </figcaption>
      <div className="flex flex-col items-center gap-1 text-small" aria-hidden="true">
        <Block wide={wide} text={`vocabulary ${short(shape.vocabulary)} × ${shape.width}`} />
        {Array.from({ length: drawn }, (_, layer) => (
          <div key={layer} className="flex gap-1" style={{ width: `${wide}%` }}>
            <div className="h-5 min-w-0 grow basis-0 overflow-hidden rounded-sm border bg-page text-center text-quiet">{layer === 0 ? `attention, ${shape.heads} heads` : ''}</div>
            <div className="h-5 min-w-0 grow-2 basis-0 overflow-hidden rounded-sm border bg-raised text-center text-quiet">{layer === 0 ? `feed-forward ${short(shape.hidden)}` : ''}</div>
          </div>
        ))}
        {shape.layers > drawn && <span className="text-quiet">and {shape.layers - drawn} more</span>}
        <Block wide={wide} text="head" />
      </div>
    </figure>
  )
}

function Block({ wide, text }: { wide: number; text: string }) {
  return (
    <div data-fill className="overflow-hidden rounded-sm bg-soft text-center text-on-soft" style={{ width: `${wide}%` }}>
      {text}
    </div>
  )
}
