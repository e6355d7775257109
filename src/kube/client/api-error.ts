import { DroverError, type Retry } from '../../base/errors.ts'
import { isObject, type Json, type JsonObject } from '../../base/json.ts'
import type { Response } from '../../base/process.ts'

/** Longest message kept of an answer; webhooks and proxies send pages of HTML. */
const MAX_MESSAGE = 1024

/** The API server answered, and the answer is no. What it said is in `status`, `reason` and `details`, as in `metav1.Status`. */
export class ApiError extends DroverError {
  readonly status: number
  /** `metav1.Status.reason`, e.g. `NotFound`, `Conflict`, `AlreadyExists`; empty when the body was no Status. */
  readonly reason: string
  /** `metav1.Status.details`: kind, name, causes. */
  readonly details: JsonObject | undefined
  /** The server's own words, at most 1024 characters of them. */
  readonly said: string

  constructor(what: string, response: Pick<Response, 'status' | 'retryAfterMs'> & { readonly body?: Json | undefined }) {
    const body = isObject(response.body) ? response.body : undefined
    const reason = typeof body?.['reason'] === 'string' ? body['reason'] : ''
    const details = isObject(body?.['details']) ? body['details'] : undefined
    const said = messageIn(response.body, body, reason)
    super('ApiError', `${what}: ${response.status} ${said}`, {
      retry: namesOtherUid(response.status, details) ? 'backoff' : retryOf(response.status, reason),
      retryAfterMs: response.retryAfterMs,
    })
    this.name = 'ApiError'
    this.status = response.status
    this.reason = reason
    this.details = details
    this.said = said
  }
}

function messageIn(raw: Json | undefined, body: JsonObject | undefined, reason: string): string {
  const text = typeof body?.['message'] === 'string' ? body['message'] : typeof raw === 'string' ? raw.trim() : reason
  return text.length > MAX_MESSAGE ? `${text.slice(0, MAX_MESSAGE)}…` : text
}

/** A patch carried the uid of an object that is gone, and another has its name: to the server an attempt to change the uid. */
function namesOtherUid(status: number, details: JsonObject | undefined): boolean {
  const causes = details?.['causes']
  return status === 422 && Array.isArray(causes) && causes.some((cause) => isObject(cause) && cause['field'] === 'metadata.uid')
}

/** 401 is retried because tokens rotate and authenticators stumble; a conflict is retried by reading again. */
function retryOf(status: number, reason: string): Retry {
  if (status === 429 || status === 503) return 'after'
  if (status >= 500 || status === 401 || status === 408) return 'backoff'
  return status === 409 && reason !== 'AlreadyExists' ? 'backoff' : 'never'
}

const hasStatus = (error: unknown, status: number): error is ApiError => error instanceof ApiError && error.status === status

/** RBAC, or another authorizer, does not allow it; the message names the permission. Admission may answer so, too: see `isDenied`. */
export const isForbidden = (error: unknown): error is ApiError => hasStatus(error, 403)

/** The beginnings that k8s.io/apiserver gives the words of admission webhooks and of ValidatingAdmissionPolicies; an authorizer's go on with `User "…" cannot`. */
const DENIED = /^admission webhook "[^"]*" denied the request|^\S+( "[^"]*")? is forbidden: ValidatingAdmissionPolicy '/

/** Admission does not let this object pass, now; no permission is missing. Webhooks choose the status, 400 to 599. */
export const isDenied = (error: unknown): boolean => error instanceof ApiError && DENIED.test(error.said)
export const isNotFound = (error: unknown): error is ApiError => hasStatus(error, 404)
/** Somebody else changed, owns or made anew the object; not that it exists. */
export const isConflict = (error: unknown): error is ApiError =>
  (hasStatus(error, 409) && error.reason !== 'AlreadyExists') || (hasStatus(error, 422) && namesOtherUid(error.status, error.details))
export const isAlreadyExists = (error: unknown): error is ApiError => hasStatus(error, 409) && error.reason === 'AlreadyExists'
/** The resourceVersion or continue token is too old. */
export const isGone = (error: unknown): error is ApiError => hasStatus(error, 410)
