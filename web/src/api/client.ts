// The one place that talks HTTP: JSON in and out, errors as {code, message, hint}, If-Match for changes.
import type { ErrorBody, ErrorCode } from './types'
import { setReached } from './reach'

/** What went wrong, for a person and for code. `away` is ours: no answer at all. */
export class ApiFailure extends Error {
  constructor(
    readonly code: ErrorCode | 'away',
    readonly status: number,
    message: string,
    readonly hint: string,
    readonly details: unknown = null,
    readonly requestId = '',
  ) {
    super(message)
    this.name = 'ApiFailure'
  }
}

export interface RequestOptions {
  query?: Record<string, string | number | boolean | null | undefined>
  body?: unknown
  etag?: string
  signal?: AbortSignal
  /** Sent as it is, with its own type: uploads. */
  raw?: Blob
}

export const API = '/api/v1'

export function address(path: string, query: RequestOptions['query'] = {}): string {
  const parameters = new URLSearchParams()
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== null && value !== '') parameters.set(name, String(value))
  }
  const text = parameters.toString()
  return `${API}/${path}${text ? `?${text}` : ''}`
}

export async function request<T>(method: string, path: string, options: RequestOptions = {}): Promise<T> {
  const headers: Record<string, string> = { accept: 'application/json' }
  if (options.etag) headers['if-match'] = options.etag
  if (options.raw) headers['content-type'] = 'application/octet-stream'
  else if (method !== 'GET') headers['content-type'] = 'application/json'
  let response: Response
  try {
    response = await fetch(address(path, options.query), {
      method,
      headers,
      body: options.raw ?? (method === 'GET' ? undefined : JSON.stringify(options.body ?? {})),
      signal: options.signal,
      credentials: 'same-origin',
    })
  } catch (problem) {
    if (options.signal?.aborted) throw problem
    setReached(false)
    throw new ApiFailure('away', 0, 'The server does not answer.', 'Runs go on without it. Start it again with `apertis serve`.')
  }
  setReached(true)
  if (response.ok) return (response.status === 204 ? undefined : await response.json()) as T
  throw await failureOf(response)
}

async function failureOf(response: Response): Promise<ApiFailure> {
  try {
    const body = (await response.json()) as ErrorBody
    return new ApiFailure(body.code, response.status, body.message, body.hint, body.details, body.request_id)
  } catch {
    return new ApiFailure('internal', response.status, `The server answered ${response.status}.`, 'Try again; the server’s log says more.')
  }
}

export const get = <T>(path: string, options?: RequestOptions): Promise<T> => request<T>('GET', path, options)
export const post = <T>(path: string, body?: unknown, options?: RequestOptions): Promise<T> => request<T>('POST', path, { ...options, body })
export const patch = <T>(path: string, body: unknown, etag?: string): Promise<T> => request<T>('PATCH', path, { body, etag })
export const put = <T>(path: string, body: unknown, etag?: string): Promise<T> => request<T>('PUT', path, { body, etag })
export const remove = <T>(path: string, etag?: string): Promise<T> => request<T>('DELETE', path, { etag })

/** A sentence and a hint for any thrown thing. */
export function failureText(problem: unknown): { message: string; hint: string } {
  if (problem instanceof ApiFailure) return { message: problem.message, hint: problem.hint }
  return { message: 'Something went wrong in the page.', hint: problem instanceof Error ? problem.message : 'Reload the page.' }
}
