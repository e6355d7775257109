import type { Json, JsonObject } from '../../base/json.ts'
import type { Request } from '../../base/process.ts'
import type { Call } from '../faults.ts'
import { deleteOptions, remove } from './delete.ts'
import { discover, serverVersion } from './discovery.ts'
import { evict } from './evict.ts'
import { at, isObject, objectOf, stringOf } from './json.ts'
import { openapi } from './openapi.ts'
import { applyPatch, applyType, patched } from './patch/patch.ts'
import type { Presenter } from './present.ts'
import { presenterFor } from './present.ts'
import { list, notFromTheFuture, parseRevision, selected } from './read.ts'
import { builtIn } from './resources.ts'
import type { Route } from './route.ts'
import { route } from './route.ts'
import { checkWriteOptions } from './query.ts'
import { parseSelection } from './selectors.ts'
import type { Asked, Core } from './server.ts'
import { wrong } from './rules/causes.ts'
import {
  ApiError,
  denied,
  forbidden,
  invalid,
  methodNotAllowed,
  noSuchPath,
  notFound,
  pageNotFound,
  success,
  unsupportedMediaType,
} from './status.ts'
import { bind, finalize, readLog, rescale, scaleOf } from './subresources.ts'
import { issueToken } from './tokens.ts'
import type { Answer, ApiObject, Resource, Who, Write, WriteVerb } from './types.ts'
import { qualified } from './types.ts'
import type { Outcome, WriteContext } from './write.ts'
import { create, existing, readBody, update } from './write.ts'

/** A request that has been understood but not yet carried out. */
export interface Understood {
  readonly call: Call
  readonly route: Route
  readonly write: boolean
  /** Carries it out, in an instant. Refusals are answers, too. `recorded` is the entry in the history, for writes. */
  run(): { readonly answer: Answer; readonly recorded: Write | undefined }
}

export type Handler = (who: Who, request: Request) => Understood

type ObjectRoute = Extract<Route, { kind: 'object' }>

const readable = new Set(['status', 'scale', 'log'])

const verbs = { GET: 'get', POST: 'create', PUT: 'update', PATCH: 'patch', DELETE: 'delete' } as const

export function createHandler(core: Core): Handler {
  return (who, request) => {
    const target = route(core.registry, request.path)
    const call = callOf(who, request, target)
    const write = target.kind === 'object' && request.method !== 'GET'
    return {
      call,
      route: target,
      write,
      run() {
        core.history.count(call.user, call.verb, call.resource)
        if (target.kind === 'other') return { answer: refusals(() => other(core, who, request)), recorded: undefined }
        if (!write) return { answer: refusals(() => read(core, who, request, target, call)), recorded: undefined }
        return recordedWrite(core, who, request, target, call)
      },
    }
  }
}

function callOf(who: Who, request: Request, target: Route): Call {
  if (target.kind === 'other') return { user: who.user, verb: verbs[request.method], group: '', resource: request.path }
  const { resource, namespace, name, subresource } = target
  const many = name === undefined
  const watching = request.query?.['watch'] === 'true' || request.query?.['watch'] === '1'
  const verb =
    request.method === 'GET' && many
      ? watching
        ? 'watch'
        : 'list'
      : request.method === 'DELETE' && many
        ? 'deletecollection'
        : verbs[request.method]
  return {
    user: who.user,
    verb,
    group: resource.group,
    resource: subresource === undefined ? resource.plural : `${resource.plural}/${subresource}`,
    ...(namespace === undefined ? {} : { namespace }),
    ...(name === undefined ? {} : { name }),
  }
}

function refusals(run: () => Answer): Answer {
  try {
    return run()
  } catch (error) {
    if (error instanceof ApiError) return error.answer
    throw error
  }
}

/** Throws unless the user may do it. */
export function authorize(core: Core, who: Who, target: ObjectRoute, call: Call): void {
  const { resource, namespace = '', name = '' } = target
  if (core.allow(who.user, askedOf(target, call))) return
  const scope = namespace === '' ? 'at the cluster scope' : `in the namespace "${namespace}"`
  throw forbidden(
    resource,
    name,
    `User "${who.user}" cannot ${call.verb} resource "${call.resource}" in API group "${resource.group}" ${scope}`,
  )
}

function askedOf({ resource, namespace = '', name = '', subresource = '' }: ObjectRoute, { verb }: Call): Asked {
  return { verb, group: resource.group, resource: resource.plural, subresource, namespace, name }
}

function admit(core: Core, who: Who, target: ObjectRoute, call: Call): void {
  const denial = core.admit(who.user, askedOf(target, call))
  if (denial !== undefined) throw denied(denial)
}

function read(core: Core, who: Who, request: Request, target: ObjectRoute, call: Call): Answer {
  authorize(core, who, target, call)
  const { resource, namespace, name, subresource } = target
  const query = request.query ?? {}
  const presenter = presenterFor(resource, request.accept, () => core.clock.wall(), query['includeObject'])
  if (name === undefined) return { status: 200, body: list(core.store, resource, namespace, query, presenter) }
  if (subresource !== undefined && !resource.subresources.includes(subresource)) throw noSuchPath()
  if (subresource !== undefined && !readable.has(subresource)) throw methodNotAllowed()
  const revision = query['resourceVersion'] ?? ''
  if (revision !== '') notFromTheFuture(core.store, parseRevision(revision))
  const object = existing(core.store, resource, namespace, name)
  if (subresource === 'log') return readLog(core.logs, object, query, core.clock.wall())
  if (subresource === 'scale') return { status: 200, body: scaleOf(object) }
  return { status: 200, body: presenter.object(object) }
}

function recordedWrite(core: Core, who: Who, request: Request, target: ObjectRoute, call: Call): { answer: Answer; recorded: Write } {
  const { resource, namespace, name, subresource } = target
  const query = request.query ?? {}
  let done: Done | undefined
  const answer = refusals(() => {
    authorize(core, who, target, call)
    admit(core, who, target, call)
    done = write(core, who, request, target)
    return done.answer
  })
  const before = done === undefined ? (name === undefined ? undefined : core.store.get(qualified(resource), namespace, name)) : done.before
  const after = done?.after
  const known = after ?? before
  const recorded = core.history.add({
    user: who.user,
    verb: call.verb as WriteVerb,
    ref: {
      group: resource.group,
      resource: resource.plural,
      ...(subresource === undefined ? {} : { subresource }),
      ...(namespace === undefined ? {} : { namespace }),
      ...(known === undefined ? (name === undefined ? {} : { name }) : { name: known.metadata.name, uid: known.metadata.uid }),
    },
    status: answer.status,
    dryRun: done?.dryRun ?? query['dryRun'] === 'All',
    ...(before === undefined ? {} : { before }),
    ...(after === undefined ? {} : { after }),
    ...(request.body === undefined ? {} : { body: request.body }),
    ...(request.query === undefined ? {} : { query: request.query }),
  })
  return { answer, recorded }
}

const optionsOf = { POST: 'CreateOptions', PUT: 'UpdateOptions', PATCH: 'PatchOptions', DELETE: 'DeleteOptions' } as const

const isApply = (request: Request): boolean => request.method === 'PATCH' && request.contentType?.split(';')[0] === applyType

interface Done {
  readonly answer: Answer
  readonly before: ApiObject | undefined
  readonly after: ApiObject | undefined
  readonly dryRun: boolean
}

function write(core: Core, who: Who, request: Request, target: ObjectRoute): Done {
  const query = request.query ?? {}
  checkWriteOptions(optionsOf[request.method as keyof typeof optionsOf], query, isApply(request))
  const context: WriteContext = {
    store: core.store,
    random: core.random,
    now: core.clock.wall(),
    manager: query['fieldManager'] ?? who.userAgent.split('/')[0] ?? who.user,
    dryRun: query['dryRun'] === 'All',
    strict: query['fieldValidation'] === 'Strict',
    accounts: core.accounts,
  }
  const { resource, subresource } = target
  const presenter = presenterFor(resource, request.accept, () => core.clock.wall(), query['includeObject'])
  if (subresource !== undefined && !resource.subresources.includes(subresource)) throw noSuchPath()
  const { method } = request
  switch (method) {
    case 'POST':
      return post(core, context, request, target, presenter)
    case 'PUT':
      return put(context, request, target, presenter)
    case 'PATCH':
      return patch(context, request, target, presenter)
    case 'DELETE':
      return destroy(context, request, target, presenter)
    case 'GET':
      throw methodNotAllowed()
    default:
      return method satisfies never
  }
}

function finished(context: WriteContext, outcome: Outcome, presenter: Presenter, status: number): Done {
  const { before, after, released } = outcome
  return { answer: { status, body: presenter.object(after) }, before, after: released ? undefined : after, dryRun: context.dryRun }
}

function post(core: Core, context: WriteContext, request: Request, target: ObjectRoute, presenter: Presenter): Done {
  const { resource, namespace, name, subresource } = target
  requireJson(request)
  if (name === undefined) {
    if (resource.namespaced && namespace === undefined) throw methodNotAllowed()
    return finished(context, create(context, resource, readBody(resource, namespace, undefined, request.body)), presenter, 201)
  }
  if (subresource === 'token') {
    const account = existing(context.store, resource, namespace, name)
    const body = issueToken(account, request.body, context.now)
    return { answer: { status: 201, body }, before: account, after: account, dryRun: context.dryRun }
  }
  if (subresource === 'eviction') {
    const budgets = core.registry.byName('poddisruptionbudgets.policy')
    if (budgets === undefined) throw noSuchPath()
    const dryRun = context.dryRun || deleteOptions(at(request.body, 'deleteOptions'), {}).dryRun
    const { before, after } = evict(context, resource, budgets, existing(context.store, resource, namespace, name), request.body)
    return {
      answer: { status: 201, body: { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', code: 201 } },
      before,
      after,
      dryRun,
    }
  }
  if (subresource === 'binding') {
    const outcome = bind(context, resource, existing(context.store, resource, namespace, name), request.body)
    return {
      ...finished(context, outcome, presenter, 201),
      answer: { status: 201, body: { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', code: 201 } },
    }
  }
  throw methodNotAllowed()
}

function requireJson(request: Request): void {
  const type = request.contentType ?? 'application/json'
  if (!type.startsWith('application/json')) throw unsupportedMediaType()
}

function put(context: WriteContext, request: Request, target: ObjectRoute, presenter: Presenter): Done {
  const { resource, namespace, name, subresource } = target
  if (name === undefined || (resource.namespaced && namespace === undefined)) throw methodNotAllowed()
  requireJson(request)
  if (subresource === 'scale') {
    return scaled(context, resource, existing(context.store, resource, namespace, name), objectOf(request.body))
  }
  if (subresource === 'finalize') {
    const old = existing(context.store, resource, namespace, name)
    return finished(context, finalize(context, resource, old, request.body), presenter, 200)
  }
  if (subresource !== undefined && subresource !== 'status') throw methodNotAllowed()
  const body = readBody(resource, namespace, name, request.body)
  const old = existing(context.store, resource, namespace, name)
  requireVersion(resource, name, body)
  return finished(context, update(context, resource, old, body, { subresource }), presenter, 200)
}

/** Custom resources and Leases are never overwritten blindly. */
function requireVersion(resource: Resource, name: string, body: JsonObject): void {
  const version = stringOf(objectOf(body['metadata'])['resourceVersion']) ?? ''
  if (version !== '' || (resource.custom === undefined && resource.kind !== 'Lease')) return
  const message = 'Invalid value: 0x0: must be specified for an update'
  throw invalidVersion(resource, name, message)
}

function invalidVersion(resource: Resource, name: string, message: string): ApiError {
  const named = resource.group === '' ? resource.plural : `${resource.plural}.${resource.group}`
  const field = 'metadata.resourceVersion'
  const details = { name, group: resource.group, kind: resource.plural, causes: [{ reason: 'FieldValueInvalid', message, field }] }
  return new ApiError({
    status: 422,
    body: {
      kind: 'Status',
      apiVersion: 'v1',
      metadata: {},
      status: 'Failure',
      message: `${named} "${name}" is invalid: ${field}: ${message}`,
      reason: 'Invalid',
      details,
      code: 422,
    },
  })
}

function scaled(context: WriteContext, resource: Resource, old: ApiObject, scale: JsonObject): Done {
  const { before, after } = rescale(context, resource, old, scale)
  return { answer: { status: 200, body: scaleOf(after) }, before, after, dryRun: context.dryRun }
}

function patch(context: WriteContext, request: Request, target: ObjectRoute, presenter: Presenter): Done {
  const { resource, namespace, name, subresource } = target
  if (name === undefined || (resource.namespaced && namespace === undefined)) throw methodNotAllowed()
  const query = request.query ?? {}
  const contentType = (request.contentType ?? 'application/json').split(';')[0] ?? ''
  if (contentType === applyType) {
    const old = context.store.get(qualified(resource), namespace, name)
    if (old === undefined && subresource !== undefined) throw notFound(resource, name)
    const outcome = applyPatch(
      context,
      { resource, namespace, name, subresource, contentType, body: request.body, force: query['force'] === 'true' },
      old,
    )
    return finished(context, outcome, presenter, old === undefined ? 201 : 200)
  }
  const old = existing(context.store, resource, namespace, name)
  if (subresource === 'scale') {
    const scale = patched({ ...resource, kind: 'Scale' }, scaleOf(old), contentType, request.body)
    return scaled(context, resource, old, scale)
  }
  if (subresource !== undefined && subresource !== 'status') throw methodNotAllowed()
  return finished(
    context,
    update(context, resource, old, patched(resource, old, contentType, request.body), { subresource, patch: true }),
    presenter,
    200,
  )
}

function destroy(context: WriteContext, request: Request, target: ObjectRoute, presenter: Presenter): Done {
  const { resource, namespace, name, subresource } = target
  if (subresource !== undefined || (resource.namespaced && namespace === undefined)) throw methodNotAllowed()
  const query = request.query ?? {}
  const options = deleteOptions(request.body, query)
  const dryRun = context.dryRun || options.dryRun
  if (name === undefined) {
    const objects = selected(context.store, resource, namespace, parseSelection(resource, query))
    const gone = objects.map((object) => remove(context, resource, object, options).last)
    return {
      answer: { status: 200, body: presenter.list(gone, { resourceVersion: String(context.store.revision) }) },
      before: undefined,
      after: undefined,
      dryRun,
    }
  }
  const { before, after, last } = remove(context, resource, existing(context.store, resource, namespace, name), options)
  const details = { name, group: resource.group, kind: resource.plural, uid: before.metadata.uid }
  const whole = after !== undefined || resource.kind === 'Pod'
  return { answer: { status: 200, body: whole ? presenter.object(last) : success(details) }, before, after, dryRun }
}

/** Paths that are no resources: discovery, version, health, reviews. */
function other(core: Core, who: Who, request: Request): Answer {
  const { path, method } = request
  if (path === '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews') {
    if (method !== 'POST') throw methodNotAllowed()
    return review(core, who, request.body)
  }
  if (method !== 'GET') throw missing(path)
  if (path === '/version' || path === '/version/') return { status: 200, body: serverVersion }
  // kubectl reads OpenAPI v2 as protobuf, and only to validate what it finds there: an empty document, in which there is nothing to find.
  if (path === '/openapi/v2') return { status: 200, body: '' }
  if (path === '/healthz' || path === '/livez' || path === '/readyz') return { status: 200, body: 'ok' }
  const found = discover(core.registry, path, request.accept) ?? openapi(core.registry, path)
  if (found === undefined) throw missing(path)
  return { status: 200, body: found }
}

/** Groups of the server's own answer with a Status, all other paths with a line of text. */
function missing(path: string): ApiError {
  const [, root, group, ...rest] = path.split('/')
  const own = root === 'api' || (root === 'apis' && rest.length > 0 && builtIn.some((resource) => resource.group === group))
  return own ? noSuchPath() : pageNotFound()
}

function review(core: Core, who: Who, body: Json | undefined): Answer {
  const spec = objectOf(at(body, 'spec'))
  const asked = spec['resourceAttributes']
  const field = 'spec.resourceAttributes'
  if (isObject(asked) === isObject(spec['nonResourceAttributes']))
    throw invalid({ group: 'authorization.k8s.io', plural: '', kind: '' }, '', [
      wrong(field, asked ?? null, 'exactly one of nonResourceAttributes or resourceAttributes must be specified'),
    ])
  const text = (key: string): string => stringOf(objectOf(asked)[key]) ?? ''
  const allowed =
    !isObject(asked) ||
    core.allow(who.user, {
      verb: text('verb'),
      group: text('group'),
      resource: text('resource'),
      subresource: text('subresource'),
      namespace: text('namespace'),
      name: text('name'),
    })
  return {
    status: 201,
    body: {
      kind: 'SelfSubjectAccessReview',
      apiVersion: 'authorization.k8s.io/v1',
      metadata: { creationTimestamp: null },
      spec,
      status: { allowed },
    },
  }
}
