// What do you want? Presets as cards, each with what it does and when not to take it.
import type { Preset } from '@/api/types'
import { Tag } from '@/components/bits'
import { classes } from '@/lib/class-names'

interface PresetsProps {
  presets: Preset[]
  chosen: string | null
  onChoose: (preset: Preset) => void
}

export function Presets(properties: PresetsProps) {
  return (
    <section aria-labelledby="want">
      <h2 id="want" className="mb-2 font-medium">
        <span className="mr-2 text-quiet">3</span>What do you want?
      </h2>
      <PresetCards {...properties} />
    </section>
  )
}

export function PresetCards({ presets, chosen, onChoose }: PresetsProps) {
  return (
      <ul className="grid gap-3 sm:grid-cols-2 xl:grid-cols-3">
        {presets.map((preset) => {
          const isChosen = preset.name === chosen
          return (
            <li key={preset.name}>
              <button
                type="button"
                aria-pressed={isChosen}
                onClick={() => onChoose(preset)}
                className={classes('flex h-full w-full flex-col gap-1 rounded-card border p-4 text-left', isChosen ? 'border-accent bg-soft text-on-soft' : 'bg-panel hover:bg-raised')}
              >
                <span className="flex w-full items-center gap-2">
                  <span className="min-w-0 grow truncate font-medium" dir="auto">
                    {preset.title}
                  </span>
                  {preset.is_own && <Tag>Yours</Tag>}
                </span>
                <span className={classes(!isChosen && 'text-quiet')}>{preset.what}</span>
                <span className={classes('text-small', !isChosen && 'text-quiet')}>{preset.not_for}</span>
              </button>
            </li>
          )
        })}
      </ul>
  )
}
