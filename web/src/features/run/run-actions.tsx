// What can be done with a run, in its title line: pause and stop first, the rest in a menu.
import { useState } from 'react'
import { useNavigate } from 'react-router'
import { useResume, useRunCommand } from '@/api/actions'
import { useReached } from '@/api/reach'
import type { Run } from '@/api/types'
import { Button, IconButton } from '@/components/button'
import { Menu, type MenuItem } from '@/components/menu'
import { DeleteDialog } from '@/components/delete-dialog'
import { ReproduceDialog } from './reproduce'

/** What is left of a menu where some of it cannot be done. */
const listed = (items: (MenuItem | 'line' | false)[]): (MenuItem | 'line')[] => items.filter((item) => item !== false)

export function RunActions({ run }: { run: Run }) {
  const { row, can } = run
  const navigate = useNavigate()
  const isReached = useReached()
  const command = useRunCommand(row.id)
  const resume = useResume(row.id)
  const [isDeleting, setDeleting] = useState(false)
  const [isReproducing, setReproducing] = useState(false)
  const isOff = !isReached || command.isPending
  const isPaused = row.state.name === 'paused'
  const does = (action: string) => can.includes(action)
  const items = listed([
    does('clone') && { label: 'Train again as it was started', icon: 'clone', onSelect: () => void navigate(`/train?clone=${row.id}`) },
    does('clone') && { label: 'Train again as it became', icon: 'clone', hint: 'With the changes made while it ran', onSelect: () => void navigate(`/train?clone=${row.id}&how=as_became`) },
    does('reproduce') && { label: 'Reproduce', icon: 'restore', hint: 'Says what differs from then', onSelect: () => setReproducing(true) },
    { label: 'Compare', icon: 'compare', onSelect: () => void navigate(`/runs?chosen=${row.id}`) },
    does('delete') && 'line',
    does('delete') && { label: 'Delete', icon: 'trash', isBad: true, onSelect: () => setDeleting(true) },
  ])
  const endings = listed([
    does('stop') && { label: 'Stop and save', icon: 'save', hint: 'It can be resumed from here', onSelect: () => command.mutate({ action: 'stop' }) },
    does('abort') && { label: 'Abort', icon: 'close', hint: 'Ends at once; what came after the last checkpoint is lost', isBad: true, onSelect: () => command.mutate({ action: 'abort' }) },
  ])
  return (
    <>
      {(does('pause') || does('unpause')) && (
        <Button look="plain" icon={isPaused ? 'play' : 'pause'} disabled={isOff} onClick={() => command.mutate({ action: isPaused ? 'unpause' : 'pause' })}>
          {isPaused ? 'Go on' : 'Pause'}
        </Button>
      )}
      {endings.length > 0 && (
        <Menu
          trigger={
            <Button look="plain" icon="stop" disabled={isOff}>
              Stop
            </Button>
          }
          items={endings}
        />
      )}
      {does('resume') && (
        <Button look="plain" icon="play" disabled={!isReached || resume.isPending} onClick={() => resume.mutate()}>
          {row.state.name === 'queued' ? 'Start now' : 'Resume'}
        </Button>
      )}
      <Menu trigger={<IconButton icon="more" label="More" />} items={items} />
      <DeleteDialog ids={isDeleting ? [row.id] : []} names={[row.name]} onClose={() => setDeleting(false)} onDeleted={() => void navigate('/runs')} />
      {isReproducing && <ReproduceDialog id={row.id} onClose={() => setReproducing(false)} />}
    </>
  )
}
