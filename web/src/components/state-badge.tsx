// A run's state: a shape, a word and a colour, so that none of them carries it alone.
import type { RunState } from '@/api/types'
import { classes } from '@/lib/class-names'

type Look = { tone: string; shape: 'dot' | 'ring' | 'check' | 'bang' | 'bars' | 'square' | 'dash' }

const LOOKS: Record<string, Look> = {
  queued: { tone: 'text-quiet', shape: 'ring' },
  preparing: { tone: 'text-accent', shape: 'ring' },
  training: { tone: 'text-accent', shape: 'dot' },
  evaluating: { tone: 'text-accent', shape: 'dot' },
  saving: { tone: 'text-accent', shape: 'dot' },
  stopping: { tone: 'text-warn', shape: 'square' },
  paused: { tone: 'text-warn', shape: 'bars' },
  finished: { tone: 'text-good', shape: 'check' },
  stopped: { tone: 'text-quiet', shape: 'square' },
  failed: { tone: 'text-bad', shape: 'bang' },
  interrupted: { tone: 'text-warn', shape: 'bang' },
  not_answering: { tone: 'text-warn', shape: 'bang' },
  elsewhere: { tone: 'text-quiet', shape: 'dash' },
}

const SHAPES: Record<Look['shape'], string> = {
  dot: 'M8 4a4 4 0 1 1 0 8 4 4 0 0 1 0-8z',
  ring: 'M8 4.5a3.5 3.5 0 1 1 0 7 3.5 3.5 0 0 1 0-7z',
  check: 'm3.5 8.5 3 3 6-7',
  bang: 'M8 3v6.5M8 12.5v.2',
  bars: 'M6 4v8M10 4v8',
  square: 'M4.5 4.5h7v7h-7z',
  dash: 'M4 8h8',
}

export function StateShape({ name }: { name: string }) {
  const look = LOOKS[name] ?? { tone: 'text-quiet', shape: 'dash' as const }
  const isFilled = look.shape === 'dot' || look.shape === 'square'
  return (
    <svg
      aria-hidden="true"
      width="16"
      height="16"
      viewBox="0 0 16 16"
      className={classes('shrink-0', look.tone, name === 'training' && 'breathes')}
      fill={isFilled ? 'currentColor' : 'none'}
      stroke="currentColor"
      strokeWidth={isFilled ? 0 : 1.75}
      strokeLinecap="round"
      strokeLinejoin="round"
    >
      <path d={SHAPES[look.shape]} />
    </svg>
  )
}

export function StateBadge({ state, isStale }: { state: RunState; isStale?: boolean }) {
  const look = LOOKS[state.name]
  return (
    <span className={classes('inline-flex items-center gap-1.5 align-middle whitespace-nowrap', isStale ? 'text-quiet' : (look?.tone ?? 'text-quiet'))}>
      {isStale ? <StateShape name="elsewhere" /> : <StateShape name={state.name} />}
      <span>
        {state.text || state.name.replaceAll('_', ' ')}
        {isStale && <span className="italic">, as of before</span>}
      </span>
    </span>
  )
}
