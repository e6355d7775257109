/**
 * Was everything as promised? Judged from the API server's history of writes and from the objects as they are at the end,
 * never from anything the controller says about itself, with one exception that is about words: what it wrote into the Plan's status.
 */
import type { JsonObject } from '../../base/json.ts'
import { at, list, object, strings, text } from './json.ts'

/** One accepted or refused write, as the sandbox's API server records it. */
export interface HistoryWrite {
  readonly user: string
  readonly verb: string
  readonly ref: {
    readonly resource: string
    readonly subresource?: string | undefined
    readonly namespace?: string | undefined
    readonly name?: string | undefined
  }
  readonly status: number
  readonly before?: unknown
  readonly after?: unknown
  readonly dryRun: boolean
}

export interface JudgeInput {
  readonly history: readonly HistoryWrite[]
  readonly planNames: { readonly server: string; readonly agent: string }
  /** The version that every node has to end on, as the kubelet reports it. */
  readonly target: string
  /** The workload whose budget is expected to block a drain for a while. */
  readonly blocker: { readonly namespace: string; readonly budget: string; readonly podPrefix: string }
  /** User name of the controller in the history. */
  readonly controller: string
}

export interface Verdict {
  readonly what: string
  readonly ok: boolean
  /** What was seen, e.g. `at most 1 of 3 servers away`; of a failure, the first breach. */
  readonly seen: string
}

export interface Judgement {
  readonly verdicts: readonly Verdict[]
  readonly evictions: { readonly accepted: number; readonly refused: number }
  readonly nodes: number
}

/** The world as it was after each write. */
interface World {
  readonly nodes: Map<string, JsonObject>
  readonly plans: Map<string, JsonObject>
  readonly pods: Map<string, JsonObject>
  readonly budgets: Map<string, JsonObject>
}

/** Watches one promise through the history. `look` is called after each accepted write. */
interface Watcher {
  look(world: World, write: HistoryWrite): void
  verdict(world: World): Verdict
}

const KINDS: Readonly<Record<string, keyof World>> = { nodes: 'nodes', plans: 'plans', pods: 'pods', poddisruptionbudgets: 'budgets' }

export function judge(input: JudgeInput): Judgement {
  const world: World = { nodes: new Map(), plans: new Map(), pods: new Map(), budgets: new Map() }
  const watchers = [
    concurrency(),
    quorum(),
    serversFirst(input),
    budgetsKept(input),
    blockedAndNamed(input),
    disruptedOnce(input),
    finished(input),
  ]
  let accepted = 0
  let refused = 0
  for (const write of input.history) {
    if (write.dryRun) continue
    const ok = write.status < 300
    if (isEviction(write) && write.user === input.controller) {
      if (ok) accepted += 1
      else if (write.status === 429) refused += 1
    }
    if (ok) remember(world, write)
    for (const watcher of watchers) watcher.look(world, write)
  }
  return { verdicts: watchers.map((watcher) => watcher.verdict(world)), evictions: { accepted, refused }, nodes: world.nodes.size }
}

function remember(world: World, write: HistoryWrite): void {
  const kind = KINDS[write.ref.resource]
  // An eviction's body is no pod; the deletion it causes is a write of its own or shows in `after`.
  if (kind === undefined || write.ref.name === undefined) return
  const key = `${write.ref.namespace ?? ''}/${write.ref.name}`
  const after = write.after as JsonObject | undefined
  if (after !== undefined && at(after, 'metadata', 'name') === write.ref.name) world[kind].set(key, after)
  if (write.verb === 'delete' && after === undefined) world[kind].delete(key)
}

function concurrency(): Watcher {
  const most = new Map<string, number>()
  let breach = ''
  return {
    look(world) {
      for (const plan of world.plans.values()) {
        const name = text(at(plan, 'metadata', 'name'))
        const inFlight = strings(at(plan, 'status', 'applying')).length
        const limit = Number(at(plan, 'spec', 'concurrency') ?? 0)
        most.set(name, Math.max(most.get(name) ?? 0, inFlight))
        if (inFlight > limit) breach ||= `${name} had ${inFlight} nodes in flight, allowed ${limit}`
      }
    },
    verdict() {
      const seen = breach || [...most].map(([name, count]) => `${name} at most ${count}`).join(', ')
      return { what: 'concurrency kept', ok: breach === '' && Math.max(0, ...most.values()) > 0, seen }
    },
  }
}

function quorum(): Watcher {
  let worst = 0
  let servers = 0
  return {
    look(world) {
      const members = [...world.nodes.values()].filter(isServer)
      servers = Math.max(servers, members.length)
      // Before all have registered and become Ready there is no cluster to protect.
      if (world.plans.size > 0) worst = Math.max(worst, members.filter(isAway).length)
    },
    verdict() {
      return {
        what: 'etcd quorum kept',
        ok: servers > 0 && servers - worst > servers / 2,
        seen: `at most ${worst} of ${servers} servers away at once`,
      }
    },
  }
}

function serversFirst(input: JudgeInput): Watcher {
  let breach = ''
  let cordoned = 0
  return {
    look(world, write) {
      const after = write.after as JsonObject | undefined
      if (write.ref.resource !== 'nodes' || after === undefined || write.status >= 300 || isServer(after)) return
      const newly = at(after, 'spec', 'unschedulable') === true && at(object(write.before as JsonObject), 'spec', 'unschedulable') !== true
      if (!newly) return
      cordoned += 1
      const behind = [...world.nodes.values()].filter((node) => isServer(node) && kubelet(node) !== input.target)
      if (behind.length > 0) breach ||= `${write.ref.name} was cordoned while ${behind.length} servers were not on ${input.target}`
    },
    verdict() {
      return {
        what: 'agents waited for the servers',
        ok: breach === '' && cordoned > 0,
        seen: breach || `${cordoned} agents cordoned, each after the last server was done`,
      }
    },
  }
}

function budgetsKept(input: JudgeInput): Watcher {
  let breach = ''
  let looked = 0
  return {
    look(world, write) {
      if (!isEviction(write) || write.status >= 300 || write.user !== input.controller) return
      const evicted = world.pods.get(`${write.ref.namespace ?? ''}/${write.ref.name ?? ''}`)
      for (const budget of world.budgets.values()) {
        const labels = object(at(budget, 'spec', 'selector', 'matchLabels'))
        if (evicted === undefined || text(at(budget, 'metadata', 'namespace')) !== write.ref.namespace || !carries(evicted, labels))
          continue
        looked += 1
        const left = [...world.pods.values()].filter((pod) => pod !== evicted && carries(pod, labels) && isHealthy(pod)).length
        const least = leastHealthy(budget)
        if (least !== undefined && left < least)
          breach ||= `evicting ${write.ref.name} left ${left} healthy pods, the budget wants ${least}`
      }
    },
    verdict() {
      return {
        what: 'PodDisruptionBudgets kept',
        ok: breach === '' && looked > 0,
        seen: breach || `${looked} evictions under a budget, none too many`,
      }
    },
  }
}

function blockedAndNamed(input: JudgeInput): Watcher {
  const { namespace, budget, podPrefix } = input.blocker
  let refused = 0
  let named = false
  let wentOn = false
  return {
    look(_world, write) {
      const about = write.ref.namespace === namespace && write.ref.name?.startsWith(podPrefix) === true
      if (isEviction(write) && about && write.user === input.controller) {
        if (write.status === 429) refused += 1
        if (write.status < 300 && refused > 0) wentOn = true
      }
      if (write.ref.resource === 'plans' && write.status < 300 && !named) {
        const messages = list(at(object(write.after as JsonObject), 'status', 'nodeStatuses')).map((entry) => text(entry['message']))
        named = messages.some((message) => message.includes(budget) && message.includes(podPrefix))
      }
    },
    verdict() {
      const seen = `refused ${refused} times, pod and budget ${named ? 'named' : 'not named'} in the Plan's status, ${wentOn ? 'then evicted' : 'never evicted'}`
      return { what: `drain held by budget ${budget}, and named`, ok: refused > 0 && named && wentOn, seen }
    },
  }
}

function disruptedOnce(input: JudgeInput): Watcher {
  const cordons = new Map<string, number>()
  return {
    look(_world, write) {
      const after = write.after as JsonObject | undefined
      if (write.ref.resource !== 'nodes' || write.user !== input.controller || write.status >= 300 || after === undefined) return
      const was = at(object(write.before as JsonObject), 'spec', 'unschedulable') === true
      if (!was && at(after, 'spec', 'unschedulable') === true)
        cordons.set(write.ref.name ?? '', (cordons.get(write.ref.name ?? '') ?? 0) + 1)
    },
    verdict(world) {
      const twice = [...cordons].filter(([, count]) => count > 1).map(([name]) => name)
      const seen = twice.length > 0 ? `more than once: ${twice.join(', ')}` : `${cordons.size} nodes cordoned once each`
      return { what: 'no node disrupted twice', ok: twice.length === 0 && cordons.size > 0 && cordons.size === world.nodes.size, seen }
    },
  }
}

function finished(input: JudgeInput): Watcher {
  return {
    look() {},
    verdict(world) {
      const problems = [...world.nodes.values()].flatMap((node) => {
        const name = text(at(node, 'metadata', 'name'))
        const planName = isServer(node) ? input.planNames.server : input.planNames.agent
        const plan = [...world.plans.values()].find((one) => at(one, 'metadata', 'name') === planName)
        const hash = text(at(object(plan), 'status', 'latestHash'))
        const label = text(at(node, 'metadata', 'labels', `plan.upgrade.cattle.io/${planName}`))
        return [
          ...(kubelet(node) === input.target ? [] : [`${name} is on ${kubelet(node)}`]),
          ...(at(node, 'spec', 'unschedulable') === true ? [`${name} is cordoned`] : []),
          ...(hash !== '' && label === hash ? [] : [`${name} is labelled "${label}", not "${hash}"`]),
          ...(isReady(node) ? [] : [`${name} is not Ready`]),
        ]
      })
      const inFlight = [...world.plans.values()].flatMap((plan) => strings(at(plan, 'status', 'applying')))
      if (inFlight.length > 0) problems.push(`still in flight: ${inFlight.join(', ')}`)
      const ok = problems.length === 0 && world.nodes.size > 0 && world.plans.size > 0
      return {
        what: 'every node upgraded, Ready, uncordoned, labelled',
        ok,
        seen: problems.join('; ') || `${world.nodes.size} nodes on ${input.target}`,
      }
    },
  }
}

function isEviction(write: HistoryWrite): boolean {
  return write.ref.resource === 'pods' && write.ref.subresource === 'eviction'
}

function isServer(node: JsonObject): boolean {
  return at(node, 'metadata', 'labels', 'node-role.kubernetes.io/control-plane') === 'true'
}

function isReady(object: JsonObject): boolean {
  return list(at(object, 'status', 'conditions')).some((condition) => condition['type'] === 'Ready' && condition['status'] === 'True')
}

function isAway(node: JsonObject): boolean {
  return !isReady(node) || at(node, 'spec', 'unschedulable') === true
}

function kubelet(node: JsonObject): string {
  return text(at(node, 'status', 'nodeInfo', 'kubeletVersion'))
}

function carries(pod: JsonObject, labels: JsonObject): boolean {
  const own = object(at(pod, 'metadata', 'labels'))
  return Object.entries(labels).every(([key, value]) => own[key] === value)
}

function isHealthy(pod: JsonObject): boolean {
  return at(pod, 'metadata', 'deletionTimestamp') === undefined && isReady(pod)
}

/** How many pods the budget wants healthy; undefined if it says so in a way that the demo does not use. */
function leastHealthy(budget: JsonObject): number | undefined {
  const least = at(budget, 'spec', 'minAvailable')
  if (typeof least === 'number') return least
  const most = at(budget, 'spec', 'maxUnavailable')
  const expected = at(budget, 'status', 'expectedPods')
  return typeof most === 'number' && typeof expected === 'number' ? expected - most : undefined
}
