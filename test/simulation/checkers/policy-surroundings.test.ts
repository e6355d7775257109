import { describe, expect, test } from '@jest/globals'
import type { Checker } from '../../../src/simulation/checkers/fact.ts'
import type { Mirror } from '../../../src/simulation/checkers/mirror.ts'
import { policyDrain, policyGivenBack } from '../../../src/simulation/checkers/policy-drain.ts'
import { policyGates } from '../../../src/simulation/checkers/policy-gates.ts'
import { policyHooks } from '../../../src/simulation/checkers/policy-hooks.ts'
import { policyKured } from '../../../src/simulation/checkers/policy-kured.ts'
import { policySnapshots } from '../../../src/simulation/checkers/policy-snapshots.ts'
import { HASH, NAMESPACE, story, working } from './story.ts'

const MINUTE = 60_000
const PLAN = `${NAMESPACE}/p`
const CLAIMED = '2026-01-01T00:00:00Z'
const wall = (_: string, mono: number) => Date.parse(CLAIMED) + mono
const truth = { namespace: NAMESPACE, well: () => true, namespaceHeld: () => false, wall }

/** Nodes a, a server, and b; the Plan p over both, which drains; the policy stood before the controllers came. */
function begun(make: (mirror: Mirror) => Checker, spec: object) {
  const s = story(make)
  s.node('a', { role: 'server' })
  s.node('b')
  s.policy('careful', { planNames: ['p'], ...spec })
  s.plan('p', { concurrency: 4, drain: {} })
  s.wait(1000)
  s.start()
  const record = (name: string, more: object = {}) => ({ ...working('p', { claimedAt: CLAIMED, ...more }), nodeUID: `uid-${name}` })
  const foreign = (resource: string, name: string, after: object, user = 'person') =>
    s.write({ user, verb: 'patch', resource, name, namespace: 'ops', after })
  return {
    ...s,
    record,
    foreign,
    take(name: string) {
      s.claim('p', [...(s.mirror.plans.get(PLAN)?.status?.applying ?? []), name])
      s.patchNode(name, { record: record(name) })
    },
    cordon: (name: string) => s.patchNode(name, { unschedulable: true, record: record(name) }),
    run: (name: string) => s.patchNode(name, { record: record(name, { startedAt: 't' }) }),
    end: (name: string) => s.patchNode(name, { unschedulable: false, record: {}, labels: { 'plan.upgrade.cattle.io/p': HASH } }),
    giveBack(name: string, how: string, unschedulable: boolean) {
      s.patchNode(name, {
        unschedulable,
        record: { nodeUID: `uid-${name}`, cordon: { plan: PLAN }, blocked: { [PLAN]: { hash: HASH, how, attempts: 1 } } },
      })
      s.claim('p', [])
    },
    evict(name: string, status = 201) {
      s.write({ user: 'drover-1', verb: 'create', resource: 'pods', subresource: 'eviction', name, namespace: NAMESPACE, status })
    },
    state: (value: string) => foreign('configmaps', 'health', { data: { state: value } }),
    lock: (nodeID: string | undefined, user = 'person') =>
      foreign(
        'daemonsets',
        'kured',
        { metadata: { annotations: nodeID === undefined ? {} : { 'weave.works/kured-node-lock': JSON.stringify({ nodeID }) } } },
        user,
      ),
  }
}

describe('drains under a policy', () => {
  const make = (mirror: Mirror) => policyDrain(mirror, truth)
  const rules = [
    { podSelector: { matchLabels: { batch: 'true' } }, behavior: 'WaitCompleted', timeout: '1m' },
    { podSelector: { matchLabels: { app: 'log' } }, behavior: 'Skip' },
    { podSelector: { matchLabels: { app: 'db' } }, order: 10 },
  ]
  const draining = (drain: object) => {
    const s = begun(make, { drain: { timeout: '3m', rules, ...drain } })
    for (const [name, labels] of [
      ['batch', { batch: 'true' }],
      ['log', { app: 'log' }],
      ['db', { app: 'db' }],
    ] as const)
      s.pod(name, { node: 'b', labels })
    s.take('b')
    s.cordon('b')
    return s
  }

  test('who is skipped stays, who may end gets the time, and who goes last goes last', () => {
    const s = draining({})
    const words = (name: string, why: string) => `pod ${name} is evicted from b for ${PLAN}: ${why}`
    s.evict('log')
    s.evict('db')
    s.evict('batch')
    expect(s.said).toEqual([
      words('log', 'a rule skips it'),
      words('db', 'batch goes before it'),
      words('batch', 'it may come to its own end'),
    ])
    s.wait(MINUTE)
    s.evict('batch')
    s.pod('batch', { node: 'b', labels: { batch: 'true' }, phase: 'Succeeded' })
    s.evict('db')
    expect(s.said).toHaveLength(3)
  })

  test('nothing begins with pods left, but Proceed with those that refused to the end', () => {
    const s = draining({})
    s.run('b')
    expect(s.said).toEqual([`the upgrade of b by ${PLAN} begins: pod batch is still there`])
    for (const [refusals, broken] of [
      [[], 1],
      [['batch', 'db'], 0],
    ] as const) {
      const proceeding = draining({ onTimeout: 'Proceed' })
      for (const name of refusals) proceeding.evict(name, 429)
      proceeding.wait(3 * MINUTE)
      proceeding.run('b')
      expect(proceeding.said).toHaveLength(broken)
    }
  })
})

describe('nodes that are given back', () => {
  const make = (mirror: Mirror) => policyGivenBack(mirror, truth)
  const given = (how: string, { onTimeout = how, after = 2 * MINUTE, unschedulable = how === 'Quarantine' } = {}) => {
    const s = begun(make, { drain: { timeout: '2m', onTimeout, maxBlockedNodes: 0 }, failure: { backoff: { base: '1m', cap: '1m' } } })
    s.take('b')
    s.cordon('b')
    s.wait(after)
    s.giveBack('b', how, unschedulable)
    return s
  }

  test('as the policy says, not too early, and with or without the cordon', () => {
    expect(given('Release').said).toEqual([])
    expect(given('Quarantine').said).toEqual([])
    expect(given('Release', { unschedulable: true }).said).toEqual([`b is released by ${PLAN} and stays cordoned`])
    expect(given('Quarantine', { unschedulable: false }).said).toContain(`b is put in quarantine by ${PLAN} and uncordoned`)
    expect(given('Release', { onTimeout: 'Quarantine' }).said).toEqual([`b is given back by ${PLAN} (Release): the policy says Quarantine`])
    expect(given('Release', { after: MINUTE }).said).toEqual([`b is given back by ${PLAN} (Release): its time is not over`])
  })

  test('released: tried again after the backoff; quarantined: only when somebody says so', () => {
    const released = given('Release')
    released.take('b')
    expect(released.said).toEqual([`b is taken for ${PLAN}: its drain is to be tried again 60 s after it was given back`])
    const later = given('Release')
    later.wait(MINUTE)
    later.take('b')
    expect(later.said).toEqual([])
    const kept = given('Quarantine')
    kept.wait(60 * MINUTE)
    kept.take('b')
    kept.patchNode('b', { unschedulable: false })
    expect(kept.said).toEqual([
      `b is taken for ${PLAN}: Plan ${PLAN} keeps it in quarantine`,
      `b is uncordoned though ${PLAN} keeps it in quarantine`,
    ])
    const asked = given('Quarantine')
    asked.plan('p', { concurrency: 4, drain: {} }, { annotations: { 'drover.io/retry': '1' } })
    asked.take('b')
    expect(asked.said).toEqual([])
  })

  test('with more of them than allowed no other node is taken', () => {
    const s = given('Release')
    s.wait(4 * MINUTE)
    s.take('a')
    expect(s.said).toEqual([`a is taken for ${PLAN}: 1 nodes could not be drained, 0 allowed`])
  })
})

describe('gates', () => {
  const gate = (at: string, more: object = {}) => ({
    gates: [{ name: 'health', at: [at], object: { namespace: 'ops', name: 'health', expect: [{ values: ['green'] }] }, ...more }],
  })
  const looking = (at: string, more?: object) => {
    const s = begun((mirror) => policyGates(mirror), gate(at, more))
    s.state('green')
    return s
  }

  test.each(['PlanStart', 'NodeStart'])('%s: nobody is taken once it must be known that the object is red', (at) => {
    const s = looking(at)
    s.wait(5 * MINUTE)
    s.state('red')
    s.wait(30_000)
    s.take('a')
    expect(s.said).toEqual([])
    const late = looking(at)
    late.state('red')
    late.wait(MINUTE)
    late.take('a')
    expect(late.said).toEqual([`a is taken for ${PLAN}: gate health has not been met for 60 s`])
  })

  test('stableFor counts from when it is green again, and Continue passes over', () => {
    const s = looking('NodeStart', { stableFor: '1m' })
    s.state('red')
    s.wait(2 * MINUTE)
    s.state('green')
    s.wait(30_000)
    s.take('a')
    expect(s.said).toEqual([`a is taken for ${PLAN}: gate health has been met for less than 1m`])
    const passed = looking('NodeStart', { timeout: '3m', onTimeout: 'Continue' })
    passed.state('red')
    passed.wait(4 * MINUTE)
    passed.take('a')
    expect(passed.said).toEqual([])
  })

  test('NodeEnd: a proven node waits', () => {
    const s = looking('NodeEnd')
    s.state('red')
    s.take('a')
    s.run('a')
    s.wait(2 * MINUTE)
    s.end('a')
    expect(s.said).toEqual([`a is ended for ${PLAN}: gate health has not been met for 120 s`])
  })

  test('WaveEnd: whoever comes after the wave waits until it was met once', () => {
    const wave = { 'drover.io/rollout': JSON.stringify({ waves: { hash: HASH, of: [{ name: 'canary', members: ['a'], doneAt: 't' }] } }) }
    for (const [green, broken] of [
      [false, 1],
      [true, 0],
    ] as const) {
      const s = looking('WaveEnd')
      s.state('red')
      s.wait(2 * MINUTE)
      s.annotate('p', wave)
      if (green) s.state('green')
      if (green) s.state('red')
      s.wait(MINUTE)
      s.take('b')
      expect(s.said).toHaveLength(broken)
    }
  })
})

test('hooks: nothing is done to a node before just this attempt is acknowledged, nor is it ended', () => {
  const s = begun((mirror) => policyHooks(mirror), {
    hooks: { before: [{ name: 'cmdb', ackAnnotation: 'x/ready' }], after: [{ name: 'smoke', ackAnnotation: 'x/passed' }] },
  })
  s.take('a')
  s.patchNode('a', { annotations: { 'x/ready': 'before/h1/2/20260101T000000Z' } }, 'person')
  s.cordon('a')
  expect(s.said).toEqual(['a: cordon, and hook cmdb has not acknowledged before/h1/1/20260101T000000Z'])
  s.patchNode('a', { annotations: { 'x/ready': 'before/h1/1/20260101T000000Z' } }, 'person')
  s.run('a')
  expect(s.said).toHaveLength(1)
  s.end('a')
  expect(s.said.slice(1)).toEqual(['a is ended, and hook smoke has not acknowledged after/h1/1/20260101T000000Z'])
})

test('kured: nobody is taken while it holds its lock, which is never taken from it, and ours is given back', () => {
  const s = begun((mirror) => policyKured(mirror), { coordinate: { kured: true } })
  s.lock('b')
  s.wait(MINUTE)
  s.take('a')
  s.lock('drover/x', 'drover-1')
  expect(s.said).toEqual([`a: work for ${PLAN} while kured holds its lock for b`, "kured's lock is taken from it, though it held it for b"])
  s.end('a')
  s.claim('p', [])
  s.see({ kind: 'end', mono: 1e6, stillWriting: false })
  expect(s.said.slice(2)).toEqual(["kured's lock is still held though nothing is worked on"])
})

test('etcd snapshots: no server is taken without one that is young and could be restored', () => {
  const made = (readyToUse: boolean, age: number, name = 'a') => {
    const s = begun((mirror) => policySnapshots(mirror, truth), { etcdSnapshot: { policy: 'Require', maxAge: '1h' } })
    s.foreign('etcdsnapshotfiles', 'one', {
      status: { readyToUse, size: '1', creationTime: new Date(Date.parse(CLAIMED) - age).toISOString() },
    })
    s.take(name)
    return s.said
  }
  expect(made(true, 30 * MINUTE)).toEqual([])
  expect(made(false, 0, 'b')).toEqual([])
  const none = [`a is taken for ${PLAN}: no etcd snapshot is younger than 1h`]
  expect([made(true, 90 * MINUTE), made(false, 0)]).toEqual([none, none])
})
