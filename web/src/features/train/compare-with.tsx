// The recipe beside an earlier run's: only what differs.
import { useState } from 'react'
import { useQuery } from '@tanstack/react-query'
import { homeQuery, recipeQuery } from '@/api/queries'
import { Select } from '@/components/fields'
import type { Draft } from './use-draft'

export function CompareWith({ draft }: { draft: Draft }) {
  const { data: home } = useQuery(homeQuery())
  const runs = [...(home?.running ?? []), ...(home?.recent ?? [])]
  const [id, setId] = useState('')
  const { data: other } = useQuery({ ...recipeQuery(id), enabled: id !== '' })
  if (runs.length === 0) return null
  const names = other ? Object.keys(other.fields).filter((name) => name !== 'name' && draft.value(name) !== other.fields[name]) : []
  return (
    <section aria-label="Compare with an earlier run">
      <label className="flex flex-wrap items-center gap-3">
        <span className="text-quiet">Compare with</span>
        <Select value={id} onChange={(event) => setId(event.target.value)} className="max-w-64">
          <option value="">no run</option>
          {runs.map((run) => (
            <option key={run.id} value={run.id}>
              {run.name}
            </option>
          ))}
        </Select>
        {other && <span className="text-quiet">{names.length === 0 ? 'the same recipe' : `${names.length} differ`}</span>}
      </label>
      {names.length > 0 && (
        <table className="tabular mt-3 w-full max-w-2xl text-left">
          <thead className="text-small text-quiet">
            <tr className="border-b">
              <th className="py-1 font-medium">Field</th>
              <th className="font-medium">Here</th>
              <th className="font-medium">There</th>
            </tr>
          </thead>
          <tbody>
            {names.map((name) => (
              <tr key={name} className="h-9 border-b">
                <th className="font-mono text-small font-normal">{name}</th>
                <td className="wrap-anywhere">{draft.value(name) || '–'}</td>
                <td className="wrap-anywhere text-quiet">{other?.fields[name] || '–'}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </section>
  )
}
