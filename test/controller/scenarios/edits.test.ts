/** Plans, selections and labels that change under a rollout (design §4.5): backed out before the point of no return, driven to a verdict after it. */
import { describe, expect } from '@jest/globals'
import type { StandardClusterOptions } from '../../../src/sandbox/standard-cluster.ts'
import { agents, agentsOnly, blocked, MINUTE, NEW, OLD, story, type Story } from './story.ts'

const AGENTS = ['agent-1', 'agent-2', 'agent-3']
const NEWER = 'v1.33.5+rke2r1'
/** The server is ahead of all, so that agents may go anywhere below. */
const roomy = (options: StandardClusterOptions): StandardClusterOptions => ({
  ...options,
  machine: (spec) => {
    const made = options.machine?.(spec) ?? spec
    return spec.role === 'server' ? { ...made, version: NEWER } : made
  },
})
const replaced = (s: Story, node: string) =>
  (s.sandbox.machines.get(node)?.timeline ?? []).filter((event) => event.what === 'replaced').map((event) => event.detail)
const inUpgrade = (s: Story) => AGENTS.find((node) => s.record(node).work?.startedAt !== undefined && s.runs(node) > 0)

/** The drain of the first node hangs on a budget. */
async function hangInDrain(s: Story, spec: object = {}): Promise<string> {
  await s.begin()
  await s.apply(agents({ drain: { force: true }, ...spec }))
  await s.until('a node is cordoned', () => AGENTS.some((node) => s.cordoned(node)), 10 * MINUTE)
  await s.wait(MINUTE)
  return AGENTS.find((node) => s.cordoned(node))!
}

async function allOn(s: Story, version: string): Promise<void> {
  await s.until('all is done', () => s.complete('agents') && AGENTS.every((node) => s.label(node) === s.hash()))
  expect(AGENTS.map((node) => [s.node(node).status.nodeInfo.kubeletVersion, s.cordoned(node), s.record(node)])).toEqual(
    AGENTS.map(() => [version, false, {}]),
  )
}

describe('another version', () => {
  story(
    'before the point of no return: the node is backed out and goes straight to the newer one',
    { cluster: roomy(blocked) },
    async (s) => {
      const node = await hangInDrain(s)
      const { hash } = s.record(node).work!
      await s.patchPlan('agents', { version: NEWER, drain: null })
      await s.until('backed out', () => s.record(node).work?.hash !== hash, MINUTE)
      await allOn(s, NEWER)
      for (const name of AGENTS) expect([name, replaced(s, name)]).toEqual([name, [NEWER]])
      expect(s.events('BackedOut').map((event) => event.on)).toEqual([`Node/${node}`])
    },
  )

  story(
    'after it: the running upgrade is driven to its verdict under its own hash, then the newer one follows',
    { cluster: roomy(agentsOnly) },
    async (s) => {
      await s.begin()
      await s.apply(agents())
      await s.until('an upgrade runs', () => inUpgrade(s) !== undefined)
      const node = inUpgrade(s)!
      const { hash } = s.record(node).work!
      await s.patchPlan('agents', { version: NEWER })
      await s.until('labelled with the hash of its record', () => s.label(node) === hash)
      expect(s.node(node).status.nodeInfo.kubeletVersion).toBe(NEW)
      expect(s.hash()).not.toBe(hash)
      await allOn(s, NEWER)
      for (const name of AGENTS) expect([name, replaced(s, name)]).toEqual([name, name === node ? [NEW, NEWER] : [NEWER]])
    },
  )

  story('lower than what runs: held, named, and no node is touched', {}, async (s) => {
    await s.begin()
    await s.apply(agents())
    await s.until('all is done', () => s.complete('agents'))
    const before = s.sandbox.clock.mono()
    await s.patchPlan('agents', { version: OLD })
    await s.until('held', () => /Downgrade/.test(s.condition('agents', 'Complete')), MINUTE)
    await s.wait(60 * MINUTE)
    expect(s.condition('agents', 'Complete')).toMatch(/agent-\d is at v1\.33\.4\+rke2r1, above the target v1\.33\.3/)
    expect(s.writes({ since: before, resource: 'nodes' })).toEqual([])
    expect(s.writes({ since: before, resource: 'pods' })).toEqual([])
    expect(s.applying()).toEqual([])
  })
})

describe('another selection', () => {
  story('before the point of no return: the node that is no longer selected is given back', { cluster: blocked }, async (s) => {
    const node = await hangInDrain(s)
    const others = AGENTS.filter((name) => name !== node)
    await s.patchPlan('agents', {
      nodeSelector: { matchExpressions: [{ key: 'kubernetes.io/hostname', operator: 'In', values: others }] },
      drain: null,
    })
    await s.until('given back', () => !s.cordoned(node) && s.record(node).work === undefined, MINUTE)
    await s.until('the others are done', () => s.complete('agents'))
    expect([s.runs(node), s.label(node)]).toEqual([0, undefined])
  })

  story('after it: the node is driven to its verdict all the same', {}, async (s) => {
    await s.begin()
    await s.apply(agents())
    await s.until('an upgrade runs', () => inUpgrade(s) !== undefined)
    const node = inUpgrade(s)!
    const others = AGENTS.filter((name) => name !== node)
    await s.patchPlan('agents', { nodeSelector: { matchExpressions: [{ key: 'kubernetes.io/hostname', operator: 'In', values: others }] } })
    await s.until('all is done', () => s.complete('agents') && s.record(node).work === undefined)
    expect([s.label(node), s.cordoned(node), s.node(node).status.nodeInfo.kubeletVersion]).toEqual([s.hash(), false, NEW])
    expect(s.applying()).toEqual([])
  })

  story('a node that joins later is upgraded, too', {}, async (s) => {
    await s.begin()
    await s.apply(agents())
    await s.until('all is done', () => s.complete('agents'))
    s.sandbox.machine({ name: 'agent-4', role: 'agent', version: OLD })
    await s.until('the new node is done', () => s.sandbox.server.peek('nodes', 'agent-4') !== undefined && s.label('agent-4') === s.hash())
    expect(s.node('agent-4').status.nodeInfo.kubeletVersion).toBe(NEW)
    expect(AGENTS.map((node) => s.cordons(node))).toEqual([1, 1, 1])
  })

  story('a node that joins at the target is done without disruption', {}, async (s) => {
    await s.begin()
    await s.apply(agents())
    await s.until('all is done', () => s.complete('agents'))
    s.sandbox.machine({ name: 'agent-4', role: 'agent', version: NEW })
    await s.until('the new node is done', () => s.sandbox.server.peek('nodes', 'agent-4') !== undefined && s.label('agent-4') === s.hash())
    expect([s.runs('agent-4'), s.cordons('agent-4')]).toEqual([0, 0])
  })
})

describe('other fields', () => {
  story(
    'less concurrency in the middle: who is in flight goes on, nobody is added above the limit',
    { cluster: { ...agentsOnly, agents: 6 } },
    async (s) => {
      const names = [...AGENTS, 'agent-4', 'agent-5', 'agent-6']
      await s.begin()
      await s.apply(agents({ concurrency: 3 }))
      await s.until('three are in flight', () => s.applying().length === 3)
      const taken = [...s.applying()]
      await s.patchPlan('agents', { concurrency: 1 })
      let added = 0
      let seen: readonly string[] = taken
      await s.until('all is done', () => {
        const now = s.applying()
        if (now.some((name) => !seen.includes(name)) && now.length > 1) added++
        seen = now
        return s.complete('agents')
      })
      expect(added).toBe(0)
      expect(names.map((node) => [s.cordons(node), s.label(node)])).toEqual(names.map(() => [1, s.hash()]))
    },
  )

  story('an edit that is no part of the hash re-runs no finished node', {}, async (s) => {
    await s.begin()
    await s.apply(agents())
    await s.until('all is done', () => s.complete('agents'))
    // The last Job gets its TTL.
    await s.wait(MINUTE)
    const before = s.sandbox.clock.mono()
    await s.patchPlan('agents', { upgrade: { image: 'rancher/rke2-upgrade', envs: [{ name: 'A', value: 'b' }] }, concurrency: 3 })
    await s.wait(30 * MINUTE)
    expect(s.writes({ since: before }).filter((write) => write.ref.resource !== 'plans')).toEqual([])
    expect(s.complete('agents')).toBe(true)
  })

  story('removing the label of a finished node runs an OS Plan there again, and only there', {}, async (s) => {
    s.sandbox.programs.set('os-patch', () => Promise.resolve(0))
    await s.begin()
    await s.apply(agents({ upgrade: { image: 'os-patch' }, version: 'v7', cordon: false }))
    await s.until('all is done', () => s.complete('agents'))
    await s.patch('/api/v1/nodes/agent-2', { metadata: { labels: { 'plan.upgrade.cattle.io/agents': null } } })
    await s.until('run again', () => s.runs('agent-2') === 2)
    await s.until('all is done', () => s.complete('agents') && s.label('agent-2') === s.hash())
    await s.wait(30 * MINUTE)
    expect(AGENTS.map((node) => s.runs(node))).toEqual([1, 2, 1])
    // Neither cordon nor drain was asked for.
    expect(AGENTS.map((node) => s.cordons(node))).toEqual([0, 0, 0])
  })

  story('postCompleteDelay: back in service at once, the slot is kept and the label waits', {}, async (s) => {
    await s.begin()
    await s.apply(agents({ postCompleteDelay: '5m', postCompleteLabels: { 'example.com/at': '$(LATEST_VERSION)' } }))
    await s.until('the first is back in service', () => AGENTS.some((node) => s.cordons(node) === 1 && !s.cordoned(node)))
    const back = s.sandbox.clock.mono()
    const node = AGENTS.find((name) => s.cordons(name) === 1)!
    expect([s.label(node), s.applying()]).toEqual([undefined, [node]])
    await s.until('labelled', () => s.label(node) !== undefined)
    expect(s.sandbox.clock.mono() - back).toBeGreaterThan(4.9 * MINUTE)
    expect(s.node(node).metadata.labels['example.com/at']).toBe('v1.33.4-rke2r1')
    await s.until('all is done', () => s.complete('agents'))
  })
})
