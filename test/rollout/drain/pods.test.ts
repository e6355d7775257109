import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import type { Pod } from 'kubernetes-types/core/v1.d.ts'
import type { PodDisruptionBudget } from 'kubernetes-types/policy/v1.d.ts'
import type { DrainSpec } from '../../../src/api/plan.ts'
import { forecast } from '../../../src/rollout/drain/forecast.ts'
import { type DrainVerdict, drainTimeoutMs, evictionGraceSeconds, filterPods, refusals } from '../../../src/rollout/drain/pods.ts'

const GRACE = 18
const goingMs = (pod: Pod): number => Number(/^going for (.*)$/.exec(pod.metadata?.uid ?? '')?.[1]) * 1000

interface Traits {
  owner?: 'ReplicaSet' | 'DaemonSet' | undefined
  labels?: Record<string, string>
  phase?: string
  emptyDir?: boolean
  mirror?: boolean
  /** For how many seconds it has been seen going, with a grace period of GRACE. */
  goingFor?: number | undefined
  ready?: boolean
}

function pod(
  name: string,
  { owner = 'ReplicaSet', labels = {}, phase = 'Running', emptyDir = false, mirror = false, goingFor, ready = true }: Traits = {},
): Pod {
  // The API server's clock is a year behind.
  const going =
    goingFor === undefined
      ? {}
      : { uid: `going for ${goingFor}`, deletionTimestamp: '2025-03-02T12:00:00Z', deletionGracePeriodSeconds: GRACE }
  return {
    metadata: {
      name,
      namespace: 'ns',
      labels,
      ...going,
      ...(mirror ? { annotations: { 'kubernetes.io/config.mirror': '' } } : {}),
      ownerReferences: [{ apiVersion: 'apps/v1', kind: owner, name: 'owner', uid: 'o', controller: true }],
    },
    spec: { containers: [], volumes: emptyDir ? [{ name: 'v', emptyDir: {} }] : [{ name: 'v', configMap: {} }] },
    status: { phase, conditions: [{ type: 'Ready', status: ready ? 'True' : 'False' }] },
  }
}

/** No controller: nobody brings it back. */
function bare(name: string, traits: Traits = {}): Pod {
  const made = pod(name, traits)
  return { ...made, metadata: { ...made.metadata, ownerReferences: [{ apiVersion: 'v1', kind: 'Node', name: 'n', uid: 'n' }] } }
}

function judge(pods: readonly Pod[], drain: DrainSpec = {}, daemonSets = true): readonly DrainVerdict[] {
  const made = filterPods({ pods, drain, daemonSetExists: () => daemonSets, goingMs })
  if (!made.ok) throw new Error(made.error)
  return made.verdicts
}

const one = (subject: Pod, drain: DrainSpec = {}, daemonSets = true): Partial<DrainVerdict> => {
  const { pod: _, ...verdict } = judge([subject], drain, daemonSets)[0] ?? { pod: subject }
  return verdict
}

describe('filterPods', () => {
  test('a pod that a controller manages goes', () => {
    expect(one(pod('a'))).toEqual({ action: 'evict' })
  })

  test('pods of a DaemonSet stay, and refuse the drain with ignoreDaemonSets: false', () => {
    expect(one(pod('a', { owner: 'DaemonSet' }))).toMatchObject({ action: 'leave' })
    expect(one(pod('a', { owner: 'DaemonSet' }), { ignoreDaemonSets: false })).toMatchObject({
      action: 'refuse',
      reason: expect.stringContaining('DaemonSet-managed'),
    })
  })

  test('pods of a DaemonSet that is gone go with force only', () => {
    const orphan = pod('a', { owner: 'DaemonSet' })
    expect(one(orphan, {}, false)).toMatchObject({ action: 'refuse', reason: expect.stringContaining('daemonsets.apps "owner" not found') })
    expect(one(orphan, { force: true }, false)).toMatchObject({ action: 'evict', warning: 'daemonsets.apps "owner" not found' })
    expect(one(pod('a', { owner: 'DaemonSet', emptyDir: true }), { force: true, deleteEmptydirData: false }, false)).toMatchObject({
      action: 'refuse',
    })
  })

  test('mirror pods stay', () => {
    expect(one(bare('a', { mirror: true }))).toMatchObject({ action: 'leave' })
  })

  test.each([
    [{}, 'evict'],
    [{ deleteEmptydirData: true }, 'evict'],
    [{ deleteLocalData: true }, 'evict'],
    [{ deleteEmptydirData: false }, 'refuse'],
    [{ deleteLocalData: false }, 'refuse'],
    [{ deleteLocalData: true, deleteEmptydirData: false }, 'refuse'],
  ])('with %j a pod with an emptyDir: %s', (drain, action) => {
    expect(one(pod('a', { emptyDir: true }), drain)).toMatchObject({ action })
  })

  test('a pod without a controller goes with force only', () => {
    expect(one(bare('a'))).toMatchObject({ action: 'refuse', reason: expect.stringContaining('declare no controller') })
    expect(one(bare('a'), { force: true })).toMatchObject({ action: 'evict', warning: 'deleting a pod that declares no controller' })
  })

  test.each(['Succeeded', 'Failed'])('a finished pod (%s) goes whatever it is', (phase) => {
    const strict = { ignoreDaemonSets: false, deleteEmptydirData: false }
    expect(one(bare('a', { phase, emptyDir: true }), strict)).toEqual({ action: 'evict' })
    expect(one(pod('a', { phase, owner: 'DaemonSet' }), strict)).toEqual({ action: 'evict' })
  })

  test('a pod that is going is waited for, and no longer than skipWaitForDeleteTimeout', () => {
    expect(one(pod('a', { goingFor: 0 }))).toEqual({ action: 'wait' })
    expect(one(pod('a', { goingFor: 3600 }))).toEqual({ action: 'wait' })
    expect(one(pod('a', { goingFor: 0 }), { skipWaitForDeleteTimeout: 60 })).toEqual({ action: 'wait' })
    expect(one(pod('a', { goingFor: GRACE + 60 }), { skipWaitForDeleteTimeout: 60 })).toEqual({ action: 'wait' })
    expect(one(pod('a', { goingFor: GRACE + 60.1 }), { skipWaitForDeleteTimeout: 60 })).toMatchObject({ action: 'leave' })
    expect(one(bare('a', { goingFor: GRACE + 60.1 }), { skipWaitForDeleteTimeout: 60 })).toMatchObject({ action: 'leave' })
  })

  test('the podSelector narrows the drain; the controller label always spares', () => {
    const podSelector = { matchLabels: { app: 'web' } }
    expect(one(pod('a', { labels: { app: 'web' } }), { podSelector })).toEqual({ action: 'evict' })
    expect(one(bare('a', { labels: { app: 'db' } }), { podSelector })).toMatchObject({ action: 'leave' })
    expect(one(bare('a', { labels: { app: 'web', 'upgrade.cattle.io/controller': 'x' } }), { podSelector })).toMatchObject({
      action: 'leave',
    })
    expect(one(bare('a', { labels: { 'upgrade.cattle.io/controller': '' } }))).toMatchObject({ action: 'leave' })
    expect(one(pod('a'), { podSelector: {} })).toEqual({ action: 'evict' })
  })

  test('a podSelector that cannot be used is told', () => {
    const podSelector = { matchExpressions: [{ key: 'a', operator: 'Near' }] }
    const made = filterPods({ pods: [pod('a')], drain: { podSelector }, daemonSetExists: () => true, goingMs })
    expect(made).toEqual({ ok: false, error: '"Near" is not a valid label selector operator' })
  })

  test('each reason to refuse names its pods', () => {
    const verdicts = judge([bare('a'), pod('b', { emptyDir: true }), bare('c')], { deleteEmptydirData: false })
    expect(refusals(verdicts)).toEqual([
      'cannot delete Pods that declare no controller (force is not set): ns/a, ns/c',
      'cannot delete Pods with local storage (deleteEmptydirData or deleteLocalData is false): ns/b',
    ])
  })

  const traits = fc.record({
    owner: fc.constantFrom('ReplicaSet' as const, 'DaemonSet' as const),
    labels: fc.constantFrom({}, { app: 'web' }, { 'upgrade.cattle.io/controller': 'c' }),
    phase: fc.constantFrom('Running', 'Pending', 'Succeeded', 'Failed'),
    emptyDir: fc.boolean(),
    mirror: fc.boolean(),
    goingFor: fc.constantFrom(undefined, 100, 30),
  })
  const pods = fc
    .array(fc.tuple(traits, fc.boolean()), { maxLength: 12 })
    .map((list) => list.map(([each, alone], i) => (alone ? bare : pod)(`p${i}`, each)))
  const options = fc.record(
    {
      force: fc.boolean(),
      ignoreDaemonSets: fc.boolean(),
      deleteEmptydirData: fc.boolean(),
      deleteLocalData: fc.boolean(),
      skipWaitForDeleteTimeout: fc.constantFrom(0, 60),
      podSelector: fc.constant({ matchLabels: { app: 'web' } }),
    },
    { requiredKeys: [] },
  )

  test('one verdict for each pod, in order, and each by the pod alone', () => {
    fc.assert(
      fc.property(pods, options, (list, drain) => {
        const verdicts = judge(list, drain)
        expect(verdicts.map((verdict) => verdict.pod)).toEqual(list)
        expect(verdicts).toEqual(list.flatMap((each) => judge([each], drain)))
      }),
    )
  })

  test('force and the permission to lose data never refuse more', () => {
    fc.assert(
      fc.property(pods, options, (list, drain) => {
        const bold = judge(list, { ...drain, force: true, deleteEmptydirData: true, deleteLocalData: true, ignoreDaemonSets: true })
        expect(bold.some(({ action }) => action === 'refuse')).toBe(false)
        for (const [i, verdict] of judge(list, drain).entries()) if (verdict.action === 'evict') expect(bold[i]?.action).toBe('evict')
      }),
    )
  })

  test('never a pod with the controller label, nor a running mirror pod', () => {
    fc.assert(
      fc.property(pods, options, (list, drain) => {
        for (const { pod: subject, action } of judge(list, drain)) {
          const spared = subject.metadata?.labels?.['upgrade.cattle.io/controller'] !== undefined
          const mirror = subject.metadata?.annotations !== undefined
          if (spared) expect(action).toBe('leave')
          if (mirror) expect(action).not.toBe('evict')
        }
      }),
    )
  })
})

describe('options', () => {
  test.each([
    [undefined, undefined],
    [0, undefined],
    ['0', undefined],
    ['0s', undefined],
    [1_500_000_000, 1500],
    [300_000_000_000, 300_000],
    [2n ** 62n, Number(2n ** 62n / 1_000_000n + 1n)],
    ['300000000000', 300_000],
    ['15m', 900_000],
    ['1ns', 1],
  ])('timeout %s is %s ms', (timeout, ms) => {
    expect(drainTimeoutMs(timeout === undefined ? {} : { timeout })).toEqual({ ok: true, ms })
  })

  test('a timeout that says nothing is told', () => {
    expect(drainTimeoutMs({ timeout: 'whenever' })).toEqual({ ok: false, error: 'spec.drain.timeout: time: invalid duration "whenever"' })
    expect(drainTimeoutMs({ timeout: -1 })).toEqual({ ok: false, error: 'spec.drain.timeout is negative' })
  })

  test("a negative grace period leaves the pod's own", () => {
    expect([undefined, -1, 0, 30].map((gracePeriod) => evictionGraceSeconds(gracePeriod === undefined ? {} : { gracePeriod }))).toEqual([
      undefined,
      undefined,
      0,
      30,
    ])
  })
})

describe('forecast', () => {
  const budget = (name: string, disruptionsAllowed: number, more: object = {}): PodDisruptionBudget => ({
    metadata: { name, namespace: 'ns', generation: 2 },
    spec: { selector: { matchLabels: { app: 'web' } }, ...more },
    status: { disruptionsAllowed, currentHealthy: 3, desiredHealthy: 3, expectedPods: 3, observedGeneration: 2 },
  })
  const web = pod('a', { labels: { app: 'web' } })

  test('names pod and budget where no disruption is allowed', () => {
    expect(forecast([web, pod('b')], [budget('pdb', 0)])).toMatchObject([
      {
        pod: web,
        cause: 'NoDisruptionAllowed',
        message: 'pod ns/a cannot be evicted now: PodDisruptionBudget ns/pdb allows no disruption (3 healthy, 3 required)',
      },
    ])
    expect(forecast([web], [budget('pdb', 1)])).toEqual([])
  })

  test('a budget whose status is out of date allows nothing', () => {
    const stale = budget('pdb', 1)
    expect(forecast([web], [{ ...stale, metadata: { ...stale.metadata, generation: 3 } }])).toHaveLength(1)
  })

  test('two budgets on a pod are refused whatever they allow', () => {
    expect(forecast([web], [budget('one', 5), budget('two', 5)])).toMatchObject([
      { cause: 'SeveralBudgets', message: expect.stringContaining('(ns/one, ns/two)') },
    ])
  })

  test('pods that are over or never began, and unready ones under AlwaysAllow, are no obstacle', () => {
    const labels = { app: 'web' }
    for (const phase of ['Succeeded', 'Failed', 'Pending'])
      expect(forecast([pod('a', { labels, phase })], [budget('p', 0), budget('q', 0)])).toEqual([])
    const unready = pod('a', { labels, ready: false })
    expect(forecast([unready], [budget('p', 0, { unhealthyPodEvictionPolicy: 'AlwaysAllow' })])).toEqual([])
    const starving = budget('p', 0)
    expect(forecast([unready], [{ ...starving, status: { ...starving.status, currentHealthy: 2 } as never }])).toHaveLength(1)
  })

  test('budgets of other namespaces do not count', () => {
    const elsewhere = budget('pdb', 0)
    expect(forecast([web], [{ ...elsewhere, metadata: { ...elsewhere.metadata, namespace: 'other' } }])).toEqual([])
  })
})
