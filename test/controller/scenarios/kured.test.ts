/** kured and Drover on the same nodes, with a RolloutPolicy that keeps them out of each other's way. */
import { describe, expect } from '@jest/globals'
import type { ApiObject } from '../../../src/sandbox/server/types.ts'
import { release } from '../../../src/controller/release.ts'
import { createClient } from '../../../src/kube/client/client.ts'
import { agents, agentsOnly, HOUR, MINUTE, SECOND, story, type Story } from './story.ts'

const AGENTS = ['agent-1', 'agent-2', 'agent-3']
const PATH = '/apis/apps/v1/namespaces/kube-system/daemonsets/kured'
const KEY = 'weave.works/kured-node-lock'
const cluster = { ...agentsOnly, workloads: [{ name: 'kured', namespace: 'kube-system', kind: 'DaemonSet', replicas: 1 } as const] }
const policy = {
  apiVersion: 'drover.io/v1alpha1',
  kind: 'RolloutPolicy',
  metadata: { name: 'careful', namespace: 'system-upgrade' },
  spec: { planNames: ['agents'], coordinate: { kured: true } },
}
const lockIn = (object: ApiObject | undefined): { nodeID?: string } | undefined => {
  const text = object?.metadata.annotations?.[KEY]
  return text === undefined ? undefined : (JSON.parse(text) as { nodeID?: string })
}
const holder = (s: Story) => lockIn(s.sandbox.server.peek('daemonsets.apps', 'kured', 'kube-system'))?.nodeID
const setLock = (s: Story, nodeID: string | null) =>
  s.patch(PATH, {
    metadata: { annotations: { [KEY]: nodeID === null ? null : JSON.stringify({ nodeID, created: '2026-01-01T00:00:00Z', TTL: 0 }) } },
  })

describe('coordinate.kured', () => {
  story('while kured reboots a node none is taken, and then kured has to wait until the rollout is over', { cluster }, async (s) => {
    await setLock(s, 'agent-3')
    await s.begin()
    await s.apply(policy)
    await s.apply(agents())
    await s.until(
      'told',
      () => s.condition('agents', 'Complete').startsWith('False KuredLocked: kured holds its lock for node agent-3'),
      5 * MINUTE,
    )
    await s.wait(HOUR)
    expect([AGENTS.map((node) => s.cordons(node)), holder(s)]).toEqual([[0, 0, 0], 'agent-3'])
    await setLock(s, null)
    let without = 0
    await s.until('all is done', () => {
      if (AGENTS.some((node) => s.cordoned(node)) && holder(s) !== 'drover/system-upgrade/system-upgrade-controller') without++
      return s.complete('agents')
    })
    expect(without).toBe(0)
    await s.until('the lock is given back', () => holder(s) === undefined, MINUTE)
    const before = s.writes({ resource: 'daemonsets' }).length
    await s.wait(HOUR)
    expect(s.writes({ resource: 'daemonsets' })).toHaveLength(before)
  })

  story('a leader that dies leaves the lock to the next, who gives it back', { cluster }, async (s) => {
    await s.begin()
    await s.apply(policy)
    await s.apply(agents({ concurrency: 3 }))
    await s.until('under way', () => AGENTS.some((node) => s.cordoned(node)))
    expect(holder(s)).toMatch(/^drover\//)
    s.crash()
    await s.begin('drover-2')
    await s.until('all is done', () => s.complete('agents'))
    await s.until('the lock is given back', () => holder(s) === undefined, MINUTE)
  })

  story('`drover release` gives the lock back as soon as no upgrade goes on', { cluster }, async (s) => {
    await s.begin()
    await s.apply(policy)
    await s.apply(agents())
    await s.until('an upgrade runs', () => AGENTS.some((node) => s.record(node).work?.startedAt !== undefined && s.runs(node) > 0))
    s.crash()
    const client = createClient(s.sandbox.process('release', 'person'), { signal: new AbortController().signal })
    const released = () =>
      s.sandbox.finish(release(client, { namespace: 'system-upgrade', controllerName: 'system-upgrade-controller', all: true }))
    expect((await released()).left).toEqual([expect.stringMatching(/^kured's lock: kept for node agent-\d;/)])
    expect(holder(s)).toMatch(/^drover\//)
    expect(await released()).toEqual({ done: ["kured's lock: given back"], left: [] })
    expect(holder(s)).toBeUndefined()
    await setLock(s, 'agent-3')
    expect([await released(), holder(s)]).toEqual([{ done: [], left: [] }, 'agent-3'])
  })

  story('without its DaemonSet no node is taken, and somebody who says false lets the rollout go on', {}, async (s) => {
    await s.begin()
    await s.apply(policy)
    await s.apply(agents())
    await s.until(
      'told',
      () => /KuredLocked: there is no DaemonSet\/kube-system\/kured/.test(s.condition('agents', 'Complete')),
      5 * MINUTE,
    )
    await s.wait(30 * SECOND)
    expect(AGENTS.map((node) => s.cordons(node))).toEqual([0, 0, 0])
    await s.patch('/apis/drover.io/v1alpha1/namespaces/system-upgrade/rolloutpolicies/careful', { spec: { coordinate: { kured: false } } })
    await s.until('all is done', () => s.complete('agents'))
  })
})
