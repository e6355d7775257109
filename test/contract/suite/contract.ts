/** What the suite needs of a Kubernetes API server, and what its tests are written in. Nothing here knows which server it is. */
import { test } from '@jest/globals'
import type { Clock } from '../../../src/base/clock.ts'
import type { Json } from '../../../src/base/json.ts'
import type { Request, Response, Transport } from '../../../src/base/process.ts'
import { collect, type Tree, type Watching } from '../../kube/client/collect.ts'

/** A server under test, with its controllers and with nodes of simulated machines. */
export interface Server {
  readonly clock: Clock
  /** The API as `admin`, who may do everything, as `nobody`, who may do nothing, or as a service account. */
  as(user: string): Transport
  /** The API with the token of a TokenRequest. */
  withToken(token: string): Transport
  /** Nodes that are Ready and take pods. */
  readonly nodes: readonly [string, string]
  /** Lets time pass until the work is done. Nothing else that the work awaits may need real time. */
  run(work: Promise<void>): Promise<void>
  /** Switches the machine of a node off or on. */
  power(node: string, on: boolean): void
  /** Lets the server begin to forget its past. It may take its time: until then it answers as before. */
  forget(): void
  stop(): Promise<void>
}

/** How a test is declared. `describe` may be used around it. */
export type Contract = (name: string, body: (world: World) => Promise<void>) => void

/** Slow machines take their time; a test that goes well does not wait. */
const TEST_MS = 180_000
const UNTIL_MS = 60_000
const POLL_MS = 50

/** Declares tests against the server that is there when they run. */
export function contractOf(server: () => Server): Contract {
  let tests = 0
  return (name, body) => {
    tests++
    const namespace = `contract-${tests}`
    test(
      name,
      async () => {
        await server().run(inNamespace(createWorld(server(), namespace), body))
      },
      TEST_MS,
    )
  }
}

/** What a test is given: the API as admin, and a namespace of its own that goes when it ends. */
export interface World {
  readonly api: Api
  readonly clock: Clock
  readonly nodes: readonly [string, string]
  readonly server: Server
  readonly namespace: string
  /** `pods`, `jobs`, … of the test's namespace. */
  readonly at: Readonly<Record<Place, string>>
  readonly as: (user: string) => Api
  /** A name for what has no namespace, of this test alone. */
  readonly unique: (name: string) => string
  /** Asks until the answer is neither undefined nor false. Throws after 90 s with what was wanted. */
  readonly until: <T>(what: string, ask: () => Promise<T | undefined | false>) => Promise<T>
  /** Opens a watch and collects what it says; the test's end closes it. */
  readonly watch: (path: string, query?: Query, accept?: string) => Promise<Watching>
}

const places = {
  pods: '/api/v1',
  configmaps: '/api/v1',
  secrets: '/api/v1',
  events: '/api/v1',
  services: '/api/v1',
  serviceaccounts: '/api/v1',
  jobs: '/apis/batch/v1',
  deployments: '/apis/apps/v1',
  replicasets: '/apis/apps/v1',
  leases: '/apis/coordination.k8s.io/v1',
  poddisruptionbudgets: '/apis/policy/v1',
} as const
type Place = keyof typeof places
type Query = Readonly<Record<string, string>>

/** The API as one user. Every method answers; none throws for a status. */
export interface Api {
  readonly send: (request: Request) => Promise<Answer>
  readonly get: (path: string, query?: Query, accept?: string) => Promise<Answer>
  readonly post: Write
  readonly put: Write
  readonly delete: (path: string, body?: unknown, query?: Query) => Promise<Answer>
  readonly merge: Write
  readonly strategic: Write
  readonly json: Write
  readonly apply: Write
  /** The body of a 2xx answer; throws with any other. */
  readonly ok: (answer: Promise<Answer>) => Promise<Tree>
}

type Write = (path: string, body: unknown, query?: Query) => Promise<Answer>
export type Answer = Response & { readonly body: Tree }

const patchTypes = {
  merge: 'application/merge-patch+json',
  strategic: 'application/strategic-merge-patch+json',
  json: 'application/json-patch+json',
  apply: 'application/apply-patch+yaml',
} as const

function apiOf(transport: Transport): Api {
  const { signal } = new AbortController()
  const send = (request: Request): Promise<Answer> => transport.send(request, signal)
  const call =
    (method: Request['method'], contentType?: string) =>
    (path: string, body?: unknown, query?: Query): Promise<Answer> =>
      send({
        method,
        path,
        ...(body === undefined ? {} : { body: body as Json }),
        ...(query === undefined ? {} : { query }),
        ...(contentType === undefined ? {} : { contentType }),
      })
  return {
    send,
    get: (path, query, accept) =>
      send({ method: 'GET', path, ...(query === undefined ? {} : { query }), ...(accept === undefined ? {} : { accept }) }),
    post: call('POST'),
    put: call('PUT'),
    delete: call('DELETE'),
    merge: call('PATCH', patchTypes.merge),
    strategic: call('PATCH', patchTypes.strategic),
    json: call('PATCH', patchTypes.json),
    apply: call('PATCH', patchTypes.apply),
    async ok(asked) {
      const { status, body } = await asked
      if (status >= 300) throw new Error(`${status} ${JSON.stringify(body)}`)
      return body
    },
  }
}

interface Closable extends World {
  close(): void
}

function createWorld(server: Server, namespace: string): Closable {
  const open: Watching[] = []
  const { clock } = server
  const at = Object.fromEntries(Object.entries(places).map(([plural, root]) => [plural, `${root}/namespaces/${namespace}/${plural}`]))
  return {
    api: apiOf(server.as('admin')),
    clock,
    nodes: server.nodes,
    server,
    namespace,
    at: at as Record<Place, string>,
    as: (user) => apiOf(server.as(user)),
    unique: (name) => `${name}-${namespace}`,
    async until(what, ask) {
      const deadline = clock.mono() + UNTIL_MS
      for (;;) {
        const answer = await ask()
        if (answer !== undefined && answer !== false) return answer
        if (clock.mono() > deadline) throw new Error(`not within ${UNTIL_MS / 1000} s: ${what}`)
        await clock.sleep(POLL_MS)
      }
    },
    async watch(path, query = {}, accept) {
      const watching = await collect(server.as('admin'), path, query, accept)
      open.push(watching)
      return watching
    },
    close() {
      for (const each of open) each.stop()
    },
  }
}

async function inNamespace(world: Closable, body: (world: World) => Promise<void>): Promise<void> {
  const { api, namespace, at } = world
  const path = '/api/v1/namespaces'
  await api.ok(api.post(path, { metadata: { name: namespace } }))
  // Pods are refused before the controller has made the account that they run as.
  await world.until('the namespace has its default account', async () => (await api.get(`${at.serviceaccounts}/default`)).status === 200)
  try {
    await body(world)
  } finally {
    world.close()
    await api.delete(`${path}/${namespace}`)
  }
}

/** A refusal as an object to match an answer with. */
export function refused(status: number, reason: string, more: object = {}): object {
  return { status, body: { kind: 'Status', apiVersion: 'v1', status: 'Failure', reason, code: status, ...more } }
}

/** A refusal of an object that is not valid, with the fields that are to blame, in their order. */
export function invalidAt(...fields: readonly string[]): object {
  return refused(422, 'Invalid', { details: { causes: fields.map((field) => ({ field })) } })
}

/** A pod's container that does what a small shell script says (`echo`, `sleep`, `exit`). */
export function script(text: string, more: object = {}): object {
  return { name: 'main', image: 'busybox:1', command: ['sh', '-c', text], ...more }
}

/** A pod that runs a script once. */
export function pod(name: string, text = 'sleep 600', spec: object = {}, metadata: object = {}): object {
  return {
    metadata: { name, ...metadata },
    spec: { restartPolicy: 'Never', terminationGracePeriodSeconds: 1, containers: [script(text)], ...spec },
  }
}

/** A Job whose pod runs a script. */
export function job(name: string, text = 'sleep 600', spec: object = {}, podSpec: object = {}): object {
  const template = { spec: { restartPolicy: 'Never', terminationGracePeriodSeconds: 1, containers: [script(text)], ...podSpec } }
  return { apiVersion: 'batch/v1', kind: 'Job', metadata: { name }, spec: { template, ...spec } }
}

/** `True/Reason` of a condition, `''` while it is not there. */
export function conditionOf(object: Tree, type: string): string {
  const found = object?.status?.conditions?.find((each: Tree) => each.type === type)
  return found === undefined ? '' : `${found.status}/${found.reason ?? ''}`
}

/** The object while it has the condition True, for `until`. */
export async function withCondition(api: Api, path: string, type: string): Promise<Tree> {
  const { body } = await api.get(path)
  return conditionOf(body, type).startsWith('True') ? body : undefined
}

/** Who owns a field, as `manager/operation/subresource`; the path is of steps as in `fieldsV1`. */
export function ownersOf(object: Tree, ...path: readonly string[]): readonly string[] {
  return (object.metadata.managedFields ?? [])
    .filter((entry: Tree) => path.reduce((fields: Tree, step) => fields?.[step], entry.fieldsV1) !== undefined)
    .map((entry: Tree) => [entry.manager, entry.operation, ...(entry.subresource === undefined ? [] : [entry.subresource])].join('/'))
}
