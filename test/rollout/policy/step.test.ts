/** `versionPath.stepThroughMinors`, and the etcd that versions of RKE2 bring. */
import { describe, expect, test } from '@jest/globals'
import type { RolloutMemory } from '../../../src/api/memory.ts'
import { decide } from '../../../src/rollout/decide.ts'
import { bringsEtcd36, isReadyForEtcd36 } from '../../../src/rollout/etcd-version.ts'
import { channelOf } from '../../../src/rollout/step.ts'
import { parseVersion } from '../../../src/rollout/version.ts'
import type { Decision, Fresh, NodeView } from '../../../src/rollout/world.ts'
import { actions, aNode, aPlan, aPolicy, aServer, aWorld, holdsOn, NOW, planHolds } from '../build.ts'

const RKE2 = 'https://update.rke2.io/v1-release/channels'
const SERVERS = 'system-upgrade/server-plan'
const AGENTS = 'system-upgrade/agent-plan'
const TARGET = 'v1.33.4+rke2r1'

const version = (text: string) => {
  const parsed = parseVersion(text)
  if (parsed === undefined) throw new Error(text)
  return parsed
}

const policy = (spec: object = { versionPath: { stepThroughMinors: true } }) => aPolicy(spec)

const role = (value: 'server' | 'agent') => ({ matchLabels: { role: value } })
const server = (name: string, kubeletVersion: string, more: Partial<NodeView> = {}) =>
  aServer(name, { kubeletVersion, ...more, labels: { role: 'server' } })
const agent = (name: string, kubeletVersion: string) => aNode(name, { kubeletVersion, labels: { role: 'agent' } })

function plan(name: 'server-plan' | 'agent-plan', spec: object = {}, memory: Partial<RolloutMemory> = {}, more: object = {}) {
  const view = aPlan(name, { version: TARGET, nodeSelector: role(name === 'server-plan' ? 'server' : 'agent'), ...spec }, more)
  return { ...view, memory: { ok: true as const, memory: { v: 1 as const, adopt: [], ...memory } } }
}

/** Channels by their last element at the default server, or by URL. */
const channels = (answers: Record<string, string | Error>): ReadonlyMap<string, Fresh<string>> =>
  new Map(
    Object.entries(answers).map(([name, answer]) => [
      name.includes('/') ? name : `${RKE2}/${name}`,
      answer instanceof Error ? { at: NOW.mono, ok: false, error: answer.message } : { at: NOW.mono, ok: true, value: answer },
    ]),
  )

interface Decided extends Decision {
  /** What is decided once the memory has been written as asked for. */
  readonly later: Decision
}

function decided(
  plans: ReturnType<typeof plan>[],
  nodes: NodeView[],
  answers: Record<string, string | Error> = {},
  more: { policies?: ReturnType<typeof policy>[] } = {},
): Decided {
  const world = aWorld({ plans, nodes, policies: [policy()], ...more, observed: { channels: channels(answers) } })
  const decision = decide(world)
  const writes = actions(decision, 'annotatePlan')
  const written = plans.map((view) => {
    const memory = writes.find((action) => action.plan.name === view.name)?.memory
    return memory === undefined ? view : { ...view, memory: { ok: true as const, memory } }
  })
  return { ...decision, later: decide({ ...world, plans: written }) }
}

const asked = (decision: Decision) => decision.needs.flatMap((need) => (need.kind === 'channel' ? [need.url] : []))
const remembered = (decision: Decision) =>
  actions(decision, 'annotatePlan').map((action) => [action.plan.name, action.memory.step?.version ?? null] as const)
const told = (decision: Decided, name = 'server-plan') =>
  actions(decision.later, 'writeStatus')
    .filter((action) => action.plan.name === name)
    .map(({ status }) => [status.latestVersion, status.conditions?.find(({ type }) => type === 'Complete')?.reason])[0]

const at = (step: string): Partial<RolloutMemory> => ({ step: { version: step } })
const three = (kubeletVersion: string) => ['s1', 's2', 's3'].map((name) => server(name, kubeletVersion))

describe('servers', () => {
  test('more than one minor below take the newest release of the next minor, and it is remembered before anything else', () => {
    const decision = decided([plan('server-plan')], three('v1.30.5+rke2r1'), { 'v1.31': 'v1.31.9-rke2r1' })
    expect(asked(decision)).toEqual([`${RKE2}/v1.31`])
    expect(remembered(decision)).toEqual([['server-plan', 'v1.31.9-rke2r1']])
    expect(actions(decision, 'writeStatus')).toEqual([])
  })

  test.each([
    ['one minor below', 'v1.32.3+rke2r1'],
    ['in the same minor', 'v1.33.1+rke2r1'],
    ['there', TARGET],
    ['above', 'v1.34.1+rke2r1'],
  ])('%s go straight to the target and ask no channel', (_name, kubeletVersion) => {
    const decision = decided([plan('server-plan')], three(kubeletVersion))
    expect([asked(decision), told(decision)?.[0]]).toEqual([[], 'v1.33.4-rke2r1'])
  })

  test('without stepThroughMinors are held with SkippedMinor, and a step that was begun is forgotten', () => {
    const decision = decided([plan('server-plan', {}, at('v1.31.9-rke2r1'))], three('v1.30.5+rke2r1'), {}, { policies: [policy({})] })
    expect(asked(decision)).toEqual([])
    expect(remembered(decision)).toEqual([['server-plan', null]])
    const off = decided([plan('server-plan')], three('v1.30.5+rke2r1'), {}, { policies: [] })
    expect(holdsOn(off, SERVERS, 's1')).toEqual(['SkippedMinor'])
  })

  test('stay on the step that was begun, whatever its channel says meanwhile', () => {
    const nodes = [server('s1', 'v1.31.8+rke2r1'), server('s2', 'v1.30.5+rke2r1'), server('s3', 'v1.30.5+rke2r1')]
    const decision = decided([plan('server-plan', {}, at('v1.31.8-rke2r1'))], nodes, { 'v1.31': 'v1.31.9-rke2r1' })
    expect(told(decision)).toEqual(['v1.31.8-rke2r1', 'Stepping'])
    expect(asked(decision)).toEqual([])
    expect(holdsOn(decision, SERVERS, 's2')).not.toContain('SkippedMinor')
  })

  test('take the next step when all have taken the last, and none is in flight', () => {
    const answers = { 'v1.32': 'v1.32.9-rke2r1' }
    const before = plan('server-plan', {}, at('v1.31.9-rke2r1'))
    expect(remembered(decided([before], three('v1.31.9+rke2r1'), answers))).toEqual([['server-plan', 'v1.32.9-rke2r1']])
    const busy = plan('server-plan', {}, at('v1.31.9-rke2r1'), { status: { applying: ['s3'] } })
    const decision = decided([busy], three('v1.31.9+rke2r1'), answers)
    expect([asked(decision), told(decision)?.[0]]).toEqual([[], 'v1.31.9-rke2r1'])
    // The last step is the target itself; then nothing of a step is left.
    const last = decided([plan('server-plan', {}, at('v1.32.9-rke2r1'))], three('v1.32.9+rke2r1'))
    expect(remembered(last)).toEqual([['server-plan', null]])
  })

  test('wait for agents of other stepping Plans that are a minor behind; Complete stays False', () => {
    const plans = [plan('server-plan', {}, at('v1.31.9-rke2r1')), plan('agent-plan')]
    const decision = decided(plans, [...three('v1.31.9+rke2r1'), agent('a1', 'v1.30.5+rke2r1')], { 'v1.32': 'v1.32.9-rke2r1' })
    expect(planHolds(decision, SERVERS)).toEqual(['Stepping'])
    expect(decision.reports.get(SERVERS)?.holds[0]?.message).toBe(
      'step v1.31.9-rke2r1 on the way to v1.33.4-rke2r1 is done: node a1 of another Plan is at v1.30.5+rke2r1; it goes to v1.31 before servers go to v1.32',
    )
    expect(told(decision)).toEqual(['v1.31.9-rke2r1', 'Stepping'])
    // Before the first step nobody has to catch up.
    expect(
      remembered(
        decided([plan('server-plan'), plan('agent-plan')], [...three('v1.31.9+rke2r1'), agent('a1', 'v1.30.5+rke2r1')], {
          'v1.32': 'v1.32.9-rke2r1',
        }),
      )[0],
    ).toEqual(['server-plan', 'v1.32.9-rke2r1'])
  })

  test.each([
    ['v1.27.16+rke2r1', true],
    ['v1.28.15+rke2r1', false],
    ['v1.27.16+k3s1', false],
  ])('leave no kubelet of the cluster more than three minors behind: with one at %s they are held: %s', (kubeletVersion, waits) => {
    const decision = decided([plan('server-plan')], [...three('v1.30.5+rke2r1'), agent('a1', kubeletVersion)], {
      'v1.31': 'v1.31.9-rke2r1',
    })
    expect(planHolds(decision, SERVERS)).toEqual(waits ? ['VersionUnresolved'] : [])
    if (waits)
      expect(decision.reports.get(SERVERS)?.holds[0]?.message).toBe(
        `node a1 is at ${kubeletVersion}, too far behind for servers at v1.31: kubelets may be 3 minors older`,
      )
    const later = plan('server-plan', {}, at('v1.31.9-rke2r1'))
    const again = decided([later], [...three('v1.31.9+rke2r1'), agent('a1', 'v1.28.15+rke2r1')], { 'v1.32': 'v1.32.9-rke2r1' })
    expect(planHolds(again, SERVERS)).toEqual(['Stepping'])
  })

  test('of a minor with a server that is ahead take what that one has', () => {
    const nodes = [server('s1', 'v1.31.9+rke2r1'), server('s2', 'v1.30.5+rke2r1')]
    expect(remembered(decided([plan('server-plan')], nodes, { 'v1.31': 'v1.31.8-rke2r1' }))).toEqual([['server-plan', 'v1.31.9-rke2r1']])
  })

  test.each([
    ['does not answer', {}, 'the channel for the step to v1.31 has not answered yet'],
    ['fails', { 'v1.31': new Error('404 Not Found') }, `cannot resolve channel ${RKE2}/v1.31 for the step to v1.31: 404 Not Found`],
    [
      'names another minor',
      { 'v1.31': 'v1.32.1-rke2r1' },
      `cannot resolve channel ${RKE2}/v1.31 for the step to v1.31: it names v1.32.1-rke2r1`,
    ],
    ['names K3s', { 'v1.31': 'v1.31.1-k3s1' }, `cannot resolve channel ${RKE2}/v1.31 for the step to v1.31: it names v1.31.1-k3s1`],
  ] as [string, Record<string, string | Error>, string][])('a first step whose channel %s holds', (_name, answers, message) => {
    const decision = decided([plan('server-plan')], three('v1.30.5+rke2r1'), answers)
    expect(decision.reports.get(SERVERS)?.holds).toMatchObject([{ reason: 'VersionUnresolved', message }])
    expect(actions(decision, 'createPod')).toEqual([])
  })

  test('a later step whose channel fails holds at the step before', () => {
    const before = plan('server-plan', {}, at('v1.31.9-rke2r1'))
    const decision = decided([before], three('v1.31.9+rke2r1'), { 'v1.32': new Error('502 Bad Gateway') })
    expect(decision.reports.get(SERVERS)?.holds).toMatchObject([
      {
        reason: 'Stepping',
        message: `step v1.31.9-rke2r1 on the way to v1.33.4-rke2r1 is done: cannot resolve channel ${RKE2}/v1.32 for the step to v1.32: 502 Bad Gateway`,
      },
    ])
    expect(told(decision)).toEqual(['v1.31.9-rke2r1', 'Stepping'])
  })

  test('a policy that is gone, or cannot be read, changes nothing of the step and holds', () => {
    const stepping = plan('server-plan', {}, at('v1.31.9-rke2r1'))
    const nodes = three('v1.30.5+rke2r1')
    const broken = decided([stepping], nodes, {}, { policies: [policy({ soak: 'long' })] })
    expect(planHolds(broken, SERVERS)).toEqual(['PolicyUnreadable'])
    expect(told(broken)?.[0]).toBe('v1.31.9-rke2r1')
    expect(told(decided([stepping], nodes, {}, { policies: [] }))?.[0]).toBe('v1.31.9-rke2r1')
    const none = plan('server-plan', {}, at('v1.31.9-rke2r1'), { annotations: { 'drover.io/policy': 'none' } })
    expect(remembered(decided([none], nodes, {}, { policies: [] }))).toEqual([['server-plan', null]])
  })

  test('that cannot be compared are left to the gates of direction', () => {
    const decision = decided([plan('server-plan')], [server('s1', 'v1.30.5+k3s1'), server('s2', 'v1.30.5+rke2r1')])
    expect(asked(decision)).toEqual([])
    expect(holdsOn(decision, SERVERS, 's1')).toEqual(['VersionUnknown'])
  })
})

describe('agents', () => {
  test('take what all servers have, without a channel', () => {
    const nodes = [...three('v1.31.9+rke2r1'), agent('a1', 'v1.30.5+rke2r1')]
    const decision = decided([plan('agent-plan')], nodes)
    expect([asked(decision), remembered(decision)]).toEqual([[], [['agent-plan', 'v1.31.9-rke2r1']]])
  })

  test('wait for the servers: before the first step at the target, after a step at the step', () => {
    const first = decided([plan('agent-plan')], [...three('v1.30.5+rke2r1'), agent('a1', 'v1.30.4+rke2r1')])
    expect(holdsOn(first, AGENTS, 'a1')).toEqual(['AheadOfServers'])
    const nodes = [server('s1', 'v1.32.1+rke2r1'), server('s2', 'v1.31.9+rke2r1'), agent('a1', 'v1.31.9+rke2r1')]
    const later = decided([plan('agent-plan', {}, at('v1.31.9-rke2r1'))], nodes)
    expect(told(later, 'agent-plan')).toEqual(['v1.31.9-rke2r1', 'Stepping'])
    expect(later.reports.get(AGENTS)?.holds[0]?.message).toContain('the servers are at v1.31.9+rke2r1; they go on first')
  })

  test('go to the target when the servers are there', () => {
    const nodes = [...three(TARGET), agent('a1', 'v1.32.9+rke2r1')]
    expect(remembered(decided([plan('agent-plan', {}, at('v1.32.9-rke2r1'))], nodes))).toEqual([['agent-plan', null]])
  })
})

test.each([
  ['https://update.rke2.io/v1-release/channels/stable', `${RKE2}/v1.31`],
  ['https://channels.example.com/rke2/latest/?x=1#y', 'https://channels.example.com/rke2/v1.31?x=1'],
  ['https://rancher.example.com/v1-rke2-release/channels/default', 'https://rancher.example.com/v1-rke2-release/channels/v1.31'],
  ['https://channels.example.com', `${RKE2}/v1.31`],
  ['https://channels.example.com/', `${RKE2}/v1.31`],
  ['', `${RKE2}/v1.31`],
  [undefined, `${RKE2}/v1.31`],
])('the channel of a minor beside %j is %s', (channel, expected) => {
  expect(channelOf({ spec: { upgrade: { image: 'x' }, ...(channel === undefined ? {} : { channel }) } }, 'v1.31', 'rke2')).toBe(expected)
})

test('the channel of a minor of K3s is at its own server', () => {
  expect(channelOf({ spec: { upgrade: { image: 'x' } } }, 'v1.31', 'k3s')).toBe('https://update.k3s.io/v1-release/channels/v1.31')
})

describe('etcd 3.6', () => {
  test.each([
    ['v1.31.14+rke2r1', false, false],
    ['v1.32.11+rke2r1', false, false],
    ['v1.32.11+rke2r3', false, true],
    ['v1.32.12+rke2r1', false, true],
    ['v1.33.7+rke2r1', false, false],
    ['v1.33.7+rke2r3', false, true],
    ['v1.33.10+rke2r1', false, true],
    ['v1.33.11+rke2r1', true, true],
    ['v1.34.0+rke2r1', true, true],
    ['v1.34.0+k3s1', false, true],
    ['v1.30.0+k3s1', false, true],
  ])('%s brings it: %s, may be followed by it: %s', (text, brings, ready) => {
    expect([bringsEtcd36(version(text)), isReadyForEtcd36(version(text))]).toEqual([brings, ready])
  })

  const to = (
    target: string,
    nodes: NodeView[],
    spec: object = {},
    memory: Partial<RolloutMemory> = {},
    answers: Record<string, string | Error> = {},
  ) => decided([plan('server-plan', { version: target }, memory)], nodes, answers, { policies: [policy(spec)] })

  test('holds every server while one member has an older etcd than 3.5.26, with or without a policy', () => {
    const nodes = [server('s1', 'v1.33.9+rke2r1'), server('s2', 'v1.33.5+rke2r1'), server('s3', 'v1.34.1+rke2r1')]
    const decision = to('v1.34.1+rke2r1', nodes)
    expect(['s1', 's2'].map((name) => holdsOn(decision, SERVERS, name))).toEqual([['EtcdTooOld'], ['EtcdTooOld']])
    expect(decision.reports.get(SERVERS)?.nodes.get('s1')?.holds[0]).toMatchObject({ endedBy: 'person', blockedBy: 'Node//s2' })
    const bare = decided([plan('server-plan', { version: 'v1.34.1+rke2r1' })], nodes, {}, { policies: [] })
    expect(holdsOn(bare, SERVERS, 's1')).toEqual(['EtcdTooOld'])
  })

  test('holds nobody where it is not crossed, where every member is ready, for a node without etcd, or for an allowed step', () => {
    expect(holdsOn(to('v1.33.9+rke2r1', three('v1.33.5+rke2r1')), SERVERS, 's1')).not.toContain('EtcdTooOld')
    expect(holdsOn(to('v1.34.1+rke2r1', three('v1.33.7+rke2r3')), SERVERS, 's1')).not.toContain('EtcdTooOld')
    const external = ['s1', 's2'].map((name) => server(name, 'v1.33.5+rke2r1', { etcd: false }))
    expect(holdsOn(to('v1.34.1+rke2r1', external), SERVERS, 's1')).not.toContain('EtcdTooOld')
    const allow = { versionPath: { allow: ['v1.33.5+rke2r1>v1.34.1+rke2r1'] } }
    expect(holdsOn(to('v1.34.1+rke2r1', three('v1.33.5+rke2r1'), allow), SERVERS, 's1')).not.toContain('EtcdTooOld')
  })

  const steps = { versionPath: { stepThroughMinors: true } }

  test('is prepared by a step within the minor in use, where its newest release has 3.5.26', () => {
    const answers = { 'v1.32': 'v1.32.13-rke2r1', 'v1.33': 'v1.33.12-rke2r1' }
    const first = to('v1.34.1+rke2r1', three('v1.32.5+rke2r1'), steps, {}, answers)
    expect(remembered(first)).toEqual([['server-plan', 'v1.32.13-rke2r1']])
    const second = to('v1.34.1+rke2r1', three('v1.32.13+rke2r1'), steps, at('v1.32.13-rke2r1'), answers)
    expect(remembered(second)).toEqual([['server-plan', 'v1.33.12-rke2r1']])
    // One minor is a step like any other here.
    expect(remembered(to('v1.33.12+rke2r1', three('v1.32.5+rke2r1'), steps, {}, answers))).toEqual([['server-plan', 'v1.32.13-rke2r1']])
  })

  test('holds a step that it cannot be prepared for', () => {
    const answers = { 'v1.33': 'v1.33.12-rke2r1' }
    const decision = to('v1.34.1+rke2r1', three('v1.33.5+rke2r1'), steps, {}, answers)
    expect(holdsOn(decision, SERVERS, 's1')).toEqual(['EtcdTooOld'])
  })
})
