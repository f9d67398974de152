// What the page asks the server to do, and which answers it must read again afterwards.
import { useMutation, useQueryClient, type QueryClient } from '@tanstack/react-query'
import { announce } from '@/lib/announce'
import { failureText, patch, post, put, remove } from './client'
import type { CommandAnswer, Job, NewJob, RecipeForm, Run, RunChange, RunCommand, Settings, SettingsChange } from './types'

const path = (id: string, part = '') => `runs/${encodeURIComponent(id)}${part}`

const refresh = (client: QueryClient, ...keys: string[]) =>
  Promise.all(keys.map((key) => client.invalidateQueries({ queryKey: [key] })))

/** Says failures aloud too; the place that asked shows them. */
const onError = (problem: unknown) => {
  const { message, hint } = failureText(problem)
  announce(`${message} ${hint}`)
}

export function useRunCommand(id: string) {
  const client = useQueryClient()
  return useMutation({
    mutationFn: (command: RunCommand) => post<CommandAnswer>(path(id, '/commands'), command),
    onSuccess: (answer) => {
      announce(answer.message)
      void refresh(client, 'run', 'home')
    },
    onError,
  })
}

export function useRunChange(id: string, etag: string) {
  const client = useQueryClient()
  return useMutation({
    mutationFn: (change: RunChange) => patch<Run>(path(id), change, etag),
    onSuccess: (run) => {
      client.setQueryData(['run', id], run)
      void refresh(client, 'runs', 'home')
    },
    onError,
  })
}

export function useResume(id: string) {
  const client = useQueryClient()
  return useMutation({
    mutationFn: () => post<Run>(path(id, '/resume')),
    onSuccess: () => void refresh(client, 'run', 'runs', 'home'),
    onError,
  })
}

export function useDelete() {
  const client = useQueryClient()
  return useMutation({
    mutationFn: (ids: string[]) => Promise.all(ids.map((id) => remove<unknown>(path(id)))),
    onSuccess: () => void refresh(client, 'runs', 'home', 'queue'),
    onError,
  })
}

export function useRestore() {
  const client = useQueryClient()
  return useMutation({
    mutationFn: (id: string) => post<Run>(path(id, '/restore')),
    onSuccess: () => void refresh(client, 'runs', 'home'),
    onError,
  })
}

export const cloneRun = (id: string, how: 'as_started' | 'as_became') => post<RecipeForm>(path(id, '/clone'), { how })

export function useSettingsChange(etag: string | undefined) {
  const client = useQueryClient()
  return useMutation({
    mutationFn: (change: SettingsChange) => patch<Settings>('settings', change, etag),
    onSuccess: (settings) => {
      client.setQueryData(['settings'], settings)
      void refresh(client, 'home')
    },
    onError,
  })
}

export function useQueueChange(etag: string | undefined) {
  const client = useQueryClient()
  return useMutation({
    mutationFn: (change: { order?: string[]; is_paused?: boolean }) => put<unknown>('queue', change, etag),
    onSuccess: () => void refresh(client, 'queue', 'home'),
    onError,
  })
}

export function useStartJob() {
  const client = useQueryClient()
  return useMutation({
    mutationFn: (job: NewJob) => post<Job>('jobs', job),
    onSuccess: () => void refresh(client, 'jobs'),
    onError,
  })
}

export const cancelJob = (id: string) => post<Job>(`jobs/${encodeURIComponent(id)}/cancel`)
