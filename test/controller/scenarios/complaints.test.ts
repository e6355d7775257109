/** What users of system-upgrade-controller have reported, told on a cluster with Drover in it. test/regressions/complaints.yaml says which test is for which report. */
import { describe, expect } from '@jest/globals'
import { agentPlan, serverPlan } from '../harness.ts'
import { agents, agentsOnly, calm, HOUR, MINUTE, NEW, OLD, SECOND, story, type Story } from './story.ts'

const AGENTS = ['agent-1', 'agent-2', 'agent-3']
const touched = (s: Story, nodes: readonly string[] = AGENTS) => nodes.filter((node) => s.cordons(node) > 0 || s.runs(node) > 0)
const policy = (spec: object) => ({
  apiVersion: 'drover.io/v1alpha1',
  kind: 'RolloutPolicy',
  metadata: { name: 'careful', namespace: 'system-upgrade' },
  spec: { planNames: ['agents'], ...spec },
})

describe('the node before', () => {
  story('is back and Ready before the next one is touched', {}, async (s) => {
    for (const node of AGENTS) s.sandbox.machines.get(node)!.trouble.kubeletStartMs = 6 * MINUTE
    await s.begin()
    await s.apply(agents({ drain: { force: true } }))
    const backAt = new Map<string, number>()
    const cordonedAt = new Map<string, number>()
    await s.until('all is done', () => {
      for (const node of AGENTS) {
        const { ready } = s.sandbox.machines.get(node)!
        const now = s.sandbox.clock.mono()
        if (!cordonedAt.has(node) && s.cordoned(node)) cordonedAt.set(node, now)
        if (!backAt.has(node) && ready && s.node(node).status.nodeInfo.kubeletVersion === NEW) backAt.set(node, now)
      }
      return s.complete('agents')
    })
    const order = [...cordonedAt.keys()]
    expect(order.toSorted()).toEqual(AGENTS)
    for (const [i, node] of order.slice(1).entries()) expect(cordonedAt.get(node)!).toBeGreaterThan(backAt.get(order[i]!)!)
    // It was away for long enough that a Job's word alone would have let the next one go.
    expect(backAt.get(order[0]!)! - cordonedAt.get(order[0]!)!).toBeGreaterThan(6 * MINUTE)
  })

  story('is not Ready any more after its upgrade: no other node is touched, and it is named', {}, async (s) => {
    await s.begin()
    await s.apply(agents())
    await s.until('the first is at work', () => s.applying().some((node) => s.runs(node) > 0))
    const node = s.applying()[0]!
    s.sandbox.machines.get(node)!.trouble.notReady = true
    await s.wait(HOUR)
    expect(touched(s)).toEqual([node])
    expect(s.condition('agents', 'Complete')).toContain(node)
    s.sandbox.machines.get(node)!.trouble.notReady = false
    await s.until('all is done', () => s.complete('agents'))
  })
})

describe('servers that take longer than the deadline of a Job', () => {
  story('cost the waiting agents neither a pod nor a deadline', { cluster: { servers: 3, agents: 2 } }, async (s) => {
    const servers = ['server-1', 'server-2', 'server-3']
    for (const server of servers) s.sandbox.machines.get(server)!.trouble.kubeletStartMs = 12 * MINUTE
    await s.begin()
    await s.apply(agentPlan({ jobActiveDeadlineSecs: 900 }))
    await s.apply(serverPlan({ jobActiveDeadlineSecs: 900 }))
    const begun = s.sandbox.clock.mono()
    await s.until('the servers are done', () => s.complete('server-plan'), 2 * HOUR)
    expect(s.sandbox.clock.mono() - begun).toBeGreaterThan(36 * MINUTE)
    const ofAgents = s.sandbox.history.filter(
      (write) => !write.dryRun && write.verb === 'create' && /agent-plan/.test(write.after?.metadata.name ?? ''),
    )
    expect([ofAgents.filter((write) => /^(jobs|pods)$/.test(write.ref.resource)), touched(s, ['agent-1', 'agent-2'])]).toEqual([[], []])
    await s.until('the agents are done', () => s.complete('agent-plan'))
    expect(s.events('JobFailed')).toEqual([])
  })
})

describe('two Plans that both select a server', () => {
  story(
    'do not wait for each other: the server is upgraded once, and both are complete',
    { cluster: { servers: 1, agents: 2 } },
    async (s) => {
      await s.begin()
      await s.apply(agentPlan({ nodeSelector: {} }))
      await s.apply(serverPlan())
      await s.until('both are done', () => s.complete('agent-plan') && s.complete('server-plan'))
      const replaced = s.sandbox.machines.get('server-1')!.timeline.filter((event) => event.what === 'replaced')
      expect([replaced.length, s.cordons('server-1')]).toEqual([1, 1])
      expect(s.label('server-1', 'agent-plan')).toBe(s.hash('agent-plan'))
    },
  )
})

describe('a registry that cannot be reached', () => {
  const image = `rancher/rke2-upgrade:${NEW.replace('+', '-')}`
  story(
    'does not matter where the image is on the node already; no other image is asked for',
    {
      cluster: { ...agentsOnly, machine: (spec) => ({ ...(spec.role === 'server' ? { ...spec, version: NEW } : spec), images: [image] }) },
    },
    async (s) => {
      s.sandbox.images.missing.add(image)
      await s.begin()
      await s.apply(agents({ drain: { force: true } }))
      await s.until('all is done', () => s.complete('agents'))
      const images = s.sandbox.history
        .filter((write) => write.ref.resource === 'pods' && write.verb === 'create' && write.ref.namespace === 'system-upgrade')
        .flatMap((write) => {
          const spec = (write.after as unknown as { spec: { containers: { image: string }[]; initContainers?: { image: string }[] } }).spec
          return [...(spec.initContainers ?? []), ...spec.containers].map((container) => container.image)
        })
      expect(images.length).toBeGreaterThan(0)
      expect([...new Set(images.map((name) => name.replace(/^docker\.io\//, '')))]).toEqual([image])
    },
  )
})

describe('a reboot that comes after the Job has reported success', () => {
  story('is waited for: the node stays cordoned and no other is taken until the machine has booted anew', {}, async (s) => {
    s.sandbox.programs.set('os-patch', () => Promise.resolve(0))
    await s.begin()
    await s.apply(policy({ verify: { reboot: 'Required' } }))
    await s.apply(agents({ upgrade: { image: 'os-patch' }, version: 'v7' }))
    await s.until('the first Job is complete', () =>
      s.jobs().some((job) => job.status?.conditions?.some(({ type }) => type === 'Complete')),
    )
    const node = s.applying()[0]!
    await s.wait(5 * MINUTE)
    expect([s.cordoned(node), s.label(node), touched(s)]).toEqual([true, undefined, [node]])
    s.sandbox.machines.get(node)!.reboot()
    await s.until('the node is done', () => s.label(node) === s.hash() && !s.cordoned(node), 10 * MINUTE)
    expect(s.runs(node)).toBe(1)
  })
})

describe('an upgrade that fails for ever', () => {
  story('makes no noise: pods, events and writes of hours are counted on the fingers', { sandbox: calm }, async (s) => {
    for (const machine of s.sandbox.machines.values()) machine.trouble.programFailures = 1000
    await s.begin()
    await s.apply(agents())
    await s.until('failed', () => /JobFailed/.test(s.condition('agents', 'Complete')))
    const before = s.sandbox.clock.mono()
    await s.wait(6 * HOUR)
    const pods = s.sandbox.history.filter(
      (write) => !write.dryRun && write.ref.subresource === undefined && write.ref.resource === 'pods' && write.verb === 'create',
    )
    // Three tries of one node; the image of each node is pulled once.
    expect(pods.length).toBeLessThanOrEqual(6)
    expect(s.events('JobFailed').reduce((sum, event) => sum + event.count, 0)).toBeLessThanOrEqual(2)
    expect(s.writes({ since: before }).length).toBeLessThanOrEqual(3)
  })
})

describe('a machine that joins', () => {
  story(
    'without its role labels yet is not taken for an agent before it is Ready, and as a server it follows the rules of servers',
    { cluster: { servers: 1, agents: 1 } },
    async (s) => {
      await s.begin()
      await s.apply(agents({ concurrency: 3 }))
      await s.apply(serverPlan())
      await s.until('all is done', () => s.complete('agents') && s.complete('server-plan'))
      await s.apply({
        apiVersion: 'v1',
        kind: 'Node',
        metadata: { name: 'server-2', labels: { 'kubernetes.io/hostname': 'server-2', 'kubernetes.io/os': 'linux' } },
        status: { nodeInfo: { kubeletVersion: OLD }, conditions: [{ type: 'Ready', status: 'False' }] },
      })
      await s.wait(10 * MINUTE)
      expect([s.cordons('server-2'), s.applying('agents'), s.jobs().filter((job) => job.metadata.name.includes('server-2'))]).toEqual([
        0,
        [],
        [],
      ])
      expect(s.nodeStatus('agents', 'server-2')?.message).toMatch(/not Ready/)
      await s.patch('/api/v1/nodes/server-2', { metadata: { labels: { 'node-role.kubernetes.io/control-plane': 'true' } } })
      const held = () => /not Ready/.test(s.nodeStatus('server-plan', 'server-2')?.message ?? '')
      await s.until('it is a server now, and the agents are complete without it', () => s.complete('agents') && held(), MINUTE)
      expect(s.cordons('server-2')).toBe(0)
    },
  )
})

describe('a mixed cluster', () => {
  story(
    'with a Windows node, another architecture and a tainted pool: all are upgraded, by the same image and nothing else',
    {
      cluster: {
        ...agentsOnly,
        machine: (spec) =>
          spec.role === 'server'
            ? { ...spec, version: NEW }
            : spec.name === 'agent-1'
              ? { ...spec, os: 'windows' }
              : spec.name === 'agent-2'
                ? { ...spec, arch: 'arm64' }
                : { ...spec, taints: [{ key: 'dedicated', value: 'gpu', effect: 'NoSchedule' }] },
      },
    },
    async (s) => {
      await s.begin()
      await s.apply(agents({ tolerations: [{ operator: 'Exists' }] }))
      await s.until('all is done', () => s.complete('agents'))
      expect(AGENTS.map((node) => [s.node(node).status.nodeInfo.kubeletVersion, s.cordoned(node)])).toEqual(AGENTS.map(() => [NEW, false]))
    },
  )
})

describe('beside Rancher', () => {
  story('a Plan that it has switched off by a selector that no node meets touches nothing, and says so', {}, async (s) => {
    await s.begin()
    const { nodeSelector } = agents().spec
    const off = { key: 'upgrade.cattle.io/disable', operator: 'Exists' }
    await s.apply(agents({ nodeSelector: { matchExpressions: [...nodeSelector.matchExpressions, off] } }))
    await s.until('told', () => /NoMatchingNodes/.test(s.condition('agents', 'Complete')), 30 * SECOND)
    await s.wait(HOUR)
    expect([touched(s), s.events('NoMatchingNodes').map((event) => event.type)]).toEqual([[], ['Warning']])
    await s.patchPlan('agents', { nodeSelector })
    await s.until('all is done', () => s.complete('agents'))
  })

  story('Plans of other namespaces are left alone', {}, async (s) => {
    await s.begin()
    const other = agents()
    await s.apply({ ...other, metadata: { ...other.metadata, namespace: 'cattle-system' } })
    await s.wait(HOUR)
    expect(touched(s)).toEqual([])
    expect(s.sandbox.server.peek('plans.upgrade.cattle.io', 'agents', 'cattle-system')?.['status']).toEqual(
      expect.not.objectContaining({ applying: expect.anything() }),
    )
    await s.apply(agents())
    await s.until('all is done', () => s.complete('agents'))
  })
})
