import type { Clock } from './clock.ts'
import type { Json } from './json.ts'
import type { Log } from './log.ts'

/** A request to the Kubernetes API, above HTTP: what it says, not how it travels. */
export interface Request {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  /** Absolute path without query, e.g. `/api/v1/nodes/a`. */
  readonly path: string
  readonly query?: Readonly<Record<string, string>>
  readonly body?: Json
  /** Content type of the body. Default `application/json`; patches name theirs. */
  readonly contentType?: string
  /** Accept header. Default `application/json`. */
  readonly accept?: string
  /** Longest time to wait for the whole answer (of a watch: for its headers), in milliseconds. Default 30 000. */
  readonly timeoutMs?: number
}

export interface Response {
  readonly status: number
  /** Retry-After of a 429 or 503, in milliseconds. */
  readonly retryAfterMs?: number
  /** Treat as read-only: the in-memory transport hands out what it stores. A string when the answer is not JSON, such as a pod's log. */
  readonly body: Json
}

/** An open watch. `events` yields decoded JSON values and ends when the server closes the stream; it throws when the stream breaks or a line is not JSON. */
export interface WatchResponse {
  readonly status: number
  readonly retryAfterMs?: number
  /** Set when `status` is not 200: the decoded error body. */
  readonly body?: Json
  readonly events: AsyncIterable<Json>
}

/**
 * Everything a process says to the API server. Status codes are answers, not exceptions; both calls reject only when no answer came
 * (connection refused or lost, deadline, abort), with a `TransportError`.
 */
export interface Transport {
  send(request: Request, signal: AbortSignal): Promise<Response>
  watch(request: Request, signal: AbortSignal): Promise<WatchResponse>
}

/** An answer from the world outside the cluster (release channels, webhooks): redirects are not followed, bodies are cut at 64 KiB. */
export interface OutsideResponse {
  readonly status: number
  /** The protocol and status line's text as sent, e.g. `HTTP/1.1 502 Bad Gateway`. */
  readonly statusLine: string
  /** Lower-cased names; of repeated headers the first. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

/** HTTP(S) outside the cluster. Rejects with a `TransportError` when no answer came within `timeoutMs`. */
export interface Outside {
  /** `ca`: certificates in PEM that are believed for this request, beside the others. */
  get(url: string, headers: Readonly<Record<string, string>>, timeoutMs: number, signal: AbortSignal, ca?: string): Promise<OutsideResponse>
  /** Sent once: who sends again must know that the first may have arrived. */
  post(url: string, body: Json, timeoutMs: number, signal: AbortSignal): Promise<OutsideResponse>
}

/** All that a controller, a simulated machine or a CLI command gets from the world. */
export interface Process {
  /** Unique among the processes of a cluster; the Lease's holder identity. */
  readonly name: string
  readonly clock: Clock
  /** Uniform in [0, 1). */
  readonly random: () => number
  readonly transport: Transport
  readonly outside: Outside
  readonly log: Log
}
