/** Bad input: a condition that names the field or the cause, an event once, and never a crash, a cordon or a hot loop; others go on (promise 8). */
import { describe, expect } from '@jest/globals'
import { planCRD } from '../../../src/api/crd.ts'
import { sucPlan } from './suc.ts'
import { agents, HOUR, MINUTE, SECOND, story, type Story } from './story.ts'

const onAgent1 = { matchLabels: { 'kubernetes.io/hostname': 'agent-1' } }
const notAgent1 = {
  matchExpressions: [
    { key: 'node-role.kubernetes.io/control-plane', operator: 'DoesNotExist' },
    { key: 'kubernetes.io/hostname', operator: 'NotIn', values: ['agent-1'] },
  ],
}

interface Case {
  readonly name: string
  readonly spec: object
  /** Where it is told, and what the text must say. */
  readonly condition: string
  readonly says: RegExp
  /** Reason of the one event about it. */
  readonly event?: string
}

const CASES: readonly Case[] = [
  {
    name: 'an unknown time zone',
    spec: { window: { days: ['mo'], startTime: '00:00', endTime: '01:00', timeZone: 'Mars/Olympus' } },
    condition: 'Validated',
    says: /^False Error: spec\.window is invalid, .*Mars\/Olympus/,
    event: 'ValidateFailed',
  },
  {
    name: 'a window without a start that can be read',
    spec: { window: { days: ['mo'], startTime: 'soon', endTime: '01:00' } },
    condition: 'Validated',
    says: /^False Error: spec\.window is invalid, .*soon/,
    event: 'ValidateFailed',
  },
  {
    name: 'a negative delay',
    spec: { postCompleteDelay: '-5m' },
    condition: 'Validated',
    says: /^False Error: spec\.postCompleteDelay is negative/,
    event: 'ValidateFailed',
  },
  {
    name: 'both delete fields of drain',
    spec: { drain: { deleteLocalData: true, deleteEmptydirData: true } },
    condition: 'Validated',
    says: /^False Error: spec\.drain cannot specify both deleteEmptydirData and deleteLocalData/,
    event: 'ValidateFailed',
  },
  {
    name: 'a pod selector that selects nothing',
    spec: { drain: { podSelector: { matchExpressions: [{ key: 'a b', operator: 'Exists' }] } } },
    condition: 'Validated',
    says: /^False Error: .*a b/,
    event: 'ValidateFailed',
  },
  {
    name: 'a Secret that is missing',
    spec: { secrets: [{ name: 'config', path: '/x' }] },
    condition: 'Validated',
    says: /^False Error: secrets "config" not found/,
    event: 'ValidateFailed',
  },
  {
    name: 'neither version nor channel',
    spec: { version: undefined },
    condition: 'LatestResolved',
    says: /^False Error: cannot resolve plan: missing channel and version/,
    event: 'ResolveFailed',
  },
  {
    name: 'a drain timeout that is no duration',
    spec: { drain: { timeout: 'ten' } },
    condition: 'Complete',
    says: /^False PlanInvalid: spec\.drain\.timeout: .*"ten"/,
  },
  { name: 'no concurrency', spec: { concurrency: undefined }, condition: 'Complete', says: /spec\.concurrency/ },
  {
    name: 'an image pinned to another tag than the version',
    spec: { upgrade: { image: 'rancher/rke2-upgrade:v1.33.5-rke2r1' } },
    condition: 'Complete',
    says: /^False ImageVersionMismatch: spec\.upgrade\.image .*v1\.33\.5-rke2r1.*v1\.33\.4-rke2r1/,
  },
]

/** Requests of the controller, its Lease and watches aside. */
function requests(s: Story): number {
  let sum = 0
  for (const row of s.sandbox.server.requests.rows())
    if (row.user.endsWith(':drover') && row.resource !== 'leases' && row.verb !== 'watch') sum += row.count
  return sum
}

describe('a bad Plan beside a good one', () => {
  for (const { name, spec, condition, says, event } of CASES) {
    story(name, {}, async (s) => {
      const run = await s.begin()
      await s.apply(agents({ nodeSelector: notAgent1, ...spec }, {}, 'bad'))
      await s.apply(agents({ nodeSelector: onAgent1 }, {}, 'good'))
      await s.until('the cause is told', () => says.test(s.condition('bad', condition)), 30 * SECOND)
      await s.until('the good one is done', () => s.complete('good'))
      await s.wait(HOUR)
      const before = requests(s)
      await s.wait(HOUR)
      expect(requests(s) - before).toBeLessThanOrEqual(4)
      expect(s.condition('bad', condition)).toMatch(says)
      expect(s.complete('bad')).toBe(false)
      expect(s.applying('bad')).toEqual([])
      expect(['agent-2', 'agent-3'].map((node) => [s.cordons(node), s.runs(node)])).toEqual([
        [0, 0],
        [0, 0],
      ])
      if (event !== undefined) expect(s.events(event).map((entry) => [entry.on, entry.count])).toEqual([['Plan/bad', 1]])
      expect(run.alive).toBe(true)
    })
  }

  story('one that does not fit its schema, from before the schema was enforced', {}, async (s) => {
    const [version] = planCRD.spec.versions
    const loose = { type: 'object', 'x-kubernetes-preserve-unknown-fields': true }
    await s.apply({
      ...planCRD,
      spec: {
        ...planCRD.spec,
        versions: [{ ...version, schema: { openAPIV3Schema: { type: 'object', properties: { spec: loose, status: loose } } } }],
      },
    })
    await s.wait(SECOND)
    await s.apply(agents({ nodeSelector: notAgent1, concurrency: 'many' }, {}, 'bad'))
    await s.apply(agents({ nodeSelector: notAgent1, upgrade: null }, {}, 'worse'))
    await s.apply(agents({ nodeSelector: onAgent1, drain: { timeout: 90_000_000_000 } }, {}, 'good'))
    const run = await s.begin()
    await s.until('the good one is done', () => s.complete('good'))
    await s.wait(HOUR)
    expect(
      s
        .events('ValidateFailed')
        .map((event) => `${event.on} ${event.type} ${event.count}`)
        .toSorted(),
    ).toEqual(['Plan/bad Warning 1', 'Plan/worse Warning 1'])
    expect(s.events('ValidateFailed').find((event) => event.on === 'Plan/bad')?.message).toMatch(/spec\.concurrency/)
    expect(s.events('ValidateFailed').find((event) => event.on === 'Plan/worse')?.message).toMatch(/spec\.upgrade/)
    const before = requests(s)
    await s.wait(HOUR)
    // This API server refuses a status of an object that does not fit its schema: each of the two is tried once a minute at most.
    expect(requests(s) - before).toBeLessThanOrEqual(2 * 60)
    expect(['agent-2', 'agent-3'].map((node) => s.cordons(node))).toEqual([0, 0])
    expect(run.alive).toBe(true)
  })

  story('one that does not fit its schema is told so in its status, where the API server takes it', {}, async (s) => {
    await s.begin()
    const [version] = planCRD.spec.versions
    const loose = { type: 'object', 'x-kubernetes-preserve-unknown-fields': true }
    await s.patch('/apis/apiextensions.k8s.io/v1/customresourcedefinitions/plans.upgrade.cattle.io', {
      spec: { versions: [{ ...version, schema: { openAPIV3Schema: { type: 'object', properties: { spec: loose, status: loose } } } }] },
    })
    await s.apply(agents({ nodeSelector: notAgent1, concurrency: 'many' }, {}, 'bad'))
    await s.apply(agents({ nodeSelector: onAgent1 }, {}, 'good'))
    await s.until('told', () => /spec\.concurrency/.test(s.condition('bad', 'Validated')), 30 * SECOND)
    expect(s.condition('bad', 'Ready')).toMatch(/^False PlanUnreadable: .*spec\.concurrency/)
    await s.until('the good one is done', () => s.complete('good'))
    await s.wait(HOUR)
    expect(s.events('ValidateFailed').map((event) => [event.on, event.count])).toEqual([['Plan/bad', 1]])
    const before = requests(s)
    await s.wait(HOUR)
    expect(requests(s) - before).toBeLessThanOrEqual(4)
    // Put right, it goes on.
    await s.patchPlan('bad', { concurrency: 1 })
    await s.until('the other is done, too', () => s.complete('bad'))
  })

  story("another node's record says nothing about this one", {}, async (s) => {
    const plan = await sucPlan(s, agents(), [])
    const past = {
      hash: plan.hash,
      result: 'Failed',
      attempts: 3,
      reason: 'JobFailed',
      message: 'x',
      at: '2026-01-01T00:00:00Z',
      target: 'v1.33.4-rke2r1',
      kubernetes: true,
      disruptive: true,
      retrySeen: '',
      generation: 1,
    }
    await s.annotateNode('agent-2', {
      'drover.io/node-upgrade': JSON.stringify({ v: 1, nodeUID: 'another', past: { 'system-upgrade/agents': past } }),
    })
    await s.patch(`/apis/upgrade.cattle.io/v1/namespaces/system-upgrade/plans/agents/status`, { status: { applying: ['agent-2'] } })
    await s.begin()
    await s.until('all is done', () => s.complete('agents'))
    expect(s.runs('agent-2')).toBeGreaterThan(0)
  })

  story('a node record that cannot be read holds that node alone and is never overwritten', {}, async (s) => {
    await s.annotateNode('agent-2', { 'drover.io/node-upgrade': '{"v":7,"x":1}' })
    await s.begin()
    await s.apply(agents())
    await s.until('the others are done', () => s.label('agent-1') === s.hash() && s.label('agent-3') === s.hash() && s.hash() !== '')
    await s.wait(10 * MINUTE)
    expect(s.node('agent-2').metadata.annotations?.['drover.io/node-upgrade']).toBe('{"v":7,"x":1}')
    expect(s.condition('agents', 'Complete')).toMatch(/RecordUnreadable.*agent-2/)
    expect(s.cordons('agent-2')).toBe(0)
    await s.annotateNode('agent-2', { 'drover.io/node-upgrade': null })
    await s.until('all is done', () => s.complete('agents'))
  })

  story('a rollout memory that cannot be read holds its Plan alone and is never overwritten', {}, async (s) => {
    await s.begin()
    await s.apply(agents({ nodeSelector: notAgent1 }, { 'drover.io/rollout': 'what?' }, 'bad'))
    await s.apply(agents({ nodeSelector: onAgent1 }, {}, 'good'))
    await s.until('the good one is done', () => s.complete('good'))
    expect(s.condition('bad', 'Complete')).toMatch(/MemoryUnreadable/)
    await s.wait(10 * MINUTE)
    expect((s.plan('bad') as unknown as { metadata: { annotations: object } }).metadata.annotations).toMatchObject({
      'drover.io/rollout': 'what?',
    })
    expect(['agent-2', 'agent-3'].map((node) => s.cordons(node))).toEqual([0, 0])
    await s.annotatePlan('bad', { 'drover.io/rollout': null })
    await s.until('all is done', () => s.complete('bad'))
  })

  story('nodes without, and with the same, hostname label are named and left alone; the others go on', {}, async (s) => {
    await s.patch('/api/v1/nodes/agent-1', { metadata: { labels: { 'kubernetes.io/hostname': 'twin' } } })
    await s.patch('/api/v1/nodes/agent-2', { metadata: { labels: { 'kubernetes.io/hostname': 'twin' } } })
    await s.begin()
    await s.apply(agents({ concurrency: 3 }))
    await s.until('the third is done', () => s.label('agent-3') === s.hash() && s.hash() !== '')
    await s.wait(10 * MINUTE)
    expect(s.condition('agents', 'Complete')).toMatch(/HostnameDuplicate: nodes agent-1, agent-2 share/)
    expect(['agent-1', 'agent-2'].map((node) => [s.cordons(node), s.runs(node)])).toEqual([
      [0, 0],
      [0, 0],
    ])
  })

  story('a Plan that selects no node is Complete, says why, and warns', {}, async (s) => {
    await s.begin()
    await s.apply(agents({ nodeSelector: { matchLabels: { nobody: 'here' } } }))
    await s.until('told', () => s.complete('agents'), MINUTE)
    await s.wait(MINUTE)
    expect(s.condition('agents', 'Complete')).toMatch(/^True NoMatchingNodes/)
    expect(s.events('NoMatchingNodes').map((event) => [event.type, event.count])).toEqual([['Warning', 1]])
  })
})
