// Whether running it again would give the same bits, and what differs if not.
import { useQuery } from '@tanstack/react-query'
import { reproductionQuery } from '@/api/queries'
import { Note } from '@/components/bits'
import { CodeBlock } from '@/components/command-foot'
import { Dialog } from '@/components/dialog'
import { Skeleton } from '@/components/skeleton'

export function ReproduceDialog({ id, onClose }: { id: string; onClose: () => void }) {
  const { data } = useQuery(reproductionQuery(id))
  return (
    <Dialog look="wide" title="Reproduce" isOpen onClose={onClose}>
      {!data && <Skeleton className="h-24" />}
      {data && (
        <div className="flex flex-col gap-4">
          <Note tone={data.is_same ? 'good' : 'warn'}>{data.is_same ? 'Everything that decides is as it was: the same bits come out.' : 'Something differs from then; the numbers may differ too.'}</Note>
          <table className="w-full text-left">
            <thead className="text-small text-quiet">
              <tr className="border-b">
                <th className="py-2 font-medium">What</th>
                <th className="font-medium">Then</th>
                <th className="font-medium">Now</th>
              </tr>
            </thead>
            <tbody>
              {data.parts.map((part) => (
                <tr key={part.name} className="h-row border-b">
                  <th className="font-normal text-quiet">{part.name}</th>
                  <td className="wrap-anywhere">{part.then}</td>
                  <td className="wrap-anywhere">
                    {part.now} {!part.is_same && <span className="text-warn">differs</span>}
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
          <CodeBlock language="Command" text={data.command} />
        </div>
      )}
    </Dialog>
  )
}
