// Opening the studio on a phone: an address with a code that works once and for five minutes, to read or to scan.
import { useEffect, useState } from 'react'
import { useMutation } from '@tanstack/react-query'
import { failureText, post } from '@/api/client'
import type { PhoneCode, Session } from '@/api/types'
import { Button } from '@/components/button'
import { CopyButton } from '@/components/copy-button'
import { Select } from '@/components/fields'
import { Part } from './part'
import { QrCode } from './qr-code'

export function Phone({ session }: { session: Session }) {
  const make = useMutation({ mutationFn: () => post<PhoneCode>('session/phone') })
  const failure = make.error ? failureText(make.error) : null
  return (
    <Part id="phone" title="Open on your phone">
      {!session.is_public && (
        <p className="max-w-prose text-quiet">
          Only this computer can reach the studio. To open it for a phone in the same network, start it with <code>apertis serve --host 0.0.0.0</code>; a code to scan is made here then.
        </p>
      )}
      {session.is_public && !make.data && (
        <>
          <p className="mb-3 max-w-prose text-quiet">A code lets one device in, once and within five minutes. Whoever scans it can do what you can.</p>
          <Button icon="phone" disabled={make.isPending} onClick={() => make.mutate()}>
            Make a code
          </Button>
        </>
      )}
      {make.data && <Shown key={make.data.code} made={make.data} onAgain={() => make.mutate()} />}
      {failure && (
        <p role="alert" className="mt-2 text-bad">
          {failure.message} {failure.hint}
        </p>
      )}
    </Part>
  )
}

function Shown({ made, onAgain }: { made: PhoneCode; onAgain: () => void }) {
  const [left, setLeft] = useState(made.seconds)
  const [chosen, setChosen] = useState(made.urls[0] ?? '')
  useEffect(() => {
    const end = Date.now() + made.seconds * 1000
    const timer = setInterval(() => setLeft(Math.max(0, Math.round((end - Date.now()) / 1000))), 1000)
    return () => clearInterval(timer)
  }, [made])
  if (left === 0) {
    return (
      <div className="flex flex-wrap items-center gap-3">
        <p className="text-quiet">The code has run out.</p>
        <Button onClick={onAgain}>Make another</Button>
      </div>
    )
  }
  const origin = (url: string) => url.replace(/\/login#.*$/, '')
  return (
    <div className="flex flex-wrap items-start gap-6">
      {chosen && <QrCode text={chosen} label={`Code to scan for ${origin(chosen)}`} />}
      <div className="flex min-w-0 flex-col gap-3">
        {made.urls.length > 1 && (
          <Select aria-label="Address" value={chosen} onChange={(event) => setChosen(event.target.value)}>
            {made.urls.map((url) => (
              <option key={url} value={url}>
                {origin(url)}
              </option>
            ))}
          </Select>
        )}
        <p>
          Scan it, or open <code className="wrap-anywhere">{origin(chosen)}</code> and enter
        </p>
        <div className="flex items-center gap-2">
          <code className="text-lead">{made.code}</code>
          <CopyButton text={made.code} label="Copy the code" />
        </div>
        <p className="tabular text-quiet">
          {Math.floor(left / 60)}:{String(left % 60).padStart(2, '0')} left, for one device
        </p>
      </div>
    </div>
  )
}
