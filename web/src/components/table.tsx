// A table whose rows are drawn only where they are seen; keeps native table roles for screen readers.
import { useRef, type ReactNode } from 'react'
import { flexRender, type Table as TableModel } from '@tanstack/react-table'
import { useVirtualizer } from '@tanstack/react-virtual'
import { classes } from '@/lib/class-names'
import { Icon } from './icon'

interface VirtualTableProps<Row> {
  table: TableModel<Row>
  label: string
  /** Columns of the grid, as CSS: "2.5rem 9rem minmax(12rem,1fr)". */
  columns: string
  rowHeight?: number
  onReachEnd?: () => void
  /** Rows of the whole list, those not loaded included. */
  total?: number
  rowNote?: (row: Row) => ReactNode
  /** Least width of the grid before it scrolls sideways inside its own box. */
  minWidth?: string
  className?: string
}

export function VirtualTable<Row>({ table, label, columns, rowHeight = 40, onReachEnd, total, rowNote, minWidth = '56rem', className }: VirtualTableProps<Row>) {
  const box = useRef<HTMLDivElement>(null)
  const rows = table.getRowModel().rows
  const virtual = useVirtualizer({
    count: rows.length,
    getScrollElement: () => box.current,
    estimateSize: (index) => (rowNote?.(rows[index]!.original) ? rowHeight + 24 : rowHeight),
    overscan: 8,
  })
  const items = virtual.getVirtualItems()
  const isNearEnd = rows.length > 0 && (items.at(-1)?.index ?? 0) >= rows.length - 5
  return (
    <div
      ref={box}
      tabIndex={0}
      role="table"
      aria-label={label}
      aria-rowcount={total ?? rows.length}
      onScroll={() => isNearEnd && onReachEnd?.()}
      className={classes('relative min-h-0 overflow-auto', className)}
    >
      <div role="rowgroup" className="sticky top-0 z-10 bg-page" style={{ minWidth }}>
        {table.getHeaderGroups().map((group) => (
          <div key={group.id} role="row" className="grid h-row items-center border-b" style={{ gridTemplateColumns: columns }}>
            {group.headers.map((header) => {
              const sorted = header.column.getIsSorted()
              const content = flexRender(header.column.columnDef.header, header.getContext())
              return (
                <div
                  key={header.id}
                  role="columnheader"
                  aria-sort={sorted ? (sorted === 'asc' ? 'ascending' : 'descending') : undefined}
                  className="flex min-w-0 items-center px-2 text-small font-medium text-quiet"
                >
                  {header.column.getCanSort() ? (
                    <button type="button" onClick={header.column.getToggleSortingHandler()} className="flex items-center gap-1 rounded-sm hover:text-ink">
                      {content}
                      <Icon name={sorted === 'asc' ? 'up' : 'down'} className={classes('size-4', !sorted && 'invisible')} />
                    </button>
                  ) : (
                    content
                  )}
                </div>
              )
            })}
          </div>
        ))}
      </div>
      <div role="rowgroup" className="relative" style={{ height: virtual.getTotalSize(), minWidth }}>
        {items.map((item) => {
          const row = rows[item.index]!
          const note = rowNote?.(row.original)
          return (
            <div
              key={row.id}
              role="row"
              aria-rowindex={item.index + 2}
              aria-selected={row.getIsSelected()}
              className="absolute inset-x-0 border-b hover:bg-panel aria-selected:bg-raised"
              style={{ height: item.size, transform: `translateY(${item.start}px)` }}
            >
              <div role="presentation" className="grid items-center" style={{ gridTemplateColumns: columns, height: rowHeight }}>
                {row.getVisibleCells().map((cell) => (
                  <div key={cell.id} role="cell" className="tabular min-w-0 truncate px-2">
                    {flexRender(cell.column.columnDef.cell, cell.getContext())}
                  </div>
                ))}
              </div>
              {note && (
                <div role="cell" className="-mt-1 truncate px-12 text-small text-quiet">
                  {note}
                </div>
              )}
            </div>
          )
        })}
      </div>
    </div>
  )
}
