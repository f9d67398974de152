// The run's folder; each file is a download.
import { useQuery } from '@tanstack/react-query'
import { address } from '@/api/client'
import { filesQuery } from '@/api/queries'
import type { Run } from '@/api/types'
import { CopyButton } from '@/components/copy-button'
import { Icon } from '@/components/icon'
import { Skeleton } from '@/components/skeleton'
import { TimeAgo } from '@/components/time-ago'
import { bytes } from '@/lib/format'

export function FilesTab({ run }: { run: Run }) {
  const { data: files } = useQuery(filesQuery(run.row.id))
  return (
    <section aria-label="Files">
      <div className="mb-3 flex items-center gap-2">
        <Icon name="folder" className="shrink-0 text-quiet" />
        <code className="min-w-0 wrap-anywhere">{run.folder}</code>
        <CopyButton text={run.folder} label="Copy the path" />
      </div>
      {!files && <Skeleton className="h-8" lines={5} />}
      <ul className="border-t">
        {files?.map((file) => (
          <li key={file.path} className="tabular flex min-h-10 items-center gap-4 border-b">
            <a
              href={address(`runs/${encodeURIComponent(run.row.id)}/files/${file.path.split('/').map(encodeURIComponent).join('/')}`)}
              download
              className="touchable min-w-0 grow truncate text-accent hover:underline"
            >
              {file.path}
            </a>
            <span className="w-20 text-right text-quiet">{bytes(file.bytes)}</span>
            <span className="w-28 text-right text-quiet max-md:hidden">
              <TimeAgo at={file.changed_at} />
            </span>
          </li>
        ))}
      </ul>
    </section>
  )
}
