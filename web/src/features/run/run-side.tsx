// The right panel of a run: how it stands, what can be changed while it goes, its data, where it comes from.
import { useState } from 'react'
import { Link } from 'react-router'
import { useRunChange, useRunCommand } from '@/api/actions'
import { failureText } from '@/api/client'
import { useReached } from '@/api/reach'
import type { Run } from '@/api/types'
import { Button } from '@/components/button'
import { Tag } from '@/components/bits'
import { NumberBox, TextBox } from '@/components/fields'
import { Fact, SideGroup } from '@/components/side-group'
import { Icon } from '@/components/icon'
import { TimeAgo } from '@/components/time-ago'
import { Word } from '@/components/word'
import { bytes, count, duration, energy, loss, short } from '@/lib/format'
import { RunGallery } from './run-gallery'

export function RunSide({ run }: { run: Run }) {
  const { row } = run
  const [isGallery, setGallery] = useState(false)
  return (
    <>
      <div className="p-4">
        <button type="button" aria-haspopup="dialog" onClick={() => setGallery(true)} className="flex w-full items-center gap-3 rounded-card border bg-page p-4 text-left hover:bg-raised">
          <span className="min-w-0 grow">
            <span className="block text-small text-quiet">{row.method === 'scratch' ? 'From scratch' : `${row.method} on`}</span>
            <span className="block truncate font-medium" title={row.model}>
              <bdi>{row.model || 'a new model'}</bdi>
            </span>
            <span className="mt-1 block text-quiet">
              {short(run.parameters || null)} parameters, {short(run.trainable_parameters || null)} trained
            </span>
          </span>
          <Icon name="right" className="shrink-0 text-quiet" />
          <span className="sr-only">Open another run</span>
        </button>
      </div>
      {isGallery && <RunGallery current={row.id} onClose={() => setGallery(false)} />}
      <SideGroup title="Progress">
        <dl>
          <Fact label={<Word of="held-out loss">Best held-out loss</Word>}>
            {loss(row.best_loss)}
            {row.best_step !== null && row.best_step !== undefined && <span className="text-quiet"> at {count(row.best_step)}</span>}
          </Fact>
          <Fact label={<Word of="loss">Training loss</Word>}>{loss(row.train_loss)}</Fact>
          <Fact label={<Word of="token">Speed</Word>}>{count(row.tokens_per_second)} tokens/s</Fact>
          {row.left_ms ? <Fact label="Left">{duration(row.left_ms)}</Fact> : null}
          <Fact label="Working time">{duration(row.elapsed_ms)}</Fact>
          <Fact label="Peak memory">{bytes(run.peak_memory_bytes)}</Fact>
          {run.energy && <Fact label={`Energy (${run.energy.source})`}>{energy(run.energy.joules)}</Fact>}
          <Fact label="Started">
            <TimeAgo at={row.created_at} />
          </Fact>
          {row.sweep && (
            <Fact label="Part of">
              <Link to={`/sweeps/${row.sweep}`} className="touchable text-accent hover:underline">
                a sweep
              </Link>
            </Fact>
          )}
        </dl>
      </SideGroup>
      {row.state.is_active && <Controls run={run} />}
      <Labels key={run.etag} run={run} />
      {run.rows && (
        <SideGroup title="Data" isOpenAtFirst={false} note={row.data}>
          <dl>
            <Fact label="Rows trained on">{count(run.rows.train_rows)}</Fact>
            <Fact label={<Word of="evaluation">Rows held out</Word>}>{count(run.rows.eval_rows)}</Fact>
            <Fact label="Tokens">{short(run.rows.tokens)}</Fact>
            <Fact label={<Word of="target">Of these, learned</Word>}>{short(run.rows.target_tokens)}</Fact>
            {run.rows.reasons.map((reason) => (
              <Fact key={reason.code} label={`${reason.code.replaceAll('_', ' ')} (${reason.is_dropped ? 'left out' : 'changed'})`}>
                <span title={reason.example}>{count(reason.count)}</span>
              </Fact>
            ))}
          </dl>
        </SideGroup>
      )}
      {run.lineage.length > 0 && (
        <SideGroup title="Lineage" isOpenAtFirst={false}>
          <ul className="flex flex-col gap-2">
            {run.lineage.map((one) => (
              <li key={`${one.relation} ${one.name}`}>
                <span className="text-quiet">{one.relation === 'made_from' ? 'from' : 'made'} {one.kind} </span>
                {one.href ? <Link to={one.href} className="text-accent hover:underline">{one.name}</Link> : one.name}
              </li>
            ))}
          </ul>
        </SideGroup>
      )}
    </>
  )
}

/** Changes of a living run; each is an event with its step, and the rest of the schedule is planned again. */
function Controls({ run }: { run: Run }) {
  const command = useRunCommand(run.row.id)
  const isReached = useReached()
  const isOff = !isReached || command.isPending
  const can = (action: string) => run.can.includes(action)
  const failure = command.error ? failureText(command.error) : null
  const [rate, setRate] = useState('')
  const [interval, setInterval] = useState('')
  return (
    <SideGroup title="Controls">
      <div className="flex flex-col gap-2">
        {can('set_learning_rate') && (<form
          className="flex items-center gap-2"
          onSubmit={(event) => {
            event.preventDefault()
            if (Number(rate) > 0) command.mutate({ action: 'set_learning_rate', learning_rate: Number(rate) })
          }}
        >
          <span className="grow">
            <Word of="learning rate">Learning rate</Word>
          </span>
          <NumberBox label="New learning rate" value={rate} onChange={setRate} isDisabled={isOff} className="w-20" />
          <Button type="submit" isSmall disabled={isOff || !(Number(rate) > 0)}>
            Set
          </Button>
        </form>)}
        {can('set_eval_steps') && (<form
          className="flex items-center gap-2"
          onSubmit={(event) => {
            event.preventDefault()
            if (Number(interval) >= 1) command.mutate({ action: 'set_eval_steps', eval_steps: Math.round(Number(interval)) })
          }}
        >
          <span className="grow">Evaluate each, steps</span>
          <NumberBox label="Steps between evaluations" value={interval} onChange={setInterval} isDisabled={isOff} className="w-20" />
          <Button type="submit" isSmall disabled={isOff || !(Number(interval) >= 1)}>
            Set
          </Button>
        </form>)}
        <div className="flex flex-wrap gap-2 pt-1">
          {can('evaluate_now') && (
          <Button isSmall disabled={isOff} onClick={() => command.mutate({ action: 'evaluate_now' })}>
            Evaluate now
          </Button>
          )}
          {can('save_now') && (
          <Button isSmall disabled={isOff} onClick={() => command.mutate({ action: 'save_now' })}>
            Save now
          </Button>
          )}
          {can('extend') && (
          <Button isSmall disabled={isOff} onClick={() => command.mutate({ action: 'extend', epochs: plannedEpochs(run) + 1, max_steps: 0 })}>
            One epoch more
          </Button>
          )}
        </div>
        <p className="min-h-4 text-small text-quiet" role="status">
          {failure ? <span className="text-bad">{`${failure.message} ${failure.hint}`}</span> : (command.data?.message ?? 'The rest of the schedule is planned again from the next step.')}
        </p>
      </div>
    </SideGroup>
  )
}

function plannedEpochs({ row }: Run): number {
  return row.step > 0 ? Math.round((row.epoch / row.step) * row.total_steps) : 1
}

function Labels({ run }: { run: Run }) {
  const change = useRunChange(run.row.id, run.etag)
  const [tags, setTags] = useState(run.row.tags.join(', '))
  const [notes, setNotes] = useState(run.notes)
  const parsed = tags.split(',').map((tag) => tag.trim()).filter(Boolean)
  const save = () => {
    if (parsed.join() !== run.row.tags.join() || notes !== run.notes) change.mutate({ tags: parsed, notes })
  }
  return (
    <SideGroup title="Tags and notes" isOpenAtFirst={false} note={run.row.tags.length > 0 && <Tag>{run.row.tags[0]}</Tag>}>
      <label className="mb-3 block">
        <span className="text-small text-quiet">Tags, separated by commas</span>
        <TextBox value={tags} onChange={(event) => setTags(event.target.value)} onBlur={save} />
      </label>
      <label className="block">
        <span className="text-small text-quiet">Notes</span>
        <textarea dir="auto" rows={4} value={notes} onChange={(event) => setNotes(event.target.value)} onBlur={save} className="w-full rounded-control border bg-page p-3 hover:border-outline" />
      </label>
    </SideGroup>
  )
}
