// Renders a part of the page over the mock server, as tests need it.
import type { ReactElement } from 'react'
import { QueryClient, QueryClientProvider } from '@tanstack/react-query'
import { render } from '@testing-library/react'
import { MemoryRouter } from 'react-router'
import { TipProvider } from '@/components/tooltip'
import { setTransport } from '@/live/live'
import { fetchOf, transportOf } from './mock/install'
import { MockServer, type MockOptions } from './mock/server'

export function renderOverMock(element: ReactElement, { at = '/', ...options }: MockOptions & { at?: string } = {}) {
  const server = new MockServer(options)
  globalThis.fetch = fetchOf(server)
  setTransport(() => Promise.resolve(transportOf(server)))
  const client = new QueryClient({ defaultOptions: { queries: { retry: false } } })
  const view = render(
    <QueryClientProvider client={client}>
      <TipProvider>
        <MemoryRouter initialEntries={[at]}>{element}</MemoryRouter>
      </TipProvider>
    </QueryClientProvider>,
  )
  return { server, client, ...view }
}
