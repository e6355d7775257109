/** The vectors that show SUC's whole controller at rest: ours is run on virtual time, in strict mode, until it rests too. */
import { STATUS_CODES } from 'node:http'
import type { Json, JsonObject } from '../../src/base/json.ts'
import { parseJson, stringifyJson } from '../../src/base/json.ts'
import { silentLog } from '../../src/base/log.ts'
import type { Outside } from '../../src/base/process.ts'
import { seededRandom } from '../../src/base/random.ts'
import { decodePlan } from '../../src/api/decode-plan.ts'
import { runController } from '../../src/controller/run.ts'
import { parseSettings } from '../../src/controller/settings.ts'
import { applyJob } from '../../src/rollout/job.ts'
import { virtualClock } from '../../src/sandbox/clock.ts'
import { createVectorServer, type VectorServer } from './api-server.ts'
import { type Case, listAt, objectAt, textAt } from './case.ts'
import { nowhere } from '../../src/base/nowhere.ts'

const NAMESPACE = 'system-upgrade'
const NAME = 'system-upgrade-controller'
/** After the dates in the vectors; an August day of the year in which they were made. */
const STARTS = Date.UTC(2026, 7, 6, 12)
/** Longer than every pause of a controller that still has something to write. */
const QUIET_MS = 90_000
const LIMIT_MS = 3_600_000
const BASE = 'http://channels.example'

interface Setting {
  readonly plan: JsonObject
  readonly nodes: readonly JsonObject[]
  readonly jobs: readonly JsonObject[]
  readonly secrets?: readonly JsonObject[]
  readonly channels?: JsonObject
  readonly env?: Readonly<Record<string, string>>
}

interface Rest {
  readonly server: VectorServer
  readonly asked: boolean
  readonly status: JsonObject
  /** About the Plan, in the order in which they were first said. */
  readonly events: readonly JsonObject[]
}

async function rest({ plan, nodes, jobs, secrets = [], channels = {}, env = {} }: Setting): Promise<Rest> {
  const clock = virtualClock({ startWallMs: STARTS })
  const server = createVectorServer(clock)
  for (const name of ['kube-system', NAMESPACE]) server.load('namespaces', { metadata: { name } })
  server.load('plans', objectAt(parseJson(stringifyJson(plan).replaceAll('$BASE', BASE)), 'plan'))
  for (const node of nodes) server.load('nodes', node)
  for (const job of jobs) server.load('jobs', job)
  for (const secret of secrets) server.load('secrets', secret)
  let asked = false
  const outside: Outside = {
    ...nowhere,
    async get(url) {
      asked = true
      const answer = objectAt(channels[url.slice(BASE.length)] ?? { status: 404 }, 'answer')
      const status = Number(answer['status'])
      const location = answer['location']
      const statusLine = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}`.trimEnd()
      return { status, statusLine, headers: typeof location === 'string' ? { location } : {}, body: '' }
    },
  }
  const required = { SYSTEM_UPGRADE_CONTROLLER_NAME: NAME, SYSTEM_UPGRADE_CONTROLLER_NAMESPACE: NAMESPACE, DROVER_COMPATIBILITY: 'strict' }
  const { settings } = parseSettings({ ...env, ...required, DROVER_SELF_CHECK: 'false', DROVER_METRICS_ADDRESS: '' }, [])
  const stop = new AbortController()
  const process = { name: 'drover-1', clock, random: seededRandom(1), transport: server.transport, outside, log: silentLog }
  const ended = runController(process, settings, stop.signal)
  const idleFor = () => clock.mono() - (server.writes.filter(({ resource }) => resource !== 'leases').at(-1)?.mono ?? 0)
  if ((await clock.run({ until: () => idleFor() > QUIET_MS, limitMs: LIMIT_MS })) !== 'until') throw new Error('it does not come to rest')
  stop.abort()
  await clock.run({ limitMs: 60_000 })
  await ended
  return { server, asked, status: statusOf(objectAt(server.all('plans')[0], 'the Plan')), events: eventsOf(server) }
}

export async function replayValidate({ input }: Case): Promise<Json> {
  const channels = input['channels'] === undefined ? undefined : objectAt(input['channels'], 'channels')
  const found = await rest({
    plan: objectAt(input['plan'], 'plan'),
    nodes: [],
    jobs: [],
    secrets: listAt(input['secrets']).map((secret) => objectAt(secret, 'Secret')),
    ...(channels === undefined ? {} : { channels }),
  })
  const validated = listAt(found.status['conditions'])
    .map((condition) => objectAt(condition, 'condition'))
    .find(({ type }) => type === 'Validated')
  return {
    status: found.status,
    events: found.events,
    validateError: validated?.['status'] === 'False' ? textAt(validated['message']) : null,
    ...(channels === undefined ? {} : { channelAsked: found.asked }),
  }
}

export async function replayLabels({ input }: Case): Promise<Json> {
  const [plan, node] = [objectAt(input['plan'], 'plan'), objectAt(input['node'], 'node')]
  const found = await rest({ plan, nodes: [node], jobs: [completeJob(plan, node)] })
  const after = objectAt(found.server.all('nodes')[0], 'the node')
  return {
    labels: ownKeysLeft(objectAt(objectAt(after['metadata'], 'metadata')['labels'] ?? {}, 'labels')),
    unschedulable: objectAt(after['spec'] ?? {}, 'spec')['unschedulable'] === true,
    events: found.events,
    status: found.status,
  }
}

export async function replaySync({ input, expect }: Case): Promise<Json> {
  const jobs = listAt(input['jobs']).map((job) => objectAt(job, 'Job'))
  const found = await rest({
    plan: objectAt(input['plan'], 'plan'),
    nodes: listAt(input['nodes']).map((node) => objectAt(node, 'node')),
    jobs,
    env: Object.fromEntries(Object.entries(objectAt(input['settings'] ?? {}, 'settings')).map(([key, value]) => [key, textAt(value)])),
  })
  const { server } = found
  const given = new Set(jobs.map(nameOf))
  const ofJobs = server.writes.filter(({ resource }) => resource === 'jobs')
  const changes: JsonObject =
    jobs.length === 0
      ? {
          created: created(
            ofJobs.filter(({ method }) => method === 'POST').map(({ body }) => body),
            listAt(expect['created']),
          ),
        }
      : {
          deleted: ofJobs
            .filter(({ method, name }) => method === 'DELETE' && given.has(name))
            .map(({ name, resource, body }) => ({ name, resource, propagationPolicy: body['propagationPolicy'] ?? null })),
        }
  return {
    status: found.status,
    // With a Job at the start their order is not fixed: sorted, as in the file.
    events: jobs.length === 0 ? found.events : [...found.events].sort((a, b) => compare(textAt(a['message']), textAt(b['message']))),
    ...changes,
    jobs: byName(server.all('jobs')).map((job) => projected(job)),
    nodeLabels: Object.fromEntries(
      server.all('nodes').map((node) => {
        const metadata = objectAt(node['metadata'], 'metadata')
        return [textAt(metadata['name']), ownKeysLeft(objectAt(metadata['labels'] ?? {}, 'labels'))]
      }),
    ),
  }
}

/** First POSTs by name, each as much of it as is expected. Ours are always born paused (design §4): that alone may differ. */
function created(posts: readonly JsonObject[], expected: readonly Json[]): readonly JsonObject[] {
  const first = byName(posts.filter((post, i) => posts.findIndex((other) => nameOf(other) === nameOf(post)) === i))
  return first.map((post, i) => {
    const wanted = objectAt(expected[i] ?? {}, 'Job')
    const spec = objectAt(post['spec'], 'spec')
    if (spec['parallelism'] !== 0) throw new Error(`Job ${nameOf(post)} is not born paused`)
    const parallelism = objectAt(wanted['spec'] ?? {}, 'spec')['parallelism'] === 1 ? 1 : 0
    if (wanted['kind'] === undefined) return { ...projected(post), spec: { parallelism } }
    const template = objectAt(spec['template'], 'template')
    return {
      ...post,
      metadata: plainMetadata(post),
      spec: { ...spec, parallelism, template: { ...template, metadata: plainMetadata(template) } },
    }
  })
}

function projected(job: JsonObject): JsonObject {
  const { name, namespace, labels, annotations, ownerReferences } = plainMetadata(job)
  const shown = { name, namespace, labels, annotations, ownerReferences }
  const metadata = Object.fromEntries(Object.entries(shown).filter(([, value]) => value !== undefined)) as JsonObject
  return { metadata, spec: { parallelism: objectAt(job['spec'], 'spec')['parallelism'] ?? null } }
}

/** Without our keys and times; what SUC's library keeps compressed is only said to be there. */
function plainMetadata(object: JsonObject): JsonObject {
  const metadata = objectAt(object['metadata'], 'metadata')
  const annotations = ownKeysLeft(objectAt(metadata['annotations'] ?? {}, 'annotations'))
  const shown = Object.entries(annotations).map(([key, value]) => [key, key.endsWith('/applied') ? '$APPLIED' : value])
  const { annotations: _, ...others } = onWire(metadata)
  return { ...others, ...(shown.length === 0 ? {} : { annotations: Object.fromEntries(shown) as JsonObject }) }
}

function statusOf(plan: JsonObject): JsonObject {
  const { conditions, latestVersion, latestHash, applying } = objectAt(plan['status'] ?? {}, 'status')
  const shown = listAt(conditions).map((condition) => {
    const { lastUpdateTime: _u, lastTransitionTime: _t, ...said } = objectAt(condition, 'condition')
    return withoutZeros(said)
  })
  return withoutZeros({ conditions: shown, latestVersion: latestVersion ?? '', latestHash: latestHash ?? '', applying: applying ?? [] })
}

function eventsOf(server: VectorServer): readonly JsonObject[] {
  const about = server.all('events').filter((event) => objectAt(event['involvedObject'], 'involvedObject')['kind'] === 'Plan')
  const said = about.map(({ type, reason, message }) => ({ type: type ?? '', reason: reason ?? '', message: symbolic(textAt(message)) }))
  return said.filter((event, i) => said.findIndex((other) => stringifyJson(other) === stringifyJson(event)) === i)
}

const symbolic = (text: string): string => text.replaceAll(BASE, '$BASE')

/** Without what Go leaves out when it is empty. */
function withoutZeros(object: JsonObject): JsonObject {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== '' && !(Array.isArray(value) && value.length === 0)))
}

function ownKeysLeft(keys: JsonObject): JsonObject {
  return Object.fromEntries(Object.entries(keys).filter(([key]) => !key.startsWith('drover.io/')))
}

function completeJob(rawPlan: JsonObject, node: JsonObject): JsonObject {
  const decoded = decodePlan(rawPlan)
  if (!decoded.ok) throw new Error(decoded.error)
  const { plan } = decoded
  const { settings } = parseSettings(
    {
      SYSTEM_UPGRADE_CONTROLLER_NAME: NAME,
      SYSTEM_UPGRADE_CONTROLLER_NAMESPACE: NAMESPACE,
      SYSTEM_UPGRADE_JOB_TTL_SECONDS_AFTER_FINISH: '2147483647',
    },
    [],
  )
  const { latestVersion, latestHash } = plan.status
  const metadata = objectAt(node['metadata'], 'metadata')
  const labels = objectAt(metadata['labels'] ?? {}, 'labels') as Readonly<Record<string, string>>
  const made = applyJob({ plan, latestVersion, latestHash, node: { name: textAt(metadata['name']), labels }, settings, mode: 'strict' })
  if (!made.ok) throw new Error(made.error)
  const complete = { type: 'Complete', status: 'True', reason: '', message: '', lastTransitionTime: '2026-01-01T00:00:00Z' }
  return onWire({ ...made.job, spec: { ...made.job.spec, parallelism: 1 }, status: { conditions: [complete] } })
}

function byName(jobs: readonly JsonObject[]): readonly JsonObject[] {
  return [...jobs].sort((a, b) => compare(nameOf(a), nameOf(b)))
}

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)
const nameOf = (object: JsonObject): string => textAt(objectAt(object['metadata'], 'metadata')['name'])

/** As it is sent: what is undefined is not there. */
function onWire(object: object): JsonObject {
  return objectAt(parseJson(stringifyJson(object as JsonObject)), 'the object')
}
