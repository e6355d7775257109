/** DROVER_COMPATIBILITY=strict: what SUC does, done by us (design §4, last part; contract: Job, After the Job, Window, Events). */
import { describe, expect } from '@jest/globals'
import type { ApiObject } from '../../../src/sandbox/server/types.ts'
import { agentPlan, serverPlan } from '../harness.ts'
import { sucJobOn, sucPlan } from './suc.ts'
import { agents, agentsOnly, HOUR, MINUTE, NEW, OLD, PLANS, SECOND, story, type Story } from './story.ts'

const STRICT = { DROVER_COMPATIBILITY: 'strict' }
const AGENTS = ['agent-1', 'agent-2', 'agent-3']
const SUC_EVENTS = new Set(
  'Validated ValidateFailed Resolved ResolveFailed SyncJob Waiting JobComplete JobCompleteWaiting JobFailed SelectNodesFailed ValidationFailed Complete'.split(
    ' ',
  ),
)

const strictly = (s: Story, name?: string) => s.begin(name, STRICT)
const others = (node: string) => AGENTS.filter((name) => name !== node)
const statusOf = (s: Story, plan: string) => (s.plan(plan)?.status ?? {}) as Record<string, unknown>
const conditionsOf = (s: Story, plan: string) =>
  s
    .plan(plan)
    ?.status?.conditions?.map(({ type }) => type)
    .sort()
const planEvents = (s: Story) => s.events().filter(({ on }) => on.startsWith('Plan/'))
const liveJob = (s: Story, node: string) =>
  s
    .jobs()
    .find((job) => job.metadata.labels?.['upgrade.cattle.io/node'] === node && job.spec.parallelism === 1 && (job.status?.active ?? 0) > 0)
/** Who cordoned the node, in order. */
const cordoners = (s: Story, node: string) =>
  s.sandbox.history
    .filter((write) => write.ref.resource === 'nodes' && write.ref.name === node && write.status < 300)
    .filter((write) => unschedulable(write.after) && !unschedulable(write.before))
    .map((write) => write.user)
const unschedulable = (object: ApiObject | undefined) =>
  (object?.['spec'] as { unschedulable?: boolean } | undefined)?.unschedulable === true
const jobsMadeFor = (s: Story, node: string) =>
  s.sandbox.history.filter(
    (write) =>
      write.ref.resource === 'jobs' &&
      write.verb === 'create' &&
      write.status < 300 &&
      write.after?.metadata.labels?.['upgrade.cattle.io/node'] === node,
  )

/** Nothing that SUC does not know, on any Plan. */
function expectOnlySUC(s: Story, plan: string): void {
  const status = statusOf(s, plan)
  expect(Object.keys(status).sort()).toEqual(['applying', 'conditions', 'latestHash', 'latestVersion'])
  expect(conditionsOf(s, plan)).toEqual(['Complete', 'LatestResolved', 'Validated'])
  expect(
    planEvents(s)
      .map(({ reason }) => reason)
      .filter((reason) => !SUC_EVENTS.has(reason)),
  ).toEqual([])
}

function expectAllDone(s: Story, nodes: readonly string[], plan = 'agents'): void {
  for (const node of nodes) {
    expect([node, s.node(node).status.nodeInfo.kubeletVersion, s.label(node, plan), s.cordoned(node), s.record(node)]).toEqual([
      node,
      NEW,
      s.hash(plan),
      false,
      {},
    ])
    expect(s.node(node).metadata.labels['drover.io/in-flight']).toBeUndefined()
  }
}

describe("the documents' pair", () => {
  const cluster = { servers: 3, agents: 3, workloads: [{ name: 'web', replicas: 3, minAvailable: 2 }] }
  story('goes through by init containers: kubectl cordons and drains, the Job decides, nothing is added', { cluster }, async (s) => {
    await strictly(s)
    await s.apply(serverPlan())
    await s.apply(agentPlan())
    await s.until('both are complete', () => s.complete('server-plan') && s.complete('agent-plan'), HOUR)
    expectAllDone(s, ['server-1', 'server-2', 'server-3'], 'server-plan')
    expectAllDone(s, AGENTS, 'agent-plan')
    for (const plan of ['server-plan', 'agent-plan']) {
      expectOnlySUC(s, plan)
      expect(s.applying(plan)).toEqual([])
    }
    for (const node of ['server-1', ...AGENTS]) expect(cordoners(s, node)).toEqual(['system:serviceaccount:system-upgrade:system-upgrade'])
    const evictions = s.sandbox.history.filter((write) => write.ref.subresource === 'eviction' && write.status < 300)
    expect(evictions.length).toBeGreaterThan(0)
    expect(new Set(evictions.map((write) => write.user))).toEqual(new Set(['system:serviceaccount:system-upgrade:system-upgrade']))
    expect(s.writes({ resource: 'pods' })).toEqual([])
    expect(s.sandbox.history.filter((write) => write.dryRun)).toEqual([])
    const [job] = jobsMadeFor(s, 'agent-1').map((write) => write.after as ApiObject & { spec: { template: { spec: object } } })
    expect(job?.metadata.ownerReferences).toEqual([expect.objectContaining({ kind: 'Plan', name: 'agent-plan', controller: true })])
    expect(job?.spec).toMatchObject({
      parallelism: 0,
      template: {
        spec: { initContainers: [{ name: 'prepare' }, { name: 'drain', args: expect.arrayContaining(['drain', 'agent-1', '--force']) }] },
      },
    })
    expect(
      planEvents(s)
        .filter(({ reason }) => reason === 'JobComplete')
        .map(({ message }) => message),
    ).toEqual(expect.arrayContaining(['Job completed on Node server-1', 'Job completed on Node agent-3']))
    expect(s.events('SyncJob')[0]?.message).toMatch(/^Jobs synced for version v1\.33\.4-rke2r1 on Nodes \S+\. Hash: [0-9a-f]{56}$/)
  })
})

describe('a Job that fails', () => {
  async function failFirst(s: Story, spec: object = {}): Promise<string> {
    for (const [name, machine] of s.sandbox.machines) if (name.startsWith('agent')) machine.trouble.programFailures = 3
    await strictly(s)
    await s.apply(agents(spec))
    await s.until('the Plan reports the failure', () => s.condition('agents', 'Complete').includes('JobFailed'))
    return s.applying()[0] ?? ''
  }

  story(
    'stops the Plan at concurrency 1 as with SUC: condition and event, node cordoned and in applying, Job kept for its TTL',
    {},
    async (s) => {
      const node = await failFirst(s)
      const message = `Job system-upgrade/${jobsMadeFor(s, node)[0]?.ref.name} failed on Node ${node}: BackoffLimitExceeded: Job has reached the specified backoff limit`
      expect(s.condition('agents', 'Complete')).toBe(`False JobFailed: ${message}`)
      expect(planEvents(s).filter(({ reason }) => reason === 'JobFailed')).toMatchObject([{ type: 'Warning', message }])
      expect(s.jobs().length).toBe(1)
      await s.wait(10 * MINUTE)
      expect(s.jobs().length).toBe(1)
      await s.wait(HOUR)
      expect(s.jobs()).toEqual([])
      expect([s.applying(), s.cordoned(node), s.runs(node)]).toEqual([[node], true, 3])
      for (const other of others(node)) expect([other, s.cordons(other), s.runs(other)]).toEqual([other, 0, 0])
      expectOnlySUC(s, 'agents')
    },
  )

  story('drover.io/retry runs it once more, and the rollout goes on', {}, async (s) => {
    const node = await failFirst(s)
    for (const machine of s.sandbox.machines.values()) machine.trouble.programFailures = 0
    await s.annotatePlan('agents', { 'drover.io/retry': '1' })
    await s.until('all is done', () => s.complete('agents'))
    expect(jobsMadeFor(s, node).length).toBe(2)
    expectAllDone(s, AGENTS)
  })

  story('a node that comes to the target after all is not taken for done: the Job has spoken', {}, async (s) => {
    const node = await failFirst(s)
    const machine = s.sandbox.machines.get(node)!
    machine.replaceBinary(NEW)
    machine.restartService()
    await s.wait(30 * MINUTE)
    expect(s.node(node).status.nodeInfo.kubeletVersion).toBe(NEW)
    expect([s.applying(), s.label(node)]).toEqual([[node], undefined])
  })

  const bare = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'bare', namespace: 'default' },
    spec: { nodeName: 'agent-2', containers: [{ name: 'main', image: 'registry.example/app:1' }] },
  }
  const onlyAgent2 = { nodeSelector: { matchLabels: { 'kubernetes.io/hostname': 'agent-2' } } }
  story('a drain that fails in its init container fails the Job before anything is upgraded', {}, async (s) => {
    await s.apply(bare)
    await strictly(s)
    await s.apply(agents({ drain: {}, ...onlyAgent2 }))
    await s.until('the Plan reports the failure', () => s.condition('agents', 'Complete').includes('JobFailed'))
    expect([s.runs('agent-2'), s.cordoned('agent-2'), s.applying()]).toEqual([0, true, ['agent-2']])
    expect(s.sandbox.server.peek('pods', 'bare', 'default')).toBeDefined()
    await s.patchPlan('agents', { drain: { force: true } })
    await s.until('all is done', () => s.complete('agents'))
    expect(s.sandbox.server.peek('pods', 'bare', 'default')).toBeUndefined()
    expectAllDone(s, ['agent-2'])
  })
})

describe('the window', () => {
  const clockTime = (ms: number) => new Date(ms).toISOString().slice(11, 19)
  const days = ['su', 'mo', 'tu', 'we', 'th', 'fr', 'sa']

  story('that closes mid-way does not stop a rollout that has begun', {}, async (s) => {
    const now = s.sandbox.clock.wall()
    await strictly(s)
    await s.apply(agents({ window: { days, startTime: clockTime(now - MINUTE), endTime: clockTime(now + MINUTE), timeZone: 'UTC' } }))
    await s.until('the first is taken', () => s.applying().length === 1, 30 * SECOND)
    await s.wait(2 * MINUTE)
    await s.until('all is done', () => s.complete('agents'))
    expectAllDone(s, AGENTS)
  })

  story('that is closed at the start is waited for', {}, async (s) => {
    const opens = s.sandbox.clock.wall() + 20 * MINUTE
    await strictly(s)
    await s.apply(agents({ window: { days, startTime: clockTime(opens), endTime: clockTime(opens + HOUR), timeZone: 'UTC' } }))
    await s.until(
      'it waits',
      () => s.condition('agents', 'Complete') === 'False Waiting: current time is not within configured window',
      MINUTE,
    )
    await s.wait(SECOND)
    expect(s.events('Waiting').map(({ message }) => message)).toEqual([
      `Waiting for start of Spec.Window to sync Jobs for version v1.33.4-rke2r1. Hash: ${s.hash()}`,
    ])
    await s.wait(15 * MINUTE)
    expect(s.jobs()).toEqual([])
    await s.until('all is done', () => s.complete('agents'))
    expectOnlySUC(s, 'agents')
  })
})

describe('without guards', () => {
  story("a cordon of somebody else's is lifted with success, as SUC lifts it", {}, async (s) => {
    await s.setCordon('agent-1', true)
    await strictly(s)
    await s.apply(agents())
    await s.until('all is done', () => s.complete('agents'))
    expectAllDone(s, AGENTS)
  })

  story('a downgrade is run, and concurrency 0 is complete at once', { cluster: { ...agentsOnly, version: NEW } }, async (s) => {
    await strictly(s)
    await s.apply(agents({ version: OLD, concurrency: 0 }))
    await s.until('it says Complete', () => s.complete('agents'), MINUTE)
    expect(AGENTS.map((node) => s.label(node))).toEqual([undefined, undefined, undefined])
    await s.patchPlan('agents', { concurrency: 3 })
    await s.until('all is done', () => AGENTS.every((node) => s.label(node) === s.hash()))
    expect(AGENTS.map((node) => s.node(node).status.nodeInfo.kubeletVersion)).toEqual([OLD, OLD, OLD])
  })

  story('a hold by a person counts all the same', {}, async (s) => {
    for (const node of AGENTS) await s.annotateNode(node, { 'drover.io/hold': 'true' })
    await strictly(s)
    await s.apply(agents())
    await s.wait(10 * MINUTE)
    expect(s.jobs()).toEqual([])
    expect(s.condition('agents', 'Complete')).toBe('False Resolved: ')
    for (const node of AGENTS) await s.annotateNode(node, { 'drover.io/hold': null })
    await s.until('all is done', () => s.complete('agents'))
  })
})

describe('Plans that change', () => {
  const upgrading = (s: Story) => AGENTS.find((node) => liveJob(s, node) !== undefined && s.cordoned(node))

  story('a deleted Plan takes its Jobs with it; the node is given back', {}, async (s) => {
    for (const machine of s.sandbox.machines.values()) machine.trouble.hangs = true
    await strictly(s)
    await s.apply(agents())
    await s.until('a Job runs', () => upgrading(s) !== undefined)
    const node = upgrading(s) ?? ''
    await s.wait(10 * SECOND)
    await s.remove(`${PLANS}/agents`)
    await s.until('the node is free', () => !s.cordoned(node) && s.record(node).work === undefined, 5 * MINUTE)
    expect(s.jobs()).toEqual([])
    expect(s.node(node).metadata.labels['drover.io/in-flight']).toBeUndefined()
  })

  story("a new version deletes the old one's Job and begins on the same node", {}, async (s) => {
    for (const machine of s.sandbox.machines.values()) machine.trouble.hangs = true
    await strictly(s)
    await s.apply(agents({ version: 'v1.33.5+rke2r1' }))
    await s.until('a Job runs', () => upgrading(s) !== undefined)
    const node = upgrading(s) ?? ''
    const [first] = jobsMadeFor(s, node)
    for (const machine of s.sandbox.machines.values()) machine.trouble.hangs = false
    await s.patchPlan('agents', { version: NEW })
    await s.until(
      'the first is gone',
      () => s.sandbox.server.peek('jobs', first?.ref.name ?? '', 'system-upgrade') === undefined,
      5 * MINUTE,
    )
    await s.until('the node is done', () => s.label(node) === s.hash(), 10 * MINUTE)
    expect(others(node).map((other) => jobsMadeFor(s, other).length)).toEqual([0, 0])
    await s.until('all is done', () => s.complete('agents'))
    expectAllDone(s, AGENTS)
    expect(s.cordons(node)).toBe(1)
  })

  story('a Job that a person deletes is made again', {}, async (s) => {
    for (const machine of s.sandbox.machines.values()) machine.trouble.hangs = true
    await strictly(s)
    await s.apply(agents())
    await s.until('a Job runs', () => upgrading(s) !== undefined)
    const node = upgrading(s) ?? ''
    for (const machine of s.sandbox.machines.values()) machine.trouble.hangs = false
    await s.remove(`/apis/batch/v1/namespaces/system-upgrade/jobs/${liveJob(s, node)?.metadata.name}`)
    await s.until('all is done', () => s.complete('agents'))
    expect(jobsMadeFor(s, node).length).toBe(2)
    expectAllDone(s, AGENTS)
  })
})

describe('whoever dies or changes in between', () => {
  const moments: readonly (readonly [string, (s: Story) => boolean])[] = [
    ['after the claim', (s) => s.applying().length > 0],
    ['after the record', (s) => AGENTS.some((node) => s.record(node).work !== undefined)],
    ['with a paused Job', (s) => s.jobs().some((job) => job.spec.parallelism === 0)],
    ['after the start', (s) => AGENTS.some((node) => s.record(node).work?.startedAt !== undefined)],
    ['while it runs', (s) => AGENTS.some((node) => liveJob(s, node) !== undefined && s.cordoned(node))],
    ['after success', (s) => s.jobs().some((job) => job.status?.conditions?.some(({ type }) => type === 'Complete') === true)],
  ]
  for (const [moment, holds] of moments) {
    story(`a controller killed ${moment} costs no node a second Job`, {}, async (s) => {
      await strictly(s, 'drover-1')
      await s.apply(agents())
      await s.until(moment, () => holds(s))
      s.crash()
      await s.wait(3 * MINUTE)
      await strictly(s, 'drover-2')
      await s.until('all is done', () => s.complete('agents'))
      expectAllDone(s, AGENTS)
      // A Job that had not been started may be made again; none runs twice.
      for (const node of AGENTS) {
        const started = s.sandbox.history.filter(
          (write) =>
            write.ref.resource === 'jobs' &&
            write.status < 300 &&
            write.after?.metadata.labels?.['upgrade.cattle.io/node'] === node &&
            parallelism(write.before) === 0 &&
            parallelism(write.after) === 1,
        )
        expect([node, started.length, s.cordons(node)]).toEqual([node, 1, 1])
      }
    })
  }

  story('a verdict is not lost when nobody looks for longer than the TTL', {}, async (s) => {
    await strictly(s, 'drover-1')
    await s.apply(agents())
    await s.until('it runs', () => AGENTS.some((node) => liveJob(s, node) !== undefined))
    s.crash()
    await s.wait(HOUR)
    await strictly(s, 'drover-2')
    await s.until('all is done', () => s.complete('agents'))
    expect(AGENTS.map((node) => jobsMadeFor(s, node).length)).toEqual([1, 1, 1])
    await s.wait(HOUR)
    expect(s.jobs()).toEqual([])
  })

  const busy = (s: Story, done: number) => () =>
    AGENTS.filter((node) => s.label(node) === s.hash()).length === done &&
    AGENTS.some((node) => liveJob(s, node) !== undefined && s.cordoned(node))
  story('strict, then native, then strict again, in the middle of each node', {}, async (s) => {
    await strictly(s, 'drover-1')
    await s.apply(agents())
    await s.until('the first runs', busy(s, 0))
    s.crash()
    await s.begin('drover-2')
    await s.until('the second runs', busy(s, 1))
    expect(conditionsOf(s, 'agents')).toContain('Ready')
    s.crash()
    await strictly(s, 'drover-3')
    await s.until('all is done', () => s.complete('agents'))
    expectAllDone(s, AGENTS)
    expect(AGENTS.map((node) => [jobsMadeFor(s, node).length, s.cordons(node)])).toEqual([
      [1, 1],
      [1, 1],
      [1, 1],
    ])
    // What only native mode keeps up to date is taken away rather than left to lie.
    expectOnlySUC({ ...s, events: () => [] }, 'agents')
  })

  story("strict, then native: a node that was claimed and not started is taken by native's own way", {}, async (s) => {
    await strictly(s, 'drover-1')
    await s.apply(agents())
    await s.until('a Job is paused', () => s.jobs().some((job) => job.spec.parallelism === 0))
    s.crash()
    const [first] = s.jobs().map((job) => job.metadata.uid)
    await s.begin('drover-2')
    await s.until('all is done', () => s.complete('agents'))
    expectAllDone(s, AGENTS)
    const started = s.sandbox.history.filter(
      (write) => write.ref.resource === 'jobs' && parallelism(write.before) === 0 && parallelism(write.after) === 1,
    )
    expect(started.map((write) => write.after?.metadata.uid)).not.toContain(first)
  })

  story("SUC's running Job is taken over as it is, with owner and marks, and not repeated", {}, async (s) => {
    const plan = await sucPlan(s, agents(), ['agent-2'])
    await sucJobOn(s, plan, 'agent-2')
    await s.until("SUC's Job has cordoned the node", () => s.cordoned('agent-2'), MINUTE)
    await strictly(s)
    await s.until('all is done', () => s.complete('agents'))
    expect(jobsMadeFor(s, 'agent-2').map((write) => write.user)).toEqual(['admin'])
    expectAllDone(s, AGENTS)
    expect(
      s
        .events('JobComplete')
        .map(({ message }) => message)
        .sort(),
    ).toEqual(AGENTS.map((node) => `Job completed on Node ${node}`))
  })
})

const parallelism = (object: ApiObject | undefined) => (object?.['spec'] as { parallelism?: number } | undefined)?.parallelism
