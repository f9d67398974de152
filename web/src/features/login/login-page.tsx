// The one card that stands before a server that is open to the network.
import type { Session } from '@/api/types'
import { DocumentTitle } from '@/components/document-title'
import { Icon } from '@/components/icon'
import LoginForm from './login-form'

export default function LoginPage({ session }: { session: Session }) {
  return (
    <main className="flex min-h-dvh flex-col items-center justify-center gap-4 p-4">
      <DocumentTitle text="Open" />
      <section className="w-full max-w-md rounded-card border bg-panel p-6">
        <h1 className="text-title">{session.host || 'Apertis'}</h1>
        <p className="mt-1 mb-6 text-quiet">This server needs a key.</p>
        <LoginForm />
      </section>
      <p className="max-w-md text-small text-quiet">
        A key is made on the computer that runs the server, with <code>apertis keys create</code> or in the studio under System, Keys.
      </p>
      {session.is_plain && (
        <p className="flex max-w-md items-center gap-2 text-small text-warn">
          <Icon name="warn" className="shrink-0" />
          This connection is not encrypted: a key can be read on the way.
        </p>
      )}
    </main>
  )
}
