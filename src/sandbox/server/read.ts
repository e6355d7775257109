import type { Json, JsonObject } from '../../base/json.ts'
import type { Presenter } from './present.ts'
import type { Selection } from './selectors.ts'
import { parseSelection } from './selectors.ts'
import { checkListOptions } from './query.ts'
import { badRequest, expired, tooLargeRevision } from './status.ts'
import type { Store } from './store.ts'
import type { ApiObject, Resource } from './types.ts'
import { qualified } from './types.ts'

type Query = Readonly<Record<string, string>>

interface Continue {
  readonly rv: number
  /** Key of the last object that was handed out. */
  readonly after: string
}

const expiredToken =
  'The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.'

/** In a token: whatever is there when it comes back. */
const present = -1

/** A page of a list. All pages of a list show the same moment. */
export function list(store: Store, resource: Resource, namespace: string | undefined, query: Query, presenter: Presenter): Json {
  checkListOptions(query)
  const selection = parseSelection(resource, query)
  const limit = positive(query['limit'])
  const token = query['continue'] ?? ''
  const asked = token === '' ? { rv: checkRevision(store, query), after: '' } : parseToken(token)
  const from = asked.rv === present ? { ...asked, rv: store.revision } : asked
  if (token === '' && limit === undefined && from.rv === store.revision)
    return presenter.list(selected(store, resource, namespace, selection), { resourceVersion: String(from.rv) })

  const table = store.table(qualified(resource))
  const current = from.rv === store.revision
  const objects = current ? table.objects : store.snapshot(qualified(resource), from.rv)
  if (objects === undefined) throw expired(expiredToken, encodeToken({ rv: present, after: from.after }))
  const keys = current ? table.keys() : [...objects.keys()].sort()

  const page: ApiObject[] = []
  let last = ''
  let remaining = 0
  for (const key of keys) {
    const object = objects.get(key)
    if (key <= from.after || object === undefined || !inNamespace(object, namespace) || !selection.matches(object)) continue
    if (limit === undefined || page.length < limit) {
      page.push(object)
      last = key
    } else remaining++
  }
  const metadata: JsonObject = {
    resourceVersion: String(from.rv),
    ...(remaining === 0 ? {} : { continue: encodeToken({ rv: from.rv, after: last }) }),
    // With a selector the real server does not count what is left.
    ...(remaining === 0 || !selection.all ? {} : { remainingItemCount: remaining }),
  }
  return presenter.list(page, metadata)
}

export function selected(store: Store, resource: Resource, namespace: string | undefined, selection: Selection): readonly ApiObject[] {
  const table = store.table(qualified(resource))
  const found: ApiObject[] = []
  for (const key of table.keys()) {
    const object = table.objects.get(key)
    if (object !== undefined && inNamespace(object, namespace) && (selection.all || selection.matches(object))) found.push(object)
  }
  return found
}

function inNamespace(object: ApiObject, namespace: string | undefined): boolean {
  return namespace === undefined || object.metadata.namespace === namespace
}

/** The revision that a list shows: the present (which is never older than asked), or with `Exact` the one that was asked for. */
function checkRevision(store: Store, query: Query): number {
  const asked = query['resourceVersion'] ?? ''
  const match = query['resourceVersionMatch'] ?? ''
  if (asked === '' || asked === '0') return store.revision
  const wanted = parseRevision(asked)
  notFromTheFuture(store, wanted)
  if (match !== 'Exact') return store.revision
  if (wanted < store.compacted) throw expired(`The resourceVersion for the provided list is too old.`)
  return wanted
}

export function notFromTheFuture(store: Store, wanted: number): void {
  if (wanted > store.revision) throw tooLargeRevision(wanted, store.revision)
}

export function parseRevision(text: string): number {
  if (!/^\d+$/.test(text))
    throw badRequest(
      `invalid resource version: resourceVersion: Invalid value: "${text}": strconv.ParseUint: parsing "${text}": invalid syntax`,
    )
  return Number(text)
}

function positive(text: string | undefined): number | undefined {
  if (text === undefined || text === '' || text === '0') return undefined
  const value = Number(text)
  if (!Number.isInteger(value) || value < 0) throw badRequest(`limit: Invalid value: "${text}"`)
  return value
}

function encodeToken(token: Continue): string {
  return Buffer.from(JSON.stringify({ v: 'sandbox', ...token })).toString('base64url')
}

function parseToken(text: string): Continue {
  try {
    const { rv, after } = JSON.parse(Buffer.from(text, 'base64url').toString()) as Partial<Continue>
    if (typeof rv === 'number' && typeof after === 'string') return { rv, after }
  } catch {
    // Falls through to the refusal: whatever is wrong with it, the token is not ours.
  }
  throw badRequest('continue key is not valid')
}
