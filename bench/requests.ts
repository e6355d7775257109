/** What an upgrade and a quiet cluster ask of the API server: counted on virtual time, by user, in the server's own books. */
import type { RequestCounts } from '../src/sandbox/server/history.ts'
import { agentPlan, CONTROLLER, createWorld, NEW, serverPlan, type World } from '../test/controller/harness.ts'
import type { Figure } from './figure.ts'
import { countRefills } from './refill.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
/** Longer than finished Jobs are kept (15 min), and than a status may lag. */
const CLEANED_UP = 30 * MINUTE

/** Requests of a user, watches, Leases and Events aside. */
export function requestsOf(counts: RequestCounts, user: string): number {
  return counts
    .rows()
    .filter((row) => row.user === user && row.verb !== 'watch' && row.resource !== 'leases' && row.resource !== 'events')
    .reduce((sum, row) => sum + row.count, 0)
}

interface Rollout {
  readonly title: string
  readonly servers: number
  readonly agents: number
  readonly plan: ReturnType<typeof serverPlan> | ReturnType<typeof agentPlan>
  /** Requests a node. */
  readonly limit?: number
  /** Look at the hour after, too. */
  readonly quiet?: true
}

const BASE = { prepare: undefined, drain: undefined, cordon: true }
const PREPARE = { prepare: { image: 'example/prepare' } }

export const ROLLOUTS: readonly Rollout[] = [
  { title: 'agents, concurrency 1', servers: 3, agents: 20, plan: agentPlan({ ...BASE, concurrency: 1 }), limit: 13, quiet: true },
  { title: 'agents, concurrency 50', servers: 3, agents: 250, plan: agentPlan({ ...BASE, concurrency: 50 }), limit: 9 },
  {
    title: 'agents with prepare, concurrency 1',
    servers: 3,
    agents: 20,
    plan: agentPlan({ ...BASE, ...PREPARE, concurrency: 1 }),
    limit: 15,
  },
  { title: 'servers', servers: 5, agents: 0, plan: serverPlan() },
]

export async function* measureRequests(): AsyncGenerator<Figure> {
  for (const rollout of ROLLOUTS) yield* measureRollout(rollout)
}

async function* measureRollout({ title, servers, agents, plan, limit, quiet }: Rollout): AsyncGenerator<Figure> {
  const agentsOnly = plan.metadata.name === 'agent-plan'
  const world = await createWorld({
    cluster: { servers, agents, machine: (spec) => (agentsOnly && spec.role === 'server' ? { ...spec, version: NEW } : spec) },
  })
  const { sandbox } = world
  try {
    sandbox.programs.set('example/prepare', async () => 0)
    await settle(world)
    const nodes = new Set([...sandbox.machines.keys()].filter((name) => name.startsWith(agentsOnly ? 'agent-' : 'server-')))
    const before = requestsOf(sandbox.server.requests, CONTROLLER)
    await world.apply(plan)
    if (!(await sandbox.run(() => world.complete(plan.metadata.name), 24 * HOUR))) throw new Error(`${title}: the rollout did not end`)
    await sandbox.run(() => false, CLEANED_UP)
    const count = requestsOf(sandbox.server.requests, CONTROLLER) - before
    yield { name: `API requests a node, ${title}`, measured: count / nodes.size, unit: '', ...(limit === undefined ? {} : { limit }) }
    const { freed, leftEmpty } = countRefills(sandbox.history, plan.metadata.name, nodes)
    // The next server waits by rule until the one before has its heartbeat back: no slot of theirs need be refilled at once.
    const refill = agentsOnly ? { limit: 0 } : {}
    if (freed > 0)
      yield { name: `slots left empty by the write that freed them, of ${freed}, ${title}`, measured: leftEmpty, unit: '', ...refill }
    if (quiet === true) yield* measureQuiet(world)
  } finally {
    await world.stop()
  }
}

async function* measureQuiet({ sandbox }: World): AsyncGenerator<Figure> {
  const { requests } = sandbox.server
  const before = {
    all: requestsOf(requests, CONTROLLER),
    leases: requests.total({ user: CONTROLLER, resource: 'leases' }),
    events: requests.total({ user: CONTROLLER, resource: 'events' }),
  }
  await sandbox.run(() => false, HOUR)
  const events = requests.total({ user: CONTROLLER, resource: 'events' }) - before.events
  yield {
    name: 'requests of a quiet hour, Lease and watches aside',
    measured: requestsOf(requests, CONTROLLER) - before.all + events,
    unit: '',
    limit: 0,
  }
  yield {
    name: 'requests of a quiet hour for the Lease',
    measured: requests.total({ user: CONTROLLER, resource: 'leases' }) - before.leases,
    unit: '',
  }
}

/** A controller that leads and has nothing to do yet. */
async function settle(world: World): Promise<void> {
  const { sandbox } = world
  world.controller()
  const leads = () => sandbox.server.peekAll('leases', 'system-upgrade').length > 0
  if (!(await sandbox.run(leads, 5 * MINUTE))) throw new Error('the controller does not lead')
  await sandbox.run(() => false, MINUTE)
}
