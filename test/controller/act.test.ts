import { describe, expect, test } from '@jest/globals'
import type { JsonObject } from '../../src/base/json.ts'
import { hold } from '../../src/api/reasons.ts'
import { type ActOptions, createAct } from '../../src/controller/act.ts'
import type { Confirm } from '../../src/controller/confirm.ts'
import { createMemory } from '../../src/controller/memory.ts'
import { ApiError } from '../../src/kube/client/api-error.ts'
import type { Client } from '../../src/kube/client/client.ts'
import type { Action, JobView, PlanView, Step } from '../../src/rollout/world.ts'
import { aJob, aNode, aPlan } from '../rollout/build.ts'

interface Call {
  readonly verb: string
  readonly path: string
  readonly body?: JsonObject
  readonly options?: { readonly uid?: string; readonly resourceVersion?: string }
}

function answer(status: number, message: string): ApiError {
  return new ApiError('PATCH /x', { status, headers: {}, body: { kind: 'Status', code: status, message } } as never)
}

/** An `act` on its own: the client is a function, the caches are lists, time is a number. */
function bench(given: {
  readonly send?: (call: Call) => Promise<JsonObject> | JsonObject
  readonly plans?: readonly PlanView[]
  readonly jobs?: readonly JobView[]
  readonly confirm?: Partial<Confirm>
}) {
  const calls: Call[] = []
  const time = { mono: 0 }
  const memory = createMemory()
  let written = 0
  const send = async (call: Call): Promise<JsonObject> => {
    calls.push(call)
    return (await given.send?.(call)) ?? { metadata: { name: 'x', uid: 'u', resourceVersion: `w${++written}` } }
  }
  const client = {
    mergePatch: (path: string, body: JsonObject) => send({ verb: 'PATCH', path, body }),
    create: (path: string, body: JsonObject) => send({ verb: 'POST', path, body }),
    delete: (path: string, options: Call['options'] & object) => send({ verb: 'DELETE', path, options }),
  } as unknown as Client
  const cache = (get: (key: string) => unknown) => ({ lists: 0, wrote: () => undefined, wroteDelete: () => undefined, get })
  const quiet = { debug() {}, info() {}, warn() {}, error() {} }
  const act = createAct({
    process: { clock: { mono: () => time.mono, wall: () => time.mono }, log: quiet, random: () => 0.5 },
    client,
    caches: {
      nodes: { ...cache((name) => (name.startsWith('n') ? aNode(name) : undefined)), list: () => [aNode('n1'), aNode('n2')] },
      plans: { ...cache((key) => given.plans?.find((view) => view.key === key)), list: () => given.plans ?? [] },
      jobs: cache((key) => given.jobs?.find((job) => `${job.namespace}/${job.name}` === key)),
      pods: cache(() => undefined),
    },
    memory,
    events: { record: () => undefined },
    metrics: { claimWithdrawn: () => undefined, evicted: () => undefined },
    confirm: given.confirm ?? {},
    leading: () => true,
    ended: () => undefined,
  } as unknown as ActOptions)
  const perform = async (...steps: Step[]): Promise<void> => {
    act.start(steps, 1)
    await act.idle()
  }
  return { act, calls, memory, time, perform }
}

const claim = (view: PlanView, applying: readonly string[], confirm: readonly string[]): Step => ({
  about: `plan ${view.key}`,
  actions: [
    {
      do: 'writeStatus',
      plan: { namespace: view.namespace, name: view.name, uid: view.uid },
      resourceVersion: view.resourceVersion,
      status: { applying, latestHash: 'h' } as never,
      confirm,
    },
  ],
})
const applyingOf = (call: Call | undefined) => (call?.body?.['status'] as { applying?: string[] } | undefined)?.applying
const busy = new Map([['n1', hold('ControlPlaneBusy', 'server s1 is in flight')]])

describe('a claim that its confirmation finds wrong', () => {
  test('is withdrawn from what was read: what another leader claimed meanwhile stays', async () => {
    const view = aPlan('p')
    const { calls, memory, perform } = bench({
      plans: [view],
      confirm: { claims: async () => ({ holds: busy, read: { resourceVersion: '10', applying: ['n1', 'n2'] } }) },
    })
    await perform(claim(view, ['n1'], ['n1']))
    expect(calls.map(applyingOf)).toEqual([['n1'], ['n2']])
    expect(memory.setbacks.get(`claim ${view.key} n1`)).toMatchObject({
      plan: view.key,
      node: 'n1',
      hold: {
        reason: 'ClaimWithdrawn',
        message: 'the claim was withdrawn: server s1 is in flight (ControlPlaneBusy)',
        endedBy: 'time',
        retryAt: 10_000,
      },
    })
    expect(calls[1]?.body?.['metadata']).toMatchObject({ resourceVersion: '10' })
  })

  test('a node that stood in applying before keeps its place', async () => {
    const view = aPlan('p', {}, { status: { applying: ['n1'] } })
    const { calls, memory, perform } = bench({
      plans: [view],
      confirm: { claims: async () => ({ holds: busy, read: { resourceVersion: '10', applying: ['n1', 'n2'] } }) },
    })
    await perform(claim(view, ['n1', 'n2'], ['n1', 'n2']))
    expect(calls.map(applyingOf)).toEqual([['n1', 'n2']])
    expect([...memory.confirmed]).toEqual([`${view.uid}/h/uid-n2`])
  })

  test('a Plan that is gone or unreadable by then is not written', async () => {
    const view = aPlan('p')
    const { calls, perform } = bench({ plans: [view], confirm: { claims: async () => ({ holds: busy, read: undefined }) } })
    await perform(claim(view, ['n1'], ['n1']))
    expect(calls).toHaveLength(1)
  })
})

test.each(['confirmed', 'withdrawn', 'refused'])('whoever waits for idleness during a claim is told when it is %s', async (how) => {
  const view = aPlan('p')
  const { act } = bench({
    plans: [view],
    confirm: {
      claims: async () => {
        if (how === 'refused') throw answer(500, 'no')
        return { holds: how === 'confirmed' ? new Map() : busy, read: { resourceVersion: '10', applying: ['n1'] } }
      },
    },
  })
  act.start([claim(view, ['n1'], ['n1'])], 1)
  const late = new Promise((resolve) => setTimeout(() => resolve('late'), 500).unref())
  expect(await Promise.race([act.idle().then(() => 'idle'), late])).toBe('idle')
})

describe('a Job that a returning SUC must leave alone', () => {
  const job = { namespace: 'd', name: 'j', uid: 'u' }
  const shield = { 'objectset.rio.cattle.io/applied': expect.stringMatching(/^\{/) }

  test('is shielded by the very write that starts it', async () => {
    const { calls, perform } = bench({})
    await perform({ about: 'n1', actions: [{ do: 'startJob', job }] })
    expect(calls.map(({ body }) => body)).toEqual([
      // Its TTL comes with the verdict: a strict Job has one from birth, as SUC's.
      { metadata: { uid: 'u', annotations: shield }, spec: { parallelism: 1, ttlSecondsAfterFinished: null } },
    ])
  })

  test('is shielded without a change of what it does, when it is adopted', async () => {
    const { calls, perform } = bench({})
    await perform({ about: 'n1', actions: [{ do: 'shieldJob', job }] })
    expect(calls.map(({ body }) => body)).toEqual([{ metadata: { uid: 'u', annotations: shield }, spec: {} }])
  })
})

describe('what is left of a Job', () => {
  test('is hidden from SUC once the node is judged', async () => {
    const { calls, perform } = bench({})
    await perform({
      about: 'job u',
      actions: [{ do: 'expireJob', job: { namespace: 'd', name: 'j', uid: 'u' }, ttlSeconds: 900, disown: true }],
    })
    const labels = { 'upgrade.cattle.io/controller': null }
    expect(calls.map(({ body }) => body)).toEqual([{ metadata: { uid: 'u', labels }, spec: { ttlSecondsAfterFinished: 900 } }])
  })

  const job = { namespace: 'd', name: 'j', uid: 'u' }

  test('is suspended under its shield after a failure, and without one when the node is proven', async () => {
    const { calls, perform, time } = bench({})
    await perform({ about: 'n1', actions: [{ do: 'suspendJob', job }] })
    time.mono += 1000
    await perform({ about: 'n1', actions: [{ do: 'suspendJob', job, unshield: true }] })
    expect(calls.map(({ body }) => body)).toEqual([
      { metadata: { uid: 'u' }, spec: { suspend: true } },
      { metadata: { uid: 'u', annotations: { 'objectset.rio.cattle.io/applied': null } }, spec: { suspend: true } },
    ])
  })
})

describe('a write that meets a conflict', () => {
  const cordon = (resourceVersion: string): Step => ({
    about: 'n1',
    actions: [{ do: 'labelNode', node: 'n1', uid: 'u', resourceVersion, labels: {} }],
  })

  test('is not tried again as it was before its wait is over, and at once when the object is seen to be another', async () => {
    const { calls, perform, time } = bench({
      send: () => {
        throw answer(409, 'the object has been modified')
      },
    })
    await perform(cordon('7'))
    time.mono += 1000
    await perform(cordon('7'))
    expect(calls).toHaveLength(2)
    time.mono += 100
    await perform(cordon('7'))
    expect(calls).toHaveLength(2)
    await perform(cordon('8'))
    expect(calls).toHaveLength(3)
  })

  test('as any failure waits its time when nothing says what it hangs on', async () => {
    const { calls, perform } = bench({
      send: () => {
        throw answer(500, 'no')
      },
    })
    await perform(cordon('7'))
    await perform(cordon('8'))
    expect(calls).toHaveLength(1)
  })
})

describe('removing a Job', () => {
  const remove = (job: JobView): Step => ({
    about: 'j',
    actions: [{ do: 'deleteJob', job: { namespace: job.namespace, name: job.name, uid: job.uid } }],
  })

  test('a paused one goes only as it was seen; one that somebody started meanwhile stays, and is asked about again', async () => {
    const paused = aJob('j', 'n1', { parallelism: 0, resourceVersion: '7' })
    const { calls, perform, time } = bench({
      jobs: [paused],
      send: () => {
        throw answer(409, 'the resourceVersion differs')
      },
    })
    await perform(remove(paused))
    expect(calls[0]?.options).toMatchObject({ uid: paused.uid, resourceVersion: '7' })
    time.mono += 1000
    await perform(remove(paused))
    expect(calls).toHaveLength(2)
  })

  test('one that runs goes in whatever state it is', async () => {
    const running = aJob('j', 'n1', { parallelism: 1, resourceVersion: '7' })
    const { calls, perform } = bench({ jobs: [running] })
    await perform(remove(running))
    expect(calls[0]?.options?.resourceVersion).toBeUndefined()
  })

  test('a start that is put off removes the Job as it was before the reads', async () => {
    const jobs = [aJob('j', 'n1', { parallelism: 0, resourceVersion: '7' })]
    const recheck: Action = {
      do: 'recheck',
      plan: 'system-upgrade/p',
      node: 'n1',
      job: { namespace: jobs[0]!.namespace, name: 'j', uid: jobs[0]!.uid },
      quorum: true,
    }
    const { calls, perform } = bench({
      jobs,
      confirm: {
        start: async () => {
          jobs[0] = { ...jobs[0]!, parallelism: 1, resourceVersion: '8' }
          return hold('NodeHeld', 'held')
        },
      },
    })
    await perform({ about: 'n1', actions: [recheck] })
    expect(calls[0]?.options?.resourceVersion).toBe('7')
  })
})

test('a blocked eviction is tried as often as it is asked for; another step that brings nothing ever more seldom', async () => {
  const { calls, perform, time } = bench({
    send: (call) => {
      if (call.path.endsWith('/eviction')) throw answer(429, 'budget')
      return { metadata: { name: 'x', uid: 'u', resourceVersion: '1' } }
    },
  })
  const pod = { namespace: 'd', name: 'x', uid: 'u' }
  const ttl: Action = { do: 'expireJob', job: pod, ttlSeconds: 1 }
  for (; time.mono < 300_000; time.mono += 5000)
    await perform({ about: 'pod u', actions: [{ do: 'evict', pod }] }, { about: 'job u', actions: [ttl] })
  expect(calls.filter((call) => call.verb === 'POST')).toHaveLength(60)
  expect(calls.filter((call) => call.verb === 'PATCH').length).toBeLessThan(15)
})

describe('a refused eviction', () => {
  const pod = { namespace: 'd', name: 'x', uid: 'u' }
  const lacking = 'pods "x" is forbidden: User "drover" cannot create resource "pods/eviction" in API group "" in the namespace "d"'
  const webhook = 'admission webhook "guard.example.com" denied the request: the database is busy'
  const policy = `pods "x" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: the database is busy`

  test.each([
    [403, lacking, true],
    // What a webhook says of it may read like anything.
    [403, `admission webhook "guard.example.com" denied the request: ${lacking}`, false],
    [403, webhook, false],
    [403, 'admission webhook "guard.example.com" denied the request without explanation', false],
    [403, policy, false],
    [403, `pods "x" is forbidden: User "admission webhook "w" denied the request" cannot create resource "pods/eviction"`, true],
    // A proxy, for example, of which nobody knows what it means.
    [403, '<html>Forbidden</html>', true],
    [400, webhook, false],
    [404, webhook, false],
    [409, webhook, false],
    [429, 'budget', false],
  ])('%s %s: a missing permission is %s', async (status, message, forbidden) => {
    const evictions = bench({
      send: () => {
        throw answer(status, message)
      },
    })
    await evictions.perform({ about: 'pod u', actions: [{ do: 'evict', pod }] })
    expect(evictions.memory.evictions.get('u')).toMatchObject({ sent: false, forbidden, message: expect.stringContaining(message) })
  })

  test.each([
    [lacking, true],
    [webhook, false],
    [policy, false],
  ])('is one, too, where the pod is deleted instead: 403 %s', async (message, forbidden) => {
    const { memory, perform } = bench({
      send: () => {
        throw answer(403, message)
      },
    })
    await perform({ about: 'pod u', actions: [{ do: 'deletePod', pod }] })
    expect(memory.evictions.get('u')).toMatchObject({ sent: false, forbidden })
  })

  test.each([404, 409])('%s: the pod is gone, or another has its name', async (status) => {
    const { memory, perform } = bench({
      send: () => {
        throw answer(status, 'pods "x" not found')
      },
    })
    await perform({ about: 'pod u', actions: [{ do: 'evict', pod }] })
    expect(memory.evictions.size).toBe(0)
  })
})

describe('what the API server refuses', () => {
  const view = aPlan('p')
  const pull = (name: string): Step => ({
    about: `pull ${name}`,
    actions: [
      {
        do: 'createPod',
        pod: { metadata: { name, namespace: view.namespace, labels: { 'drover.io/plan': 'p', 'drover.io/node': 'n2' } } },
      },
    ],
  })

  test.each([
    [403, true],
    [422, true],
    [400, true],
    [409, false],
    [404, false],
    [429, false],
    [401, false],
    [500, false],
  ])('%d is kept for people: %s', async (status, kept) => {
    const { memory, perform } = bench({
      plans: [view],
      send: () => {
        throw answer(status, 'violates PodSecurity')
      },
    })
    await perform(pull('x'))
    expect(memory.setbacks.has('pull x')).toBe(kept)
  })

  test('is told of the Plan and the node, until it is taken after all', async () => {
    let open = false
    const { memory, perform, time } = bench({
      plans: [view],
      send: () => {
        if (!open) throw answer(403, 'violates PodSecurity')
        return { metadata: { name: 'x', uid: 'u', resourceVersion: '1' } }
      },
    })
    await perform(pull('x'))
    expect(memory.setbacks.get('pull x')).toMatchObject({ plan: view.key, node: 'n2', hold: { reason: 'Refused', endedBy: 'person' } })
    expect(memory.setbacks.get('pull x')?.hold.message).toContain('violates PodSecurity')
    open = true
    time.mono += 5000
    await perform(pull('x'))
    expect(memory.setbacks.size).toBe(0)
  })

  test("a write of a node and of a Plan's status", async () => {
    const { memory, perform } = bench({
      plans: [view],
      send: () => {
        throw answer(422, 'no')
      },
    })
    const label: Action = { do: 'labelNode', node: 'n1', uid: 'uid-n1', resourceVersion: '1', labels: { a: 'bad value!' } }
    await perform({ about: 'n1', actions: [label] }, claim(view, [], []))
    expect(memory.setbacks.get('n1')).toMatchObject({ plan: undefined, node: 'n1' })
    expect(memory.setbacks.get(`plan ${view.key}`)).toMatchObject({ plan: view.key, node: undefined })
  })
})
