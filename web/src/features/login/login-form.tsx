// A field for the key; after ten failures the server says how long to wait, and the button waits with it.
import { useEffect, useId, useRef, useState } from 'react'
import { useMutation, useQueryClient } from '@tanstack/react-query'
import { ApiFailure, failureText, post } from '@/api/client'
import type { Session } from '@/api/types'
import { Button } from '@/components/button'
import { TextBox } from '@/components/fields'

export default function LoginForm() {
  const client = useQueryClient()
  const id = useId()
  const [key, setKey] = useState(codeOfAddress)
  const [wait, setWait] = useState(0)
  const open = useMutation({
    mutationFn: () => post<Session>('session', { key: key.trim() }),
    onSuccess: (session) => {
      client.setQueryData(['session'], session)
      void client.invalidateQueries()
    },
    onError: (problem) => {
      if (problem instanceof ApiFailure && problem.code === 'too_many_tries') setWait(secondsOf(problem.details))
    },
  })
  useEffect(() => {
    if (wait <= 0) return
    const timer = setTimeout(() => setWait(wait - 1), 1000)
    return () => clearTimeout(timer)
  }, [wait])
  const { mutate } = open
  const isFromCode = useRef(key !== '')
  useEffect(() => {
    if (!isFromCode.current) return
    isFromCode.current = false
    // A code works once; the address is not the place to keep it.
    history.replaceState(null, '', location.pathname)
    mutate()
  }, [mutate])
  const failure = open.error ? failureText(open.error) : null
  return (
    <form
      className="flex flex-col gap-3"
      onSubmit={(event) => {
        event.preventDefault()
        open.mutate()
      }}
    >
      <label htmlFor={id} className="font-medium">
        Key
      </label>
      <TextBox id={id} type="password" autoFocus required value={key} onChange={(event) => setKey(event.target.value)} aria-invalid={failure !== null} aria-describedby={failure ? `${id}-problem` : undefined} />
      {failure && (
        <p id={`${id}-problem`} role="alert" className="text-bad">
          {wait > 0 ? `Too many tries. Wait ${wait} s.` : `${failure.message} ${failure.hint}`}
        </p>
      )}
      <Button type="submit" look="primary" disabled={!key.trim() || wait > 0 || open.isPending}>
        Open
      </Button>
    </form>
  )
}

/** The one-time code that a phone scanned: `/login#code=…`. */
const codeOfAddress = (): string => new URLSearchParams(location.hash.slice(1)).get('code') ?? ''

function secondsOf(details: unknown): number {
  const seconds = (details as { wait_seconds?: unknown } | null)?.wait_seconds
  return typeof seconds === 'number' ? Math.ceil(seconds) : 60
}
