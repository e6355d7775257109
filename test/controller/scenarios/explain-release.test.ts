/** `drover explain` and `drover release` on rollouts that are under way. */
import { describe, expect } from '@jest/globals'
import { explainNode, explainPlan } from '../../../src/cli/explain.ts'
import { lookOnce } from '../../../src/controller/explain.ts'
import { release } from '../../../src/controller/release.ts'
import { createClient } from '../../../src/kube/client/client.ts'
import { settingsFor } from '../harness.ts'
import { agents, agentsOnly, blocked, hangInDrain, MINUTE, NEW, SECOND, story, type Story } from './story.ts'

const AGENTS = ['agent-1', 'agent-2', 'agent-3']
const inUpgrade = (s: Story) => AGENTS.find((node) => s.record(node).work?.startedAt !== undefined && s.runs(node) > 0)

async function explained(s: Story) {
  const before = s.sandbox.history.filter((write) => write.user === 'person').length
  const { world, decision } = await s.sandbox.finish(lookOnce(s.sandbox.process('explain', 'person'), settingsFor()))
  // It reads only.
  expect(s.sandbox.history.filter((write) => write.user === 'person').length).toBe(before)
  return {
    node: (name: string) => explainNode(name, world, decision)?.join('\n'),
    plan: (name: string) => explainPlan(`system-upgrade/${name}`, world, decision)?.join('\n'),
  }
}

async function released(s: Story, all = false) {
  const client = createClient(s.sandbox.process('release', 'person'), { signal: new AbortController().signal })
  return s.sandbox.finish(release(client, { namespace: 'system-upgrade', controllerName: 'system-upgrade-controller', all }))
}

describe('explain', () => {
  story('names the budget that blocks a drain, and why the others wait', { cluster: blocked }, async (s) => {
    const node = await hangInDrain(s)
    const other = AGENTS.find((name) => name !== node)!
    const says = await explained(s)
    expect(says.node(node)).toMatch(
      /^node agent-\d: v1\.33\.3\+rke2r1, Ready True, cordoned by drover\nPlan system-upgrade\/agents: Draining\n/,
    )
    expect(says.node(node)).toMatch(/DrainBlocked: .*default\/web-.*blocked by PodDisruptionBudget\/default\/web/)
    expect(says.node(other)).toMatch(/Plan system-upgrade\/agents: Pending\n.*(ConcurrencyReached|Pulling)/)
    expect(says.plan('agents')).toMatch(new RegExp(`applying ${node}`))
    expect([says.node('nobody'), says.plan('nothing')]).toEqual([undefined, undefined])
  })

  story('does not call finished what no controller has begun with', { cluster: agentsOnly }, async (s) => {
    await s.begin()
    s.crash()
    await s.apply(agents())
    const says = await explained(s)
    expect(says.plan('agents')).toMatch(/\nnothing stands in the way/)
    expect(says.node('agent-1')).toMatch(/agents: Pending\n {2}nothing stands in the way/)
  })

  story('ends when it is asked to', {}, async (s) => {
    const process = s.sandbox.process('explain', 'person')
    const never = () => new Promise<never>(() => undefined)
    const stop = new AbortController()
    const look = lookOnce({ ...process, transport: { send: never, watch: never } }, settingsFor(), stop.signal)
    stop.abort(new Error('SIGINT received'))
    await expect(s.sandbox.finish(look)).rejects.toThrow('SIGINT received')
    expect(s.sandbox.clock.mono()).toBeLessThan(SECOND)
  })

  story('tells every hold of the Plan for a node that has not been taken', {}, async (s) => {
    await s.begin()
    await s.annotateNode('agent-1', { 'drover.io/hold': '' })
    await s.apply(agents({ concurrency: 0 }, { 'drover.io/paused': '' }))
    await s.wait(10 * SECOND)
    const says = await explained(s)
    for (const reason of ['Paused', 'ConcurrencyZero']) expect(says.node('agent-1')).toContain(`${reason}: `)
    expect(says.plan('agents')).toContain('ended by a person')
  })

  story('evaluates gates over objects with the rights of whoever asks, and leaves Prometheus to the controller', {}, async (s) => {
    const object = {
      apiVersion: 'v1',
      kind: 'Namespace',
      name: 'default',
      expect: [{ path: '.status.phase', operator: 'eq', value: 'Gone' }],
    }
    const prometheus = { url: 'https://prometheus.monitoring:9090', query: 'up', expect: { operator: 'eq', value: 1 } }
    await s.begin()
    await s.apply({
      apiVersion: 'drover.io/v1alpha1',
      kind: 'RolloutPolicy',
      metadata: { name: 'default', namespace: 'system-upgrade' },
      spec: {
        gates: [
          { name: 'gone', at: ['NodeStart'], object },
          { name: 'alerts', at: ['NodeStart'], prometheus },
        ],
      },
    })
    await s.apply(agents())
    await s.until('it waits', () => s.condition('agents', 'Complete').includes('gate gone'))
    const [node = ''] = AGENTS.filter((name) => s.nodeStatus('agents', name)?.message?.includes('gate gone'))
    const says = (await explained(s)).node(node)
    expect(says).toContain('GatePending: gate gone of RolloutPolicy default: Namespace default: .status.phase is Active, not Gone')
    expect(says).toContain('gate alerts of RolloutPolicy default: it cannot be evaluated: Prometheus is asked by the controller only')
  })

  story('says Done of a finished node, and that nothing concerns another', {}, async (s) => {
    await s.begin()
    await s.apply(agents())
    await s.until('all is done', () => s.complete('agents'))
    await s.wait(MINUTE)
    const says = await explained(s)
    expect(says.node('agent-1')).toContain(`Plan system-upgrade/agents: Done (label has hash ${s.hash().slice(0, 8)})`)
    expect(says.node('server-1')).toContain('no Plan has anything to do with it')
    expect(says.plan('agents')).toContain('nothing is left to do')
  })

  story('says that the API server does not answer, not that it forbids', {}, async (s) => {
    await s.begin()
    s.sandbox.faults.outage(2 * MINUTE)
    await expect(explained(s)).rejects.toThrow(/^the cluster cannot be read: the watch of \w+ broke off: /)
  })

  story('tells what failed and what to do', {}, async (s) => {
    for (const machine of s.sandbox.machines.values()) machine.trouble.programFailures = 3
    await s.begin()
    await s.apply(agents())
    await s.until('failed', () => /JobFailed/.test(s.condition('agents', 'Complete')))
    const node = s.applying()[0]!
    const says = await explained(s)
    expect(says.node(node)).toMatch(/Plan system-upgrade\/agents: Failed\n.*PreviousFailure: .*BackoffLimitExceeded.*drover\.io\/retry/)
  })
})

describe('release', () => {
  story('before the point of no return: uncordoned, no slot, no record, no pull pods', { cluster: blocked }, async (s) => {
    const node = await hangInDrain(s)
    s.crash()
    const { done, left } = await released(s)
    expect(left).toEqual([])
    expect(done).toContain(`node ${node}: uncordoned and released`)
    expect([s.cordoned(node), s.record(node), s.applying()]).toEqual([false, {}, []])
    expect(s.node(node).metadata.labels['drover.io/in-flight']).toBeUndefined()
    expect(s.sandbox.server.peekAll('pods', 'system-upgrade')).toEqual([])
    expect((await released(s)).done).toEqual([])
  })

  story('after it: left and told; with all, the record goes and the Job goes on', {}, async (s) => {
    await s.begin()
    await s.apply(agents())
    await s.until('an upgrade runs', () => inUpgrade(s) !== undefined)
    const node = inUpgrade(s)!
    s.crash()
    const first = await released(s)
    expect(first.left.join()).toMatch(new RegExp(`node ${node}: Plan system-upgrade/agents upgrades it right now`))
    expect([s.cordoned(node), s.applying()]).toEqual([true, [node]])
    const second = await released(s, true)
    expect(second.left).toEqual([])
    expect([s.cordoned(node), s.applying(), s.record(node)]).toEqual([false, [], {}])
    await s.wait(10 * MINUTE)
    expect(s.node(node).status.nodeInfo.kubeletVersion).toBe(NEW)
  })

  story('leaves the cordons of others', {}, async (s) => {
    await s.begin()
    await s.apply(agents())
    await s.until('an upgrade runs', () => inUpgrade(s) !== undefined)
    const node = inUpgrade(s)!
    s.crash()
    await s.setCordon(node, false)
    await s.setCordon(node, true)
    await s.setCordon('agent-1', true)
    await released(s, true)
    expect([s.cordoned(node), s.cordoned('agent-1')]).toEqual([true, true])
  })

  story('with all, then a new start: failures are forgotten and the node is tried again', {}, async (s) => {
    for (const machine of s.sandbox.machines.values()) machine.trouble.programFailures = 3
    await s.begin()
    await s.apply(agents())
    await s.until('failed', () => /JobFailed/.test(s.condition('agents', 'Complete')))
    const node = s.applying()[0]!
    s.crash()
    for (const machine of s.sandbox.machines.values()) machine.trouble.programFailures = 0
    await released(s, true)
    expect([s.cordoned(node), s.applying(), s.record(node)]).toEqual([false, [], {}])
    await s.begin('drover-2')
    await s.until('all is done', () => s.complete('agents'))
    expect(s.label(node)).toBe(s.hash())
  })
})
