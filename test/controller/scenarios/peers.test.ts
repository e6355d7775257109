/** What has gone wrong in other controllers that drain and upgrade nodes, tried on Drover. test/regressions/complaints.yaml says which test is for which report. */
import { describe, expect } from '@jest/globals'
import type { Write } from '../../../src/sandbox/server/types.ts'
import { CONTROLLER, serverPlan } from '../harness.ts'
import { agents, agentsOnly, blocked, calm, HOUR, MINUTE, NEW, story, type Story } from './story.ts'

const AGENTS = ['agent-1', 'agent-2', 'agent-3']
const PDB = '/apis/policy/v1/namespaces/default/poddisruptionbudgets/web'
const spread = { ...blocked, workloads: [{ name: 'web', replicas: 3, spread: false }] }
const draining = (drain: object = {}) => agents({ drain: { force: true, ...drain } })
const isEviction = (write: Write) => write.ref.subresource === 'eviction' && write.user === CONTROLLER
const cordonedNode = (s: Story) => AGENTS.find((node) => s.cordoned(node))

/** Workload pods on the node that have not ended. */
const podsOn = (s: Story, node: string) =>
  s.sandbox.server
    .peekAll('pods', 'default')
    .filter((pod) => {
      const { spec, status } = pod as unknown as { spec: { nodeName?: string }; status: { phase: string } }
      return spec.nodeName === node && status.phase !== 'Succeeded' && status.phase !== 'Failed'
    })
    .map((pod) => pod.metadata.name)

describe('a drain', () => {
  story(
    'ends when the pods are gone, not when they have been told to go; the node is cordoned from before it to its end',
    { cluster: { ...spread, workloads: [{ name: 'web', replicas: 6, graceSeconds: 90 }] } },
    async (s) => {
      await s.begin()
      await s.apply(draining())
      const atStart: [string, boolean, readonly string[]][] = []
      const seen = new Set<string>()
      await s.until('all is done', () => {
        for (const node of AGENTS) {
          if (seen.has(node) || s.record(node).work?.startedAt === undefined) continue
          seen.add(node)
          atStart.push([node, s.cordoned(node), podsOn(s, node)])
        }
        return s.complete('agents')
      })
      expect(atStart.toSorted(([a], [b]) => a.localeCompare(b))).toEqual(AGENTS.map((node) => [node, true, []]))
      expect(s.sandbox.history.filter((write) => isEviction(write) && write.status < 300).length).toBeGreaterThan(0)
    },
  )

  story('asks for evictions and deletes no pod itself', { cluster: spread }, async (s) => {
    await s.begin()
    await s.apply(draining())
    await s.until('all is done', () => s.complete('agents'))
    const deleted = s.sandbox.history.filter(
      (write) => write.user === CONTROLLER && write.verb === 'delete' && write.ref.resource === 'pods' && write.ref.namespace === 'default',
    )
    expect([deleted.length, s.sandbox.history.some(isEviction)]).toEqual([0, true])
  })

  story("has its whole timeout in each attempt: an earlier attempt's time does not count", { cluster: blocked }, async (s) => {
    await s.begin()
    await s.apply(draining({ timeout: '5m' }))
    await s.until('the first attempt failed', () => /DrainTimeout/.test(s.condition('agents', 'Complete')))
    await s.wait(HOUR)
    await s.annotatePlan('agents', { 'drover.io/retry': '1' })
    const node = s.applying()[0]!
    await s.until('cordoned again', () => s.cordoned(node), 2 * MINUTE)
    const began = s.sandbox.clock.mono()
    await s.until('the second attempt failed', () => s.record(node).past?.['system-upgrade/agents']?.attempts === 2)
    expect(s.sandbox.clock.mono() - began).toBeGreaterThan(4.9 * MINUTE)
    expect(s.cordoned(node)).toBe(false)
  })

  story('is over although a pod that tolerates every taint comes back to the node', { cluster: tolerant() }, async (s) => {
    await s.begin()
    await s.apply(draining())
    await s.until('all is done', () => s.complete('agents'), HOUR)
    expect(AGENTS.map((node) => s.node(node).status.nodeInfo.kubeletVersion)).toEqual([NEW, NEW, NEW])
    expect(s.sandbox.history.filter(isEviction).length).toBeLessThan(20)
  })

  story('evicts the pod that it saw, not another of its name', { cluster: blocked }, async (s) => {
    await s.begin()
    await s.apply(draining())
    await s.until(
      'an eviction was refused',
      () => s.sandbox.history.some((write) => isEviction(write) && write.status === 429),
      10 * MINUTE,
    )
    await s.remove(PDB)
    await s.until('all is done', () => s.complete('agents'))
    const asked = s.sandbox.history.filter(isEviction)
    for (const write of asked) {
      const body = write.body as unknown as { deleteOptions?: { preconditions?: { uid?: string } } }
      expect(body.deleteOptions?.preconditions?.uid).toMatch(/^[0-9a-f-]{36}$/)
    }
  })

  story('with disableEviction deletes at once, whatever the budgets say', { cluster: blocked }, async (s) => {
    await s.begin()
    await s.apply(draining({ disableEviction: true }))
    await s.until('all is done', () => s.complete('agents'), 15 * MINUTE)
    expect(s.sandbox.history.some(isEviction)).toBe(false)
  })

  story('of a machine that dies meanwhile says so, and goes on when it is back', { cluster: blocked, sandbox: calm }, async (s) => {
    await s.begin('drover-1', { DROVER_DRAIN_STALLED_AFTER: '10m' })
    await s.apply(draining())
    await s.until('a drain is blocked', () => cordonedNode(s) !== undefined, 10 * MINUTE)
    const node = cordonedNode(s)!
    s.sandbox.machines.get(node)!.powerOff()
    await s.wait(5 * MINUTE)
    await s.remove(PDB)
    await s.wait(15 * MINUTE)
    // Its slot is taken and it counts as unavailable: nobody else is touched.
    expect([AGENTS.filter((name) => s.cordons(name) > 0), s.applying(), s.runs(node)]).toEqual([[node], [node], 0])
    expect(s.condition('agents', 'Stalled')).toMatch(/^True/)
    s.sandbox.machines.get(node)!.powerOn()
    await s.until('all is done', () => s.complete('agents'), HOUR)
  })
})

describe('a cordon', () => {
  story('that the API server did not store is not taken for one: nothing is evicted before it is', { cluster: spread }, async (s) => {
    const cordons = { tried: 0 }
    s.sandbox.faults.onFault = () => void cordons.tried++
    for (let i = 0; i < 12; i++)
      s.sandbox.faults.once(
        i % 4 === 3 ? 'answerLost' : 'serverError',
        (call) => call.user === CONTROLLER && call.verb === 'patch' && call.resource === 'nodes',
      )
    await s.begin()
    await s.apply(draining())
    await s.until('all is done', () => s.complete('agents'))
    expect(cordons.tried).toBe(12)
    const nodeOf = new Map<string, string>()
    const isCordoned = new Map<string, boolean>()
    const evicted: boolean[] = []
    for (const write of s.sandbox.history) {
      const spec = (write.after?.['spec'] ?? {}) as { nodeName?: string; unschedulable?: boolean }
      const name = write.ref.name ?? ''
      if (isEviction(write)) evicted.push(isCordoned.get(nodeOf.get(name) ?? '') === true)
      else if (write.status < 300 && write.ref.resource === 'pods' && spec.nodeName !== undefined) nodeOf.set(name, spec.nodeName)
      else if (write.status < 300 && write.ref.resource === 'nodes') isCordoned.set(name, spec.unschedulable === true)
    }
    expect([evicted.length > 0, evicted.every(Boolean)]).toEqual([true, true])
  })

  story('is on no more nodes than are being worked on, however many wait', { cluster: { ...agentsOnly, agents: 12 } }, async (s) => {
    await s.begin()
    await s.apply(agents({ concurrency: 2 }))
    let most = 0
    await s.until(
      'all is done',
      () => {
        const cordoned = s.sandbox.server
          .peekAll('nodes')
          .filter((node) => (node['spec'] as { unschedulable?: boolean }).unschedulable === true)
        for (const node of cordoned) expect(s.applying()).toContain(node.metadata.name)
        most = Math.max(most, cordoned.length)
        return s.complete('agents')
      },
      2 * HOUR,
    )
    expect(most).toBe(2)
  })
})

describe('a cluster of one node', () => {
  story('is upgraded, with a word about its datastore', { cluster: { servers: 1, agents: 0 } }, async (s) => {
    await s.begin()
    await s.apply(serverPlan({ drain: { force: true } }))
    await s.until('all is done', () => s.complete('server-plan'))
    expect([s.node('server-1').status.nodeInfo.kubeletVersion, s.cordoned('server-1')]).toEqual([NEW, false])
    expect(s.events('EtcdNotRedundant').map((event) => event.type)).toEqual(['Warning'])
  })
})

function tolerant() {
  return {
    ...blocked,
    workloads: [
      {
        name: 'agent',
        replicas: 1,
        template: { tolerations: [{ operator: 'Exists' }], nodeSelector: { 'kubernetes.io/hostname': 'agent-2' } },
      },
    ],
  }
}
