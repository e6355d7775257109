import type { JsonObject } from '../../base/json.ts'
import { asText } from './json.ts'
import type { Answer } from './types.ts'

export interface Cause {
  readonly reason: string
  readonly message: string
  readonly field?: string
}

interface Details {
  readonly name?: string | undefined
  readonly group?: string | undefined
  readonly kind?: string | undefined
  readonly uid?: string | undefined
  readonly causes?: readonly Cause[]
  readonly retryAfterSeconds?: number
}

/** A refusal, as the server words it. */
export class ApiError extends Error {
  readonly answer: Answer
  constructor(answer: Answer) {
    super(typeof answer.body === 'string' ? answer.body : asText((answer.body as JsonObject)['message']))
    this.name = 'ApiError'
    this.answer = answer
  }
}

/** What a message needs of a resource. */
interface Named {
  readonly group: string
  readonly plural: string
  readonly kind?: string
}

function qualified(resource: Named): string {
  return resource.group === '' ? resource.plural : `${resource.plural}.${resource.group}`
}

function refuse(code: number, reason: string, message: string, details?: Details): ApiError {
  const body = {
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Failure',
    message,
    ...(reason === '' ? {} : { reason }),
    ...(details === undefined ? {} : { details: clean(details) }),
    code,
  }
  const seconds = details?.retryAfterSeconds
  return new ApiError({
    status: code,
    body: body as JsonObject,
    ...(seconds === undefined || seconds === 0 ? {} : { retryAfterSeconds: seconds }),
  })
}

function clean(details: Details): JsonObject {
  return Object.fromEntries(Object.entries(details).filter(([, value]) => value !== undefined && value !== '')) as JsonObject
}

export function success(details: Details): JsonObject {
  return { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', details: clean(details) }
}

export function notFound(resource: Named, name: string): ApiError {
  return refuse(404, 'NotFound', `${qualified(resource)} "${name}" not found`, { name, group: resource.group, kind: resource.plural })
}

/** No such path at all: the one refusal that is not JSON. */
export function pageNotFound(): ApiError {
  return new ApiError({ status: 404, body: '404 page not found\n' })
}

/** No such resource in a group of the server's own. */
export function noSuchPath(): ApiError {
  return refuse(404, 'NotFound', 'the server could not find the requested resource', {})
}

export function alreadyExists(resource: Named, name: string): ApiError {
  return refuse(409, 'AlreadyExists', `${qualified(resource)} "${name}" already exists`, {
    name,
    group: resource.group,
    kind: resource.plural,
  })
}

export function conflict(
  resource: Named,
  name: string,
  why = 'the object has been modified; please apply your changes to the latest version and try again',
): ApiError {
  return refuse(409, 'Conflict', `Operation cannot be fulfilled on ${qualified(resource)} "${name}": ${why}`, {
    name,
    group: resource.group,
    kind: resource.plural,
  })
}

export function applyConflict(causes: readonly Cause[]): ApiError {
  const many = causes.length === 1 ? '1 conflict' : `${causes.length} conflicts`
  const first = causes[0]
  const text =
    causes.length === 1 && first !== undefined
      ? `Apply failed with ${many}: ${first.message}: ${first.field}`
      : `Apply failed with ${many}: ${causes.map((cause) => `${cause.message}:\n- ${cause.field}`).join('\n')}`
  return refuse(409, 'Conflict', text, { causes })
}

export function invalid(resource: Named, name: string, causes: readonly Cause[]): ApiError {
  const texts = causes.map((cause) => `${cause.field}: ${cause.message}`)
  const text = texts.length === 1 ? texts[0] : `[${texts.join(', ')}]`
  const kind = resource.kind ?? resource.plural
  const named = resource.group === '' ? kind : `${kind}.${resource.group}`
  return refuse(422, 'Invalid', `${named} "${name}" is invalid: ${text}`, { name, group: resource.group, kind, causes })
}

/** A JSON patch that cannot be applied to what is stored; the server does not say why. */
export function unprocessable(): ApiError {
  return refuse(422, 'Invalid', 'the server rejected our request due to an error in our request', {})
}

export function badRequest(message: string): ApiError {
  return refuse(400, 'BadRequest', message)
}

export function forbidden(resource: Named, name: string, why: string, causes?: readonly Cause[]): ApiError {
  const what = name === '' ? qualified(resource) : `${qualified(resource)} "${name}"`
  return refuse(403, 'Forbidden', `${what} is forbidden: ${why}`, {
    name,
    group: resource.group,
    kind: resource.plural,
    ...(causes === undefined ? {} : { causes }),
  })
}

/** An admission webhook's no, as its answer gives it (`status` of an AdmissionReview's response). */
export interface Denial {
  readonly webhook: string
  readonly message?: string
  readonly reason?: string
  /** Default 400. */
  readonly code?: number
}

/** What the server makes of it (k8s.io/apiserver, ToStatusErr). */
export function denied({ webhook, message = '', reason = '', code = 400 }: Denial): ApiError {
  const why = message || reason
  const by = `admission webhook "${webhook}" denied the request`
  return refuse(Math.max(code, 400), reason, why === '' ? `${by} without explanation` : `${by}: ${why}`)
}

export function methodNotAllowed(): ApiError {
  return refuse(405, 'MethodNotAllowed', 'the server does not allow this method on the requested resource', {})
}

export function notAcceptable(message: string): ApiError {
  return refuse(406, 'NotAcceptable', message)
}

export function unsupportedMediaType(): ApiError {
  const accepted = 'application/json, application/yaml, application/vnd.kubernetes.protobuf'
  return refuse(415, 'UnsupportedMediaType', `the body of the request was in an unknown format - accepted media types include: ${accepted}`)
}

/** A patch of a kind that the resource does not take. */
export function unsupportedPatch(): ApiError {
  return refuse(415, 'UnsupportedMediaType', '415: Unsupported Media Type', {})
}

/** `token` goes on with the list from the present. */
export function expired(message: string, token?: string): ApiError {
  const { answer } = refuse(410, 'Expired', message)
  if (token === undefined) return new ApiError(answer)
  return new ApiError({ ...answer, body: { ...(answer.body as JsonObject), metadata: { continue: token } } })
}

/** A revision from the future: the server waits for it a while and gives up. */
export function tooLargeRevision(wanted: number, current: number): ApiError {
  const message = `Timeout: Too large resource version: ${wanted}, current: ${current}`
  return refuse(504, 'Timeout', message, {
    causes: [{ reason: 'ResourceVersionTooLarge', message: 'Too large resource version' }],
    retryAfterSeconds: 1,
  })
}

export function internal(message: string): ApiError {
  return refuse(500, 'InternalError', `Internal error occurred: ${message}`, { causes: [{ reason: '', message }] })
}

export function tooMany(message: string, retryAfterSeconds: number, causes?: readonly Cause[]): ApiError {
  return refuse(429, 'TooManyRequests', message, { ...(causes === undefined ? {} : { causes }), retryAfterSeconds })
}

/** What the server did not expect of a client: it says no more than the message. */
export function plainInternal(message: string): ApiError {
  return refuse(500, '', message)
}
