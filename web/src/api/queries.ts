// What the page reads, as TanStack queries: one key and one address each.
import { infiniteQueryOptions, keepPreviousData, queryOptions } from '@tanstack/react-query'
import { get, post } from './client'
import type {
  Catalogue, CoachNote, Comparison, DataCard, DataPreview, Dependent, HomePage, Job, Key, Metrics, ModelCard, Page, Plan, Preset,
  Queue, RecipeDraft, RecipeForm, Reproduction, Run, RunEvent, RunFile, RunQuery, RunRow, SampleAnswer, SeenRow, Session, Settings, Sweep, SystemPage,
} from './types'

const encode = encodeURIComponent
const run = (id: string, part = '') => `runs/${encode(id)}${part}`

export const sessionQuery = () => queryOptions({ queryKey: ['session'], queryFn: () => get<Session>('session'), staleTime: Infinity })
export const homeQuery = () => queryOptions({ queryKey: ['home'], queryFn: () => get<HomePage>('home') })
export const runsQuery = (query: RunQuery) =>
  infiniteQueryOptions({
    queryKey: ['runs', query],
    queryFn: ({ pageParam, signal }) => get<Page<RunRow>>('runs', { query: { ...query, cursor: pageParam }, signal }),
    initialPageParam: null as string | null,
    getNextPageParam: (page) => page.next ?? null,
    placeholderData: keepPreviousData,
  })
export const runQuery = (id: string) => queryOptions({ queryKey: ['run', id], queryFn: () => get<Run>(run(id)) })
export const metricsQuery = (id: string, range?: { from: number; to: number }, points = 1500) =>
  queryOptions({
    queryKey: ['metrics', id, range ?? 'all', points],
    queryFn: ({ signal }) => get<Metrics>(run(id, '/metrics'), { query: { points, ...range }, signal }),
    staleTime: Infinity,
    gcTime: 60_000,
  })
/** Chosen curves, coarsely: those of the machine, which are asked for again and again. */
export const machineQuery = (id: string, names: string) =>
  queryOptions({ queryKey: ['machine', id, names], queryFn: () => get<Metrics>(run(id, '/metrics'), { query: { names, points: 600 } }) })
export const eventsQuery = (id: string) => queryOptions({ queryKey: ['events', id], queryFn: () => get<Page<RunEvent>>(run(id, '/events'), { query: { limit: 200 } }) })
export const samplesQuery = (id: string) => queryOptions({ queryKey: ['samples', id], queryFn: () => get<SampleAnswer[]>(run(id, '/samples')) })
export const batchesQuery = (id: string) => queryOptions({ queryKey: ['batches', id], queryFn: () => get<SeenRow[]>(run(id, '/batches')) })
export const coachQuery = (id: string) => queryOptions({ queryKey: ['coach', id], queryFn: () => get<CoachNote[]>(run(id, '/coach')) })
export const filesQuery = (id: string) => queryOptions({ queryKey: ['files', id], queryFn: () => get<RunFile[]>(run(id, '/files')) })
export const recipeQuery = (id: string) => queryOptions({ queryKey: ['recipe', id], queryFn: () => get<RecipeForm>(run(id, '/recipe')) })
export const dependentsQuery = (id: string) => queryOptions({ queryKey: ['dependents', id], queryFn: () => get<Dependent[]>(run(id, '/dependents')) })
export const reproductionQuery = (id: string) => queryOptions({ queryKey: ['reproduce', id], queryFn: () => get<Reproduction>(run(id, '/reproduce')) })
export const compareQuery = (ids: string[], metric: string, points: number) =>
  queryOptions({
    queryKey: ['compare', ids, metric, points],
    queryFn: ({ signal }) => get<Comparison>('compare', { query: { runs: ids.join(','), metric, points }, signal }),
    placeholderData: keepPreviousData,
    enabled: ids.length >= 1,
  })
export const catalogueQuery = () => queryOptions({ queryKey: ['catalogue'], queryFn: () => get<Catalogue>('catalogue'), staleTime: Infinity })
export const presetsQuery = () => queryOptions({ queryKey: ['presets'], queryFn: () => get<Preset[]>('presets') })
export const modelsQuery = () => queryOptions({ queryKey: ['models'], queryFn: () => get<ModelCard[]>('models') })
export const dataQuery = () => queryOptions({ queryKey: ['data'], queryFn: () => get<DataCard[]>('data') })
export const rowsQuery = (data: string) =>
  queryOptions({ queryKey: ['rows', data], queryFn: () => get<DataPreview>(`data/${encode(data)}/rows`, { query: { data, limit: 20 } }), enabled: data !== '' })
export const formQuery = (draft: RecipeDraft) =>
  queryOptions({ queryKey: ['recipe-form', draft], queryFn: () => post<RecipeForm>('recipe', draft), placeholderData: keepPreviousData, staleTime: 60_000 })
export const planQuery = (draft: RecipeDraft, isComplete: boolean) =>
  queryOptions({
    queryKey: ['plan', draft],
    queryFn: ({ signal }) => post<Plan>('plan', draft, { signal }),
    placeholderData: keepPreviousData,
    enabled: isComplete,
    staleTime: 30_000,
  })
export const queueQuery = () => queryOptions({ queryKey: ['queue'], queryFn: () => get<Queue>('queue') })
export const sweepQuery = (id: string) => queryOptions({ queryKey: ['sweep', id], queryFn: () => get<Sweep>(`sweeps/${encode(id)}`), enabled: id !== '' })
export const jobsQuery = () => queryOptions({ queryKey: ['jobs'], queryFn: () => get<Page<Job>>('jobs') })
export const systemQuery = () => queryOptions({ queryKey: ['system'], queryFn: () => get<SystemPage>('system') })
export const settingsQuery = () => queryOptions({ queryKey: ['settings'], queryFn: () => get<Settings>('settings') })
export const keysQuery = () => queryOptions({ queryKey: ['keys'], queryFn: () => get<Key[]>('keys') })
