/**
 * Judges a rollout by the API server's audit log alone: claim first, limits, each node upgraded once. It knows what the API shows of a Plan, a Node
 * and a Job, and nothing of what the controller keeps for itself. Writes are taken in the order of their resourceVersions, which is etcd's.
 */
import type { Job } from 'kubernetes-types/batch/v1.d.ts'
import type { Node } from 'kubernetes-types/core/v1.d.ts'
import { type AuditEntry, auditEntries } from './audit.ts'

export interface JudgeOptions {
  /** Most nodes that may be cordoned or not Ready when one is admitted. */
  readonly maxUnavailable: number
  /** When an API server was killed, in milliseconds since 1970: writes of a moment before may be missing in the log. Default none. */
  readonly killedAt?: readonly number[]
  /** A node that has not been Ready for less does not count: whoever admits the next cannot have heard of it. Milliseconds, default 0. */
  readonly noticedAfterMs?: number
}

export interface Verdict {
  /** One sentence for each promise that a write broke. */
  readonly broken: readonly string[]
  /** How often a node was first touched after a claim: how often the limits were checked. */
  readonly admitted: number
  readonly mostInFlight: number
  /** At an admission. */
  readonly mostUnavailable: number
  /** How many upgrade Jobs were started, by node. */
  readonly started: ReadonlyMap<string, number>
  /** What the last writes leave: cordons and claims. */
  readonly left: readonly string[]
}

interface Moment {
  readonly version: number
  readonly received: number
  readonly answered: number
  readonly user: string
}
type Fact = Moment &
  (
    | { readonly kind: 'plan'; readonly name: string; readonly concurrency: number; readonly applying: readonly string[] }
    | {
        readonly kind: 'node'
        readonly name: string
        readonly hostname: string
        readonly unschedulable: boolean
        readonly ready: boolean
        /** Values of the labels that say a Plan is done, by Plan. */
        readonly done: ReadonlyMap<string, string>
      }
    | {
        readonly kind: 'job'
        readonly uid: string
        readonly node: string
        readonly plan: string
        /** Its pods may run. */
        readonly runs: boolean
      }
  )
type Of<K extends Fact['kind']> = Extract<Fact, { kind: K }>

const DONE = 'plan.upgrade.cattle.io/'

/** Reads the whole log. */
export async function judgeLog(file: string, options: JudgeOptions): Promise<Verdict> {
  const entries: AuditEntry[] = []
  for await (const entry of auditEntries(file)) if (isWrite(entry)) entries.push(entry)
  return judge(entries, options)
}

export function judge(entries: Iterable<AuditEntry>, options: JudgeOptions): Verdict {
  const facts: Fact[] = []
  for (const entry of entries) {
    const fact = factOf(entry)
    if (fact !== undefined) facts.push(fact)
  }
  const court = createCourt(options)
  for (const fact of facts.toSorted((a, b) => a.version - b.version || a.answered - b.answered)) court.see(fact)
  return court.verdict()
}

function createCourt({ maxUnavailable, killedAt = [], noticedAfterMs = 0 }: JudgeOptions) {
  const broken: string[] = []
  const plans = new Map<string, { fact: Of<'plan'>; readonly claims: Map<string, Moment> }>()
  const nodes = new Map<string, Of<'node'>>()
  /** When the answer went out that showed a node as not Ready first. */
  const notReadySince = new Map<string, number>()
  const jobs = new Map<string, Of<'job'>>()
  /** The Plan a node was admitted for and is not done with. */
  const touched = new Map<string, string>()
  const started = new Map<string, number>()
  /** Touched for a claim that may have been lost with a killed API server: the Plan's next write must show it. */
  const owed = new Map<string, { readonly plan: string; readonly what: string }>()
  let admitted = 0
  let mostInFlight = 0
  let mostUnavailable = 0

  const hostnameOf = (node: string): string => nodes.get(node)?.hostname ?? node
  const missing = (since: number, until: number): boolean => killedAt.some((at) => since <= at * 1000 && at * 1000 <= until)
  /** Its next write may be missing, so that nobody knows what it is now. */
  const unknown = (node: string, { received }: Fact): boolean => missing(nodes.get(node)?.answered ?? 0, received)

  function inFlight(plan: string, fact: Fact): ReadonlySet<string> {
    const names = new Set(plans.get(plan)?.fact.applying)
    for (const [node, by] of touched) if (by === plan && !unknown(node, fact)) names.add(hostnameOf(node))
    mostInFlight = Math.max(mostInFlight, names.size)
    return names
  }

  function checkConcurrency(plan: string, what: string, fact: Fact): void {
    const limit = plans.get(plan)?.fact.concurrency ?? 0
    const names = inFlight(plan, fact)
    if (names.size > limit) broken.push(`${what}: ${names.size} nodes in flight, concurrency ${limit}: ${[...names].toSorted().join(', ')}`)
  }

  function checkUnavailable(what: string, fact: Fact): void {
    const noticed = (name: string): boolean => (notReadySince.get(name) ?? Infinity) + noticedAfterMs * 1000 <= fact.received
    const down = [...nodes.values()]
      .filter(({ name, unschedulable }) => (unschedulable || noticed(name)) && !unknown(name, fact))
      .map(({ name }) => name)
    mostUnavailable = Math.max(mostUnavailable, down.length)
    if (down.length > maxUnavailable)
      broken.push(`${what}: ${down.length} nodes unavailable, allowed ${maxUnavailable}: ${down.join(', ')}`)
  }

  /** The first write that touches a node, or one more. `named`: the Plan that the write names. */
  function touch(node: string, named: string | undefined, what: string, fact: Fact): void {
    const known = touched.get(node)
    if (known !== undefined) {
      if (named !== undefined && named !== known) broken.push(`${what} for Plan ${named} while Plan ${known} works on ${node}`)
      return
    }
    admitted += 1
    const hostname = hostnameOf(node)
    const claimants = [...plans.values()].filter(({ claims }) => claims.has(hostname))
    if (claimants.length > 1) broken.push(`${what}: ${claimants.length} Plans claim ${node}`)
    const plan = named ?? claimants[0]?.fact.name ?? lostClaimant(fact)
    if (plan === undefined) {
      broken.push(`${what}: no Plan had claimed ${node}`)
      return
    }
    touched.set(node, plan)
    const story = plans.get(plan)
    const claim = story?.claims.get(hostname)
    if (claim !== undefined && claim.answered > fact.received) {
      broken.push(`${what}: it was asked for ${fact.received - claim.answered} µs after the answer to the claim`)
    } else if (claim === undefined) {
      if (story !== undefined && missing(story.fact.answered, fact.received)) owed.set(hostname, { plan, what })
      else broken.push(`${what}: Plan ${plan} had not claimed ${node}`)
    }
    checkConcurrency(plan, what, fact)
    checkUnavailable(what, fact)
  }

  /** The one Plan whose last writes may be missing. */
  function lostClaimant({ received }: Fact): string | undefined {
    const suspects = [...plans.values()].filter(({ fact }) => missing(fact.answered, received))
    return suspects.length === 1 ? suspects[0]?.fact.name : undefined
  }

  function seePlan(fact: Of<'plan'>): void {
    const before = plans.get(fact.name)
    if (before !== undefined && before.fact.version >= fact.version) return
    const claims = new Map(fact.applying.map((hostname) => [hostname, before?.claims.get(hostname) ?? fact]))
    plans.set(fact.name, { fact, claims })
    for (const [hostname, { plan, what }] of owed) {
      if (plan !== fact.name) continue
      owed.delete(hostname)
      if (!claims.has(hostname)) broken.push(`${what}: Plan ${plan} had not claimed ${hostname}`)
    }
    checkConcurrency(fact.name, `write ${fact.version} of Plan ${fact.name}`, fact)
  }

  function seeNode(fact: Of<'node'>): void {
    const before = nodes.get(fact.name)
    if (before !== undefined && before.version >= fact.version) return
    nodes.set(fact.name, fact)
    if (fact.ready) notReadySince.delete(fact.name)
    else if (!notReadySince.has(fact.name)) notReadySince.set(fact.name, fact.answered)
    if (before === undefined) return
    const plan = touched.get(fact.name)
    if (plan !== undefined) {
      const value = fact.done.get(plan)
      const labelled = value !== undefined && value !== before.done.get(plan)
      const backedOut = before.unschedulable && !fact.unschedulable && !started.has(fact.name)
      if (labelled || backedOut) touched.delete(fact.name)
    }
    if (fact.unschedulable && !before.unschedulable) touch(fact.name, undefined, `cordon of ${fact.name} (write ${fact.version})`, fact)
  }

  function seeJob(fact: Of<'job'>): void {
    const before = jobs.get(fact.uid)
    if (before !== undefined && before.version >= fact.version) return
    jobs.set(fact.uid, fact)
    if (before === undefined) touch(fact.node, fact.plan, `upgrade Job for ${fact.node} (write ${fact.version})`, fact)
    if (!fact.runs || before?.runs === true) return
    const times = (started.get(fact.node) ?? 0) + 1
    started.set(fact.node, times)
    if (times > 1) broken.push(`upgrade Job for ${fact.node} (write ${fact.version}): it is the ${times}. that was started there`)
  }

  return {
    see(fact: Fact): void {
      switch (fact.kind) {
        case 'plan':
          return seePlan(fact)
        case 'node':
          return seeNode(fact)
        case 'job':
          return seeJob(fact)
      }
    },
    verdict(): Verdict {
      const cordoned = [...nodes.values()].filter(({ unschedulable }) => unschedulable).map(({ name }) => `${name} is cordoned`)
      const claimed = [...plans.values()].flatMap(({ fact }) => fact.applying.map((hostname) => `Plan ${fact.name} holds ${hostname}`))
      const unproven = [...owed.values()].map(({ what, plan }) => `${what}: no later write shows the claim of Plan ${plan}`)
      return {
        broken: [...broken, ...unproven],
        admitted,
        mostInFlight,
        mostUnavailable,
        started,
        left: [...cordoned, ...claimed, ...[...touched.keys()].map((node) => `${node} is not done`)],
      }
    },
  }
}

function isWrite({ verb, status, resource, uri }: AuditEntry): boolean {
  if (!['create', 'update', 'patch', 'delete'].includes(verb) || status < 200 || status > 299) return false
  return /^(plans|nodes|jobs)(\/status)?$/.test(resource) && !uri.includes('dryRun=')
}

/** What a write made of its object. Undefined = it is none of a Plan, a Node or an upgrade Job. */
function factOf(entry: AuditEntry): Fact | undefined {
  if (!isWrite(entry)) return undefined
  const [kind] = entry.resource.split('/')
  if (entry.verb === 'delete') {
    // A Job that is gone cannot start; of the others this judge would need to know more.
    if (kind === 'jobs') return undefined
    throw new Error(`the log deletes from ${kind}: ${entry.uri}`)
  }
  const { received, answered, user } = entry
  const object = entry.response as { readonly metadata?: { readonly resourceVersion?: string } } | undefined
  const version = Number(object?.metadata?.resourceVersion)
  if (!Number.isInteger(version)) throw new Error(`the log lacks the answer to ${entry.verb} ${entry.uri}`)
  const moment = { version, received, answered, user }
  if (kind === 'plans') {
    const { metadata, spec, status } = object as Plan
    return { ...moment, kind: 'plan', name: metadata.name, concurrency: spec.concurrency ?? 1, applying: status?.applying ?? [] }
  }
  if (kind === 'nodes') return { ...moment, ...nodeOf(object as Node) }
  return jobOf(object as Job, moment)
}

interface Plan {
  readonly metadata: { readonly name: string }
  readonly spec: { readonly concurrency?: number }
  readonly status?: { readonly applying?: readonly string[] }
}

function nodeOf({ metadata = {}, spec, status }: Node): Omit<Of<'node'>, keyof Moment> {
  const { name = '', labels = {} } = metadata
  const done = Object.entries(labels).filter(([key]) => key.startsWith(DONE))
  return {
    kind: 'node',
    name,
    hostname: labels['kubernetes.io/hostname'] ?? name,
    unschedulable: spec?.unschedulable === true,
    ready: status?.conditions?.some(({ type, status: value }) => type === 'Ready' && value === 'True') === true,
    done: new Map(done.map(([key, value]) => [key.slice(DONE.length), value])),
  }
}

function jobOf({ metadata = {}, spec }: Job, moment: Moment): Fact | undefined {
  const { uid, labels = {} } = metadata
  const [node, plan] = [labels['upgrade.cattle.io/node'], labels['upgrade.cattle.io/plan']]
  if (uid === undefined || node === undefined || plan === undefined) return undefined
  return { ...moment, kind: 'job', uid, node, plan, runs: spec?.suspend !== true && (spec?.parallelism ?? 1) > 0 }
}
