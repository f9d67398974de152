// Columns of the list of runs.
import { createColumnHelper, type ColumnDef } from '@tanstack/react-table'
import { Link } from 'react-router'
import type { RunRow } from '@/api/types'
import { Tag } from '@/components/bits'
import { Sparkline } from '@/components/sparkline'
import { StateBadge } from '@/components/state-badge'
import { TimeAgo } from '@/components/time-ago'
import { count, loss, middleCut } from '@/lib/format'

const helper = createColumnHelper<RunRow>()

/** Widths, in the order of `columns`. */
export const WIDTHS = '2.75rem 9rem minmax(12rem,1.6fr) minmax(7rem,1fr) minmax(8rem,1fr) 5rem 7rem 5.5rem 8rem'

export const columns: ColumnDef<RunRow, never>[] = [
  helper.display({
    id: 'choose',
    header: ({ table }) => (
      <input
        type="checkbox"
        aria-label="Choose all that are shown"
        className="size-4 accent-accent"
        checked={table.getIsAllRowsSelected()}
        onChange={table.getToggleAllRowsSelectedHandler()}
      />
    ),
    cell: ({ row }) => (
      <label className="flex h-10 items-center">
        <input type="checkbox" aria-label={`Choose ${row.original.name}`} className="size-4 accent-accent" checked={row.getIsSelected()} onChange={row.getToggleSelectedHandler()} />
      </label>
    ),
  }),
  helper.accessor((row) => row.state.name, { id: 'state', header: 'State', cell: ({ row }) => <StateBadge state={{ ...row.original.state, text: row.original.state.name.replaceAll('_', ' ') }} /> }),
  helper.accessor('name', {
    id: 'name',
    header: 'Name',
    cell: ({ row }) => (
      <span className="flex items-center gap-2">
        <Link to={`/runs/${row.original.id}`} title={row.original.name} className="truncate font-medium hover:underline">
          <bdi>{middleCut(row.original.name, 36)}</bdi>
        </Link>
        {row.original.tags.slice(0, 2).map((tag) => (
          <Tag key={tag}>{tag}</Tag>
        ))}
      </span>
    ),
  }),
  helper.accessor('model', { id: 'model', header: 'Model', enableSorting: false, cell: (cell) => <bdi title={cell.getValue()}>{cell.getValue() || 'new'}</bdi> }),
  helper.accessor('data', { id: 'data', header: 'Data', enableSorting: false, cell: (cell) => <bdi title={cell.getValue()}>{cell.getValue()}</bdi> }),
  helper.accessor('best_loss', { id: 'best_loss', header: 'Best', sortDescFirst: false, cell: (cell) => loss(cell.getValue()) }),
  helper.display({ id: 'curve', header: 'Curve', cell: ({ row }) => <Sparkline values={row.original.curve} width={88} height={22} /> }),
  helper.accessor('tokens_per_second', { id: 'tokens_per_second', header: 'Tokens/s', cell: (cell) => count(cell.getValue()) }),
  helper.accessor('created_at', { id: 'created', header: 'Started', cell: (cell) => <TimeAgo at={cell.getValue()} /> }),
] as ColumnDef<RunRow, never>[]
