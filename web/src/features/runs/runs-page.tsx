// Every run: searched, filtered and sorted by the server, chosen here to compare, tag or delete.
import { useMemo, useState } from 'react'
import { useInfiniteQuery } from '@tanstack/react-query'
import { getCoreRowModel, useReactTable, type RowSelectionState } from '@tanstack/react-table'
import { useNavigate } from 'react-router'
import { useRestore } from '@/api/actions'
import { failureText } from '@/api/client'
import { runsQuery } from '@/api/queries'
import type { RunRow } from '@/api/types'
import { Button, LinkButton } from '@/components/button'
import { Chip, Empty } from '@/components/bits'
import { DeleteDialog } from '@/components/delete-dialog'
import { SearchBox, Select } from '@/components/fields'
import { Page } from '@/components/page'
import { Skeleton } from '@/components/skeleton'
import { VirtualTable } from '@/components/table'
import { count } from '@/lib/format'
import { usePhone, useSettled } from '@/lib/hooks'
import { useUrlList, useUrlText } from '@/lib/url-state'
import { columns, WIDTHS } from './columns'
import { queryOf, sortingOf, sortText, STATES } from './filters'
import { RunCards } from './run-cards'
import { TagDialog } from './tag-dialog'

const NO_ROWS: RunRow[] = []

export default function RunsPage() {
  const navigate = useNavigate()
  const isPhone = usePhone()
  const [text, setText] = useUrlText('text')
  const [state, setState] = useUrlText('state')
  const [model, setModel] = useUrlText('model')
  const [data, setData] = useUrlText('data')
  const [tag, setTag] = useUrlText('tag')
  const [sort, setSort] = useUrlText('sort', '-created')
  const [trash, setTrash] = useUrlText('trash')
  const [chosen, setChosen] = useUrlList('chosen')
  const [dialog, setDialog] = useState<'delete' | 'tag' | null>(null)
  const restore = useRestore()
  const settledText = useSettled(text, 200)
  const query = useMemo(() => queryOf({ text: settledText, state, model, data, tag, sort, isTrash: trash === '1' }), [settledText, state, model, data, tag, sort, trash])
  const list = useInfiniteQuery(runsQuery(query))
  const rows = useMemo(() => list.data?.pages.flatMap((page) => page.items) ?? NO_ROWS, [list.data])
  const first = list.data?.pages[0]
  const selection = useMemo<RowSelectionState>(() => Object.fromEntries(chosen.map((id) => [id, true])), [chosen])
  const table = useReactTable({
    data: rows,
    columns,
    getRowId: (row) => row.id,
    getCoreRowModel: getCoreRowModel(),
    manualSorting: true,
    enableSortingRemoval: false,
    state: { sorting: sortingOf(sort), rowSelection: selection },
    onSortingChange: (change) => setSort(sortText(typeof change === 'function' ? change(sortingOf(sort)) : change)),
    onRowSelectionChange: (change) => {
      const next = typeof change === 'function' ? change(selection) : change
      setChosen(Object.keys(next).filter((id) => next[id]))
    },
  })
  const chosenRows = rows.filter((row) => chosen.includes(row.id))
  const isFiltered = Boolean(text || state || model || data || tag)
  const clear = () => void navigate('/runs')
  const names = (pick: (row: RunRow) => string) => [...new Set(rows.map(pick).filter(Boolean))].sort()
  return (
    <Page
      title={trash === '1' ? 'Trash' : 'Runs'}
      tab="Runs"
      about={first && <span className="tabular text-quiet">{isFiltered ? `${count(first.total)} of ${count(first.of)}` : count(first.of)}</span>}
      actions={
        <LinkButton look="primary" icon="plus" to="/train">
          New run
        </LinkButton>
      }
      command={`apertis runs${text ? ` ${JSON.stringify(text)}` : ''}${state ? ` --state ${state}` : ''}`}
    >
      <div className="flex flex-wrap items-center gap-2">
        <SearchBox label="Search runs" value={text} onChange={(event) => setText(event.target.value)} className="w-64 max-md:w-full" />
        <Filter label="State" value={state} options={[...STATES]} onChange={setState} />
        <Filter label="Model" value={model} options={names((row) => row.model)} onChange={setModel} />
        <Filter label="Data" value={data} options={names((row) => row.data)} onChange={setData} />
        <Filter label="Tag" value={tag} options={[...new Set(rows.flatMap((row) => row.tags))].sort()} onChange={setTag} />
        {isFiltered && (
          <Button isSmall look="plain" onClick={clear}>
            Clear
          </Button>
        )}
        <Chip isOn={trash === '1'} onClick={() => setTrash(trash === '1' ? '' : '1')} className="ml-auto">
          Trash
        </Chip>
      </div>
      <Bulk
        rows={chosenRows}
        many={chosen.length}
        isTrash={trash === '1'}
        onCompare={() => void navigate(`/runs/compare?runs=${chosen.join(',')}`)}
        onTag={() => setDialog('tag')}
        onDelete={() => setDialog('delete')}
        onRestore={() => chosen.forEach((id) => restore.mutate(id))}
        onNone={() => setChosen([])}
      />
      {list.error && !list.data && <Empty title={failureText(list.error).message}>{failureText(list.error).hint}</Empty>}
      {list.isLoading && <Skeleton className="h-10" lines={8} />}
      {list.data && rows.length === 0 && (
        <Empty title={isFiltered ? 'No run fits' : trash === '1' ? 'The trash is empty' : 'No run yet'} action={isFiltered ? <Button onClick={clear}>Clear the filters</Button> : trash === '1' ? undefined : <LinkButton to="/train">Start a first one</LinkButton>} />
      )}
      {rows.length > 0 &&
        (isPhone ? (
          <RunCards rows={rows} hasMore={list.hasNextPage} onMore={() => void list.fetchNextPage()} />
        ) : (
          <VirtualTable
            table={table}
            label="Runs"
            columns={WIDTHS}
            total={first?.total}
            onReachEnd={() => list.hasNextPage && !list.isFetchingNextPage && void list.fetchNextPage()}
            rowNote={(row) =>
              row.failure && (
                <>
                  {row.failure} <span className="text-ink">{row.failure_hint}</span>
                </>
              )
            }
            className="max-h-[calc(100dvh-15rem)] min-h-64"
          />
        ))}
      <DeleteDialog ids={dialog === 'delete' ? chosen : []} names={chosenRows.map((row) => row.name)} onClose={() => setDialog(null)} onDeleted={() => setChosen([])} />
      {dialog === 'tag' && <TagDialog rows={chosenRows} onClose={() => setDialog(null)} />}
    </Page>
  )
}

function Filter({ label, value, options, onChange }: { label: string; value: string; options: string[]; onChange: (value: string) => void }) {
  const all = value && !options.includes(value) ? [value, ...options] : options
  return (
    <Select aria-label={label} value={value} onChange={(event) => onChange(event.target.value)} className="max-w-44">
      <option value="">{`${label}: any`}</option>
      {all.map((option) => (
        <option key={option} value={option}>
          {option.replaceAll('_', ' ')}
        </option>
      ))}
    </Select>
  )
}

interface BulkProps {
  rows: RunRow[]
  many: number
  isTrash: boolean
  onCompare: () => void
  onTag: () => void
  onDelete: () => void
  onRestore: () => void
  onNone: () => void
}

/** What can be done with the chosen runs; the line keeps its place so that nothing jumps. */
function Bulk({ many, isTrash, onCompare, onTag, onDelete, onRestore, onNone }: BulkProps) {
  return (
    <div className="flex min-h-10 flex-wrap items-center gap-2">
      <span className="tabular text-quiet" role="status">
        {many === 0 ? 'None chosen' : `${count(many)} chosen`}
      </span>
      {many > 0 && !isTrash && (
        <>
          <Button isSmall icon="compare" disabled={many < 2 || many > 100} onClick={onCompare}>
            Compare
          </Button>
          <Button isSmall onClick={onTag}>
            Tag
          </Button>
          <Button isSmall icon="trash" onClick={onDelete}>
            Delete
          </Button>
        </>
      )}
      {many > 0 && isTrash && (
        <Button isSmall icon="restore" onClick={onRestore}>
          Bring back
        </Button>
      )}
      {many > 0 && (
        <Button isSmall look="plain" onClick={onNone}>
          Choose none
        </Button>
      )}
    </div>
  )
}
