// One field of the catalogue as a row of the form; its kind decides the input.
import type { ReactNode } from 'react'
import type { CatalogueField } from '@/api/types'
import { Switch } from '@/components/bits'
import { Select, TextBox } from '@/components/fields'
import { NumberRow, ParameterRow } from '@/components/parameter-row'
import { Term } from '@/components/term'
import type { Draft } from './use-draft'
import { sliderRange } from './slider-range'

export function FieldRow({ field, draft }: { field: CatalogueField; draft: Draft }) {
  const value = draft.value(field.name)
  const problem = draft.problem(field.name)
  const row = {
    label: <FieldLabel field={field} />,
    isChanged: draft.isChanged(field.name),
    initial: field.default || 'empty',
    onReset: () => draft.reset(field.name),
    problem,
  }
  const set = (text: string) => draft.set({ [field.name]: text })
  switch (field.kind) {
    case 'integer':
    case 'number': {
      const range = sliderRange(field)
      const isWord = field.zero !== ''
      return (
        <NumberRow
          {...row}
          name={field.label}
          value={value}
          unit={field.unit}
          min={range?.min}
          max={range?.max}
          isLogarithmic={range?.isLogarithmic}
          isInteger={field.kind === 'integer'}
          words={isWord ? [field.zero === 'off' ? 'off' : 'auto'] : []}
          onChange={set}
        />
      )
    }
    case 'switch':
      return (
        <ParameterRow {...row}>
          <Switch isOn={value === 'true'} label={field.label} onChange={(isOn) => set(String(isOn))} />
        </ParameterRow>
      )
    case 'choice':
      return (
        <ParameterRow {...row}>
          <Select aria-label={field.label} value={value} title={field.choices.find((choice) => choice.name === value)?.meaning} onChange={(event) => set(event.target.value)} className="w-full">
            {field.choices.map((choice) => (
              <option key={choice.name} value={choice.name}>
                {choice.name}
              </option>
            ))}
          </Select>
        </ParameterRow>
      )
    default:
      return (
        <ParameterRow {...row}>
          <TextBox aria-label={field.label} aria-invalid={Boolean(problem)} value={value} onChange={(event) => set(event.target.value)} />
        </ParameterRow>
      )
  }
}

/** The field's name; a click says what it does. */
function FieldLabel({ field }: { field: CatalogueField }): ReactNode {
  return (
    <Term
      meaning={
        <>
          <p>{field.meaning}</p>
          {field.choices.length > 0 && (
            <dl className="mt-2 grid grid-cols-[auto_1fr] gap-x-3 gap-y-1 text-small">
              {field.choices.map((choice) => (
                <div key={choice.name} className="contents">
                  <dt className="font-mono">{choice.name}</dt>
                  <dd className="text-quiet">{choice.meaning}</dd>
                </div>
              ))}
            </dl>
          )}
          <p className="mt-2 text-small text-quiet">
            <code>{field.name}</code>, default {field.default || 'empty'}
            {field.zero && field.zero !== 'off' && `; auto: ${field.zero}`}
          </p>
        </>
      }
    >
      {field.label}
    </Term>
  )
}

