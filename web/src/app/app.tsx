// Providers and routes: each page is loaded when it is first opened.
import { lazy, Suspense, useState } from 'react'
import { QueryCache, QueryClient, QueryClientProvider } from '@tanstack/react-query'
import { BrowserRouter, Navigate, Route, Routes, useLocation } from 'react-router'
import { ApiFailure } from '@/api/client'
import { TipProvider } from '@/components/tooltip'
import { CrashBoundary } from './crash-boundary'
import { NotFound, PageSkeleton } from './fallbacks'
import { SessionGate } from './session-gate'
import { Shell } from './shell'

const Home = lazy(() => import('@/features/home/home-page'))
const Train = lazy(() => import('@/features/train/train-page'))
const Runs = lazy(() => import('@/features/runs/runs-page'))
const Compare = lazy(() => import('@/features/compare/compare-page'))
const Run = lazy(() => import('@/features/run/run-page'))
const Sweep = lazy(() => import('@/features/sweep/sweep-page'))
const System = lazy(() => import('@/features/system/system-page'))

function makeClient(): QueryClient {
  const client = new QueryClient({
    defaultOptions: {
      queries: {
        staleTime: 5_000,
        refetchOnWindowFocus: false,
        retry: (times, problem) => problem instanceof ApiFailure && problem.code === 'away' && times < 3,
        retryDelay: 1_000,
      },
    },
    queryCache: new QueryCache({
      onError: (problem) => {
        if (problem instanceof ApiFailure && problem.status === 401) void client.invalidateQueries({ queryKey: ['session'] })
      },
    }),
  })
  return client
}

/** The server's next steps name the page by this shorter address. */
function ToCompare() {
  const { search } = useLocation()
  return <Navigate replace to={`/runs/compare${search}`} />
}

export function App() {
  const [client] = useState(makeClient)
  return (
    <CrashBoundary>
      <QueryClientProvider client={client}>
        <TipProvider>
          <BrowserRouter>
            <SessionGate>
              <Shell>
                <Suspense fallback={<PageSkeleton />}>
                  <Routes>
                    <Route index element={<Home />} />
                    <Route path="train" element={<Train />} />
                    <Route path="runs" element={<Runs />} />
                    <Route path="runs/compare" element={<Compare />} />
                    <Route path="compare" element={<ToCompare />} />
                    <Route path="runs/:id/:tab?" element={<Run />} />
                    <Route path="sweeps/:id" element={<Sweep />} />
                    {/* Where a phone's code leads; the gate before the pages has taken it. */}
                    <Route path="login" element={<Navigate replace to="/" />} />
                    <Route path="system" element={<System />} />
                    <Route path="*" element={<NotFound />} />
                  </Routes>
                </Suspense>
              </Shell>
            </SessionGate>
          </BrowserRouter>
        </TipProvider>
      </QueryClientProvider>
    </CrashBoundary>
  )
}
