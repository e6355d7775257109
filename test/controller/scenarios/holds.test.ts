/** What may stand in the way, who says so, and that the rollout goes on by itself when it is gone (design §1, §4.5, §5). */
import { describe, expect } from '@jest/globals'
import { agentPlan, serverPlan } from '../harness.ts'
import { agents, agentsOnly, blocked, hangInDrain, HOUR, MINUTE, NEW, SECOND, story, type Story } from './story.ts'

const AGENTS = ['agent-1', 'agent-2', 'agent-3']
const SERVERS = ['server-1', 'server-2', 'server-3']
const PDB = '/apis/policy/v1/namespaces/default/poddisruptionbudgets/web'
const inUpgrade = (s: Story) => AGENTS.find((node) => s.record(node).work?.startedAt !== undefined && s.runs(node) > 0)
const untouched = (s: Story, nodes: readonly string[]) =>
  expect(nodes.map((node) => [node, s.cordons(node), s.runs(node)])).toEqual(nodes.map((node) => [node, 0, 0]))
const atRest = (s: Story, nodes: readonly string[] = AGENTS) =>
  expect(nodes.map((node) => [node, s.cordoned(node), s.record(node)])).toEqual(nodes.map((node) => [node, false, {}]))

describe('drover.io/paused', () => {
  story('from the beginning: nothing is touched, until it is gone', {}, async (s) => {
    await s.begin()
    await s.apply(agents({}, { 'drover.io/paused': 'freeze until Monday' }))
    await s.until('told', () => /^False Paused: .*freeze until Monday/.test(s.condition('agents', 'Complete')), 30 * SECOND)
    await s.wait(HOUR)
    untouched(s, AGENTS)
    expect(s.applying()).toEqual([])
    await s.annotatePlan('agents', { 'drover.io/paused': null })
    await s.until('all is done', () => s.complete('agents'))
  })

  story('in the middle of a drain: frozen where it is, then on', { cluster: blocked }, async (s) => {
    const node = await hangInDrain(s)
    await s.annotatePlan('agents', { 'drover.io/paused': 'true' })
    await s.wait(10 * SECOND)
    await s.remove(PDB)
    const evictions = () => s.sandbox.history.filter((write) => write.ref.subresource === 'eviction' && write.status < 300).length
    await s.wait(HOUR)
    expect([s.cordoned(node), s.runs(node), evictions(), s.applying()]).toEqual([true, 0, 0, [node]])
    expect(s.nodeStatus('agents', node)?.message).toMatch(/drover\.io\/paused/)
    await s.annotatePlan('agents', { 'drover.io/paused': null })
    await s.until('all is done', () => s.complete('agents'))
    expect(s.cordons(node)).toBe(1)
  })

  story('after the point of no return: that node is driven to its verdict, no other is taken', {}, async (s) => {
    await s.begin()
    await s.apply(agents())
    await s.until('an upgrade runs', () => inUpgrade(s) !== undefined)
    const node = inUpgrade(s)!
    await s.annotatePlan('agents', { 'drover.io/paused': '' })
    await s.until('the node is done', () => s.label(node) === s.hash() && !s.cordoned(node))
    await s.wait(HOUR)
    untouched(
      s,
      AGENTS.filter((name) => name !== node),
    )
    expect(s.applying()).toEqual([])
  })
})

describe('drover.io/abort', () => {
  story('with the first eight of the hash gives the node back; with another it says nothing', { cluster: blocked }, async (s) => {
    const node = await hangInDrain(s)
    await s.annotatePlan('agents', { 'drover.io/abort': '01234567' })
    await s.wait(2 * MINUTE)
    expect(s.cordoned(node)).toBe(true)
    await s.annotatePlan('agents', { 'drover.io/abort': s.hash().slice(0, 8) })
    await s.until('given back', () => !s.cordoned(node), MINUTE)
    await s.remove(PDB)
    await s.wait(HOUR)
    atRest(s)
    expect(AGENTS.map((name) => s.runs(name))).toEqual([0, 0, 0])
    expect([s.applying(), s.condition('agents', 'Complete')]).toEqual([[], expect.stringMatching(/^False Aborted/)])
    // Another version is another hash: the old abort says nothing about it.
    await s.annotatePlan('agents', { 'drover.io/abort': null })
    await s.until('all is done', () => s.complete('agents'))
  })

  story('after the point of no return: that node is driven to its verdict, no other is taken', {}, async (s) => {
    await s.begin()
    await s.apply(agents())
    await s.until('an upgrade runs', () => inUpgrade(s) !== undefined)
    const node = inUpgrade(s)!
    await s.annotatePlan('agents', { 'drover.io/abort': s.hash().slice(0, 8) })
    await s.until('the node is done', () => s.label(node) === s.hash() && !s.cordoned(node))
    await s.wait(HOUR)
    untouched(
      s,
      AGENTS.filter((name) => name !== node),
    )
    expect([s.applying(), s.node(node).status.nodeInfo.kubeletVersion]).toEqual([[], NEW])
  })
})

describe('drover.io/hold', () => {
  story('on a node leaves it alone and names it; the others go on', {}, async (s) => {
    await s.annotateNode('agent-2', { 'drover.io/hold': 'disk is being changed' })
    await s.begin()
    await s.apply(agents())
    await s.until('the others are done', () => s.hash() !== '' && s.label('agent-1') === s.hash() && s.label('agent-3') === s.hash())
    await s.wait(10 * MINUTE)
    untouched(s, ['agent-2'])
    expect(s.condition('agents', 'Complete')).toMatch(/^False NodeHeld: .*agent-2.*disk is being changed/)
    await s.annotateNode('agent-2', { 'drover.io/hold': null })
    await s.until('all is done', () => s.complete('agents'))
  })

  story('on a node in the middle of its drain gives it back', { cluster: blocked }, async (s) => {
    const node = await hangInDrain(s)
    await s.annotateNode(node, { 'drover.io/hold': '' })
    await s.until('given back', () => !s.cordoned(node), MINUTE)
    await s.remove(PDB)
    await s.until('the others are done', () => AGENTS.filter((name) => s.label(name) === s.hash()).length === 2)
    await s.wait(SECOND)
    expect([s.runs(node), s.record(node), s.applying()]).toEqual([0, {}, []])
  })

  story('on the namespace stops everything before the point of no return', { cluster: blocked }, async (s) => {
    const node = await hangInDrain(s)
    await s.patch('/api/v1/namespaces/system-upgrade', { metadata: { annotations: { 'drover.io/hold': 'incident 7' } } })
    await s.remove(PDB)
    await s.until(
      'told',
      () => /^False NamespaceHeld: .*incident 7/.test(s.condition('agents', 'Complete')) || s.nodeStatus('agents', node) !== undefined,
      MINUTE,
    )
    await s.wait(HOUR)
    expect(AGENTS.map((name) => s.runs(name))).toEqual([0, 0, 0])
    expect(s.condition('agents', 'Complete')).toMatch(/NamespaceHeld/)
    await s.patch('/api/v1/namespaces/system-upgrade', { metadata: { annotations: { 'drover.io/hold': null } } })
    await s.until('all is done', () => s.complete('agents'))
  })
})

describe('a window', () => {
  story('is asked for each node: none is taken after it has closed, whoever is in flight goes on', {}, async (s) => {
    const days = ['su', 'mo', 'tu', 'we', 'th', 'fr', 'sa']
    await s.begin()
    await s.apply(agents({ window: { days, startTime: '00:20', endTime: '00:20:15' } }))
    await s.until('told', () => /^False Waiting: .*2026-01-01T00:20:00/.test(s.condition('agents', 'Complete')), 30 * SECOND)
    await s.wait(2 * HOUR)
    const taken = s.sandbox.history.flatMap((write) => {
      const applying = (object: unknown) => (object as { status?: { applying?: string[] } } | undefined)?.status?.applying ?? []
      if (write.ref.resource !== 'plans' || write.status >= 300) return []
      const before = applying(write.before)
      return applying(write.after).some((name) => !before.includes(name)) ? [new Date(write.at).toISOString().slice(11, 19)] : []
    })
    expect(taken.length).toBeGreaterThan(0)
    for (const at of taken) expect(at >= '00:20:00' && at <= '00:20:16' ? 'inside' : at).toBe('inside')
    // The three take longer than the window is open.
    expect(AGENTS.filter((node) => s.label(node) === s.hash()).length).toBe(taken.length)
    expect(taken.length).toBeLessThan(3)
    expect([s.condition('agents', 'Complete'), s.applying()]).toEqual([expect.stringMatching(/^False Waiting: .*2026-01-02T00:20:00/), []])
    atRest(s)
    await s.patchPlan('agents', { window: null })
    await s.until('all is done', () => s.complete('agents'))
  })
})

describe('the Plan that prepare names', () => {
  story(
    'is waited for without a Job, also while it does not exist or has another version',
    { cluster: { servers: 1, agents: 1 } },
    async (s) => {
      await s.begin()
      await s.apply(agentPlan())
      await s.until(
        'told',
        () => /^False WaitingForPlan: .*server-plan.*does not exist/.test(s.condition('agent-plan', 'Complete')),
        30 * SECOND,
      )
      await s.apply(serverPlan({ version: 'v1.33.5+rke2r1' }, { 'drover.io/paused': '' }))
      await s.until('told', () => /^False WaitingForPlan: .*version v1\.33\.5-rke2r1/.test(s.condition('agent-plan', 'Complete')), MINUTE)
      await s.wait(HOUR)
      expect(s.jobs()).toEqual([])
      untouched(s, ['agent-1', 'server-1'])
      await s.patchPlan('server-plan', { version: NEW })
      await s.annotatePlan('server-plan', { 'drover.io/paused': null })
      await s.until('all is done', () => s.complete('agent-plan') && s.complete('server-plan'))
      const first = (node: string) => s.sandbox.machines.get(node)!.timeline.find((event) => event.what === 'replaced')!.at
      expect(first('server-1')).toBeLessThan(first('agent-1'))
    },
  )
})

describe('cordons of others', () => {
  story('a server is not taken, and named', { cluster: { servers: 3, agents: 0 } }, async (s) => {
    await s.setCordon('server-2', true)
    await s.begin()
    await s.apply(serverPlan())
    await s.wait(30 * MINUTE)
    // Two schedulable members are no majority to spare: none of the three may go.
    untouched(s, ['server-1', 'server-3'])
    expect(s.runs('server-2')).toBe(0)
    expect(JSON.stringify(s.plan('server-plan')?.status)).toMatch(/server-2 was cordoned by somebody else/)
    expect(s.sandbox.etcd.lost).toBe(0)
    expect(s.cordoned('server-2')).toBe(true)
    await s.setCordon('server-2', false)
    await s.until('all is done', () => s.complete('server-plan'))
  })

  story('an agent is upgraded last and stays cordoned', {}, async (s) => {
    await s.setCordon('agent-1', true)
    await s.begin()
    await s.apply(agents())
    let order: string[] = []
    await s.until('all is done', () => {
      order = [...new Set([...order, ...s.applying()])]
      return s.complete('agents')
    })
    expect(order.at(-1)).toBe('agent-1')
    expect([s.cordoned('agent-1'), s.node('agent-1').status.nodeInfo.kubeletVersion, s.cordons('agent-1')]).toEqual([true, NEW, 1])
    expect(s.record('agent-1')).toEqual({})
  })

  story('a person uncordons before the point of no return: cordoned again, and told', { cluster: blocked }, async (s) => {
    const node = await hangInDrain(s)
    await s.setCordon(node, false)
    await s.until('cordoned again', () => s.cordoned(node), MINUTE)
    await s.wait(30 * SECOND)
    expect(s.events('CordonedAgain').map((event) => [event.on, event.type])).toEqual([[`Node/${node}`, 'Warning']])
    await s.remove(PDB)
    await s.until('all is done', () => s.complete('agents'))
    atRest(s)
  })

  story('a person uncordons during the upgrade: it stays uncordoned and nothing breaks', {}, async (s) => {
    await s.begin()
    await s.apply(agents())
    await s.until('an upgrade runs', () => inUpgrade(s) !== undefined)
    const node = inUpgrade(s)!
    await s.setCordon(node, false)
    await s.until('all is done', () => s.complete('agents'))
    expect(s.cordons(node)).toBe(1)
    atRest(s)
  })

  story('a person uncordons and cordons again during the upgrade: it is theirs now and stays', {}, async (s) => {
    await s.begin()
    await s.apply(agents())
    await s.until('an upgrade runs', () => inUpgrade(s) !== undefined)
    const node = inUpgrade(s)!
    await s.setCordon(node, false)
    await s.setCordon(node, true)
    await s.until('all is done', () => s.complete('agents'))
    await s.wait(10 * MINUTE)
    expect([s.cordoned(node), s.label(node), s.record(node)]).toEqual([true, s.hash(), {}])
  })
})

describe('a PodDisruptionBudget in the way', () => {
  story('is named with its pod, in status and event; the drain goes on by itself', { cluster: blocked }, async (s) => {
    const node = await hangInDrain(s)
    expect(s.nodeStatus('agents', node)).toMatchObject({
      phase: 'Draining',
      message: expect.stringMatching(/default\/web-.*PodDisruptionBudget default\/web/),
    })
    expect(s.events('DrainForecast').some((event) => /default\/web/.test(event.message))).toBe(true)
    const before = s.sandbox.history.length
    await s.wait(HOUR)
    const refused = s.sandbox.history.slice(before).filter((write) => write.ref.subresource === 'eviction')
    expect(refused.length).toBeLessThanOrEqual(60)
    expect(s.cordoned(node)).toBe(true)
    await s.remove(PDB)
    await s.until('all is done', () => s.complete('agents'))
  })

  story('for longer than an hour is Stalled, and well again afterwards', { cluster: blocked }, async (s) => {
    const node = await hangInDrain(s)
    expect(s.condition('agents', 'Stalled')).toMatch(/^False/)
    await s.until('stalled', () => s.condition('agents', 'Stalled').startsWith('True DrainBlocked'), 70 * MINUTE)
    expect(s.condition('agents', 'Stalled')).toContain(node)
    await s.remove(PDB)
    await s.until('all is done', () => s.complete('agents'))
    expect(s.condition('agents', 'Stalled')).toMatch(/^False/)
  })
})

describe('nodes that are not fit', () => {
  story('a taint that is not tolerated is named; tolerated, the node is upgraded', {}, async (s) => {
    await s.patch('/api/v1/nodes/agent-3', { spec: { taints: [{ key: 'gpu', value: 'yes', effect: 'NoSchedule' }] } })
    await s.begin()
    await s.apply(agents())
    await s.until('the others are done', () => s.hash() !== '' && s.label('agent-1') === s.hash() && s.label('agent-2') === s.hash())
    await s.wait(10 * MINUTE)
    untouched(s, ['agent-3'])
    expect(s.condition('agents', 'Complete')).toMatch(/^False UntoleratedTaint: .*agent-3.*gpu=yes:NoSchedule/)
    await s.patchPlan('agents', { tolerations: [{ key: 'gpu', operator: 'Exists' }] })
    await s.until('all is done', () => s.complete('agents'))
  })

  story('a node that is not Ready takes no slot and is upgraded when it comes back', {}, async (s) => {
    s.sandbox.machines.get('agent-2')!.powerOff()
    await s.wait(2 * MINUTE)
    await s.begin()
    await s.apply(agents())
    let slot = false
    await s.until('the others are done', () => {
      slot ||= s.applying().includes('agent-2')
      return s.hash() !== '' && s.label('agent-1') === s.hash() && s.label('agent-3') === s.hash()
    })
    await s.wait(HOUR)
    expect([slot, s.applying(), s.cordons('agent-2')]).toEqual([false, [], 0])
    expect(s.condition('agents', 'Complete')).toMatch(/^False NodeNotReady: .*agent-2/)
    s.sandbox.machines.get('agent-2')!.powerOn()
    await s.until('all is done', () => s.complete('agents'))
  })

  story('an agent is never taken above its oldest server', { cluster: { servers: 1, agents: 2 } }, async (s) => {
    await s.begin()
    await s.apply(agents())
    await s.until('told', () => /^False AheadOfServers: .*server-1/.test(s.condition('agents', 'Complete')), MINUTE)
    await s.wait(HOUR)
    untouched(s, ['agent-1', 'agent-2'])
  })

  story('a server does not skip a minor', { cluster: { servers: 1, agents: 0, version: 'v1.31.9+rke2r1' } }, async (s) => {
    await s.begin()
    await s.apply(serverPlan())
    await s.until('told', () => /^False SkippedMinor: .*server-1.*v1\.31\.9/.test(s.condition('server-plan', 'Complete')), MINUTE)
    await s.wait(HOUR)
    untouched(s, ['server-1'])
  })

  story(
    'with one of three servers down no other is taken; it goes on when it is back',
    { cluster: { servers: 3, agents: 0 } },
    async (s) => {
      s.sandbox.machines.get('server-3')!.powerOff()
      await s.wait(2 * MINUTE)
      await s.begin()
      await s.apply(serverPlan({ concurrency: 3 }))
      await s.until('told', () => /EtcdQuorum|NodeNotReady/.test(s.condition('server-plan', 'Complete')), MINUTE)
      await s.wait(HOUR)
      untouched(s, SERVERS)
      expect(JSON.stringify(s.plan('server-plan')?.status)).toMatch(/only 1 of 3 etcd members would be healthy/)
      s.sandbox.machines.get('server-3')!.powerOn()
      await s.until('all is done', () => s.complete('server-plan'))
      expect(s.sandbox.etcd.lost).toBe(0)
    },
  )

  story(
    'a server that dies in the middle of the drain of another: that one is not restarted',
    { cluster: { servers: 3, agents: 0 } },
    async (s) => {
      await s.begin()
      await s.apply(serverPlan())
      await s.until('one is cordoned', () => SERVERS.some((name) => s.cordoned(name)))
      const taken = SERVERS.find((name) => s.cordoned(name))!
      const other = SERVERS.find((name) => name !== taken)!
      const started = s.record(taken).work?.startedAt !== undefined
      expect(started).toBe(false)
      s.sandbox.machines.get(other)!.powerOff()
      await s.wait(HOUR)
      expect(s.runs(taken)).toBe(0)
      expect(s.sandbox.etcd.lost).toBe(0)
      s.sandbox.machines.get(other)!.powerOn()
      await s.until('all is done', () => s.complete('server-plan'))
      expect(s.sandbox.etcd.lost).toBe(0)
    },
  )
})

describe('several Plans', () => {
  story('two on the same nodes: one at a time works on a node', {}, async (s) => {
    s.sandbox.programs.set('os-patch', async (_pod, _machine, io) => {
      await io.clock.sleep(30 * SECOND)
      return 0
    })
    await s.begin()
    await s.apply(agents({ concurrency: 3 }, {}, 'one'))
    await s.apply(agents({ concurrency: 3, upgrade: { image: 'os-patch' }, version: 'v7' }, {}, 'two'))
    let both = 0
    await s.until('both are done', () => {
      if (s.applying('one').some((node) => s.applying('two').includes(node))) both++
      return s.complete('one') && s.complete('two')
    })
    expect(both).toBe(0)
    expect(AGENTS.map((node) => [s.label(node, 'one'), s.label(node, 'two')])).toEqual(AGENTS.map(() => [s.hash('one'), s.hash('two')]))
    atRest(s)
  })

  story('the limit of the whole cluster holds over all of them', { cluster: { ...agentsOnly, agents: 6 } }, async (s) => {
    const names = [...AGENTS, 'agent-4', 'agent-5', 'agent-6']
    const among = (...values: string[]) => ({ matchExpressions: [{ key: 'kubernetes.io/hostname', operator: 'In', values }] })
    await s.begin('drover-1', { DROVER_CLUSTER_MAX_UNAVAILABLE: '2' })
    await s.apply(agents({ concurrency: 3, nodeSelector: among('agent-1', 'agent-2', 'agent-3') }, {}, 'one'))
    await s.apply(agents({ concurrency: 3, nodeSelector: among('agent-4', 'agent-5', 'agent-6') }, {}, 'two'))
    let most = 0
    await s.until('both are done', () => {
      most = Math.max(most, names.filter((name) => s.cordoned(name)).length)
      return s.complete('one') && s.complete('two')
    })
    expect(most).toBe(2)
  })
})
