// Lets the page in, asks for a key where one is needed. A session that ends later keeps the page and its forms:
// the question then stands above them.
import { lazy, Suspense, useState, type ReactNode } from 'react'
import { useQuery } from '@tanstack/react-query'
import { failureText } from '@/api/client'
import { sessionQuery } from '@/api/queries'
import { Button } from '@/components/button'
import { Empty } from '@/components/bits'
import { Dialog } from '@/components/dialog'

const Login = lazy(() => import('@/features/login/login-page'))
const LoginForm = lazy(() => import('@/features/login/login-form'))

export function SessionGate({ children }: { children: ReactNode }) {
  const session = useQuery(sessionQuery())
  const [wasOpen, setWasOpen] = useState(false)
  const isClosed = session.data?.needs_key === true && !session.data.is_open
  if (session.data && !isClosed && !wasOpen) setWasOpen(true)
  if (!session.data) {
    if (!session.isError) return null
    const { message, hint } = failureText(session.error)
    return (
      <main className="flex min-h-dvh">
        <Empty title={message} action={<Button look="primary" onClick={() => void session.refetch()}>Try again</Button>}>
          {hint}
        </Empty>
      </main>
    )
  }
  if (isClosed && !wasOpen) {
    return (
      <Suspense>
        <Login session={session.data} />
      </Suspense>
    )
  }
  return (
    <>
      {children}
      <Dialog title="Your session ended" isOpen={isClosed} onClose={() => undefined}>
        <p className="mb-4 text-quiet">Enter a key to go on. What you typed on the page is kept.</p>
        <Suspense>
          <LoginForm />
        </Suspense>
      </Dialog>
    </>
  )
}
