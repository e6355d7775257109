/** What stands in the way of a rollout on purpose: annotations, cordons of others, PodDisruptionBudgets; and drains of real workloads. */
import { expect } from '@jest/globals'
import { NAMESPACE, NEW } from './cluster.ts'
import { freeDrain, hangInDrain, hangInUpgrade, without } from './hang.ts'
import type { Scenario } from './scenario.ts'
import { shareCluster } from './shared.ts'
import { budget, daemonSet, deployment, statefulSet } from './workloads.ts'

const { scenario, alone } = shareCluster({ env: { DROVER_DRAIN_STALLED_AFTER: '20s' } })

const untouched = async (s: Scenario, nodes: readonly string[]): Promise<void> => {
  for (const node of nodes) expect([node, await s.cordoned(node), await s.record(node), s.runs(node)]).toEqual([node, false, {}, 0])
}
const annotateNamespace = (s: Scenario, annotation: string): Promise<string> =>
  s.kubectl('annotate', '--overwrite', 'namespace', NAMESPACE, annotation)

scenario('paused', 'drover.io/paused in the middle of a drain freezes it where it is; taken away, it goes on', async (s) => {
  const node = await hangInDrain(s)
  const uids = async (): Promise<ReadonlySet<string | undefined>> => new Set((await s.pods()).map(({ metadata }) => metadata?.uid))
  const before = await uids()
  await s.annotatePlan({ 'drover.io/paused': 'until Monday' })
  await s.until('told', async () => /until Monday/.test(await s.status(node)))
  await freeDrain(s)
  await s.wait(8)
  expect([await s.cordoned(node), await s.applying(), s.runs(node)]).toEqual([true, [node], 0])
  expect(await uids()).toEqual(before)
  await s.annotatePlan({ 'drover.io/paused': null })
  await s.done()
})

scenario('paused-late', 'drover.io/paused in the middle of an upgrade: that node is finished, no other is taken', async (s) => {
  const gate = s.gate()
  const node = await hangInUpgrade(s, gate)
  await s.annotatePlan({ 'drover.io/paused': '' })
  gate.open()
  await s.until('the node is done', async () => (await s.label(node)) === (await s.hash()) && !(await s.cordoned(node)))
  await s.until('told', async () => (await s.condition('Complete')).startsWith('False Paused'))
  await s.wait(5)
  await untouched(s, without(s, node))
  await s.annotatePlan({ 'drover.io/paused': null })
  await s.done()
})

scenario('aborted', 'drover.io/abort with the hash in force gives the node back; with another it says nothing', async (s) => {
  const node = await hangInDrain(s)
  await s.annotatePlan({ 'drover.io/abort': '01234567' })
  await s.wait(5)
  expect(await s.cordoned(node)).toBe(true)
  await s.annotatePlan({ 'drover.io/abort': (await s.hash()).slice(0, 8) })
  await s.until('given back', async () => !(await s.cordoned(node)) && (await s.applying()).length === 0)
  await freeDrain(s)
  await s.wait(5)
  await untouched(s, s.nodes)
  expect(await s.condition('Complete')).toMatch(/^False Aborted/)
  await s.annotatePlan({ 'drover.io/abort': null })
  await s.done()
})

scenario('held', 'drover.io/hold on a node in the middle of its drain gives it back; the others go on', async (s) => {
  const node = await hangInDrain(s)
  await s.annotateNode(node, { 'drover.io/hold': 'disk is being changed' })
  await s.until('given back', async () => !(await s.cordoned(node)) && (await s.record(node)).work === undefined)
  await freeDrain(s)
  const [other = ''] = without(s, node)
  await s.until('the other is done', async () => (await s.label(other)) === (await s.hash()))
  await s.until('told', async () => new RegExp(`^False NodeHeld: .*${node}.*disk is being changed`).test(await s.condition('Complete')))
  await untouched(s, [node])
  await s.annotateNode(node, { 'drover.io/hold': null })
  await s.done()
})

scenario('uncordoned', 'somebody uncordons a node in the middle of its drain: cordoned again, and told', async (s) => {
  const node = await hangInDrain(s)
  await s.kubectl('uncordon', node)
  await s.until('cordoned again', () => s.cordoned(node), 30)
  await s.until('told', async () => (await s.events('CordonedAgain')).length > 0)
  expect(await s.events('CordonedAgain')).toMatchObject([{ on: `Node/${node}`, type: 'Warning' }])
  await freeDrain(s)
  await s.done()
})

scenario(
  'uncordoned-late',
  'somebody uncordons a node in the middle of its upgrade: it stays uncordoned and the upgrade counts',
  async (s) => {
    const gate = s.gate()
    const node = await hangInUpgrade(s, gate)
    await s.kubectl('uncordon', node)
    await s.wait(5)
    expect(await s.cordoned(node)).toBe(false)
    gate.open()
    await s.done()
    expect(s.replaced(node)).toEqual([NEW])
  },
)

scenario('recordoned', 'somebody uncordons and cordons a node in the middle of its upgrade: the cordon is theirs and stays', async (s) => {
  const gate = s.gate()
  const node = await hangInUpgrade(s, gate)
  await s.kubectl('uncordon', node)
  await s.kubectl('cordon', node)
  gate.open()
  await s.until('all is done', async () => (await s.condition('Complete')).startsWith('True'))
  expect([await s.cordoned(node), await s.label(node), await s.record(node)]).toEqual([true, await s.hash(), {}])
  expect([await s.version(node), await s.cordoned(without(s, node)[0] ?? '')]).toEqual([NEW, false])
})

scenario('foreign-cordon', 'a node that somebody had cordoned is upgraded last and stays cordoned', async (s) => {
  const [node = ''] = s.nodes
  await s.kubectl('cordon', node)
  await s.apply()
  await s.until('all is done', async () => (await s.condition('Complete')).startsWith('True'))
  expect([await s.cordoned(node), await s.version(node), await s.record(node)]).toEqual([true, NEW, {}])
  const began = (name: string): number => s.machine(name).timeline.find(({ what }) => what === 'replaced')?.at ?? Number.NaN
  for (const other of without(s, node)) {
    expect(await s.cordoned(other)).toBe(false)
    expect(began(other)).toBeLessThan(began(node))
  }
})

scenario(
  'budget',
  'a PodDisruptionBudget that never yields: named with its pod, told as stalled, nothing evicted; it goes on without it',
  async (s) => {
    const node = await hangInDrain(s)
    const pod = (await s.pods()).find(({ spec }) => spec?.nodeName === node)
    expect(await s.status(node)).toContain(`pod ${s.id}/${pod?.metadata?.name} `)
    expect(await s.status(node)).toContain(`PodDisruptionBudget ${s.id}/web `)
    expect((await s.events('DrainForecast')).map(({ type, message }) => [type, message.includes(`${s.id}/web`)])).toContainEqual([
      'Warning',
      true,
    ])
    await s.until('stalled', async () => (await s.condition('Stalled')).startsWith('True DrainBlocked'))
    const still = (await s.pods()).find(({ spec }) => spec?.nodeName === node)
    expect([still?.metadata?.uid, still?.metadata?.deletionTimestamp, s.runs(node)]).toEqual([pod?.metadata?.uid, undefined, 0])
    await freeDrain(s)
    await s.done()
    expect(await s.condition('Stalled')).toMatch(/^False/)
  },
)

scenario('two-budgets', 'a pod under two budgets, which the API server refuses to evict at all: both are named', async (s) => {
  await s.workload(deployment(s.id, 1))
  await s.until('the workload is ready', async () => (await s.pods()).some(isAvailable))
  // Not before: of several budgets over a pod, Kubernetes' controller follows the pod's changes for one only.
  await s.workload(budget('web', { maxUnavailable: 1 }, 'first'), budget('web', { maxUnavailable: 1 }, 'second'))
  await s.apply({ drain: { force: true } })
  await s.until('told', async () => {
    const [node = ''] = await s.applying()
    return /^Draining: .*first.*second/.test(await s.status(node))
  })
  await s.kubectl('--namespace', s.id, 'delete', 'poddisruptionbudget', 'second')
  await s.done()
})

scenario(
  'drain-timeout',
  'drain.timeout over: the node failed and is back in service, and goes through when somebody asks again',
  async (s) => {
    const node = await hangInDrain(s, { drain: { force: true, timeout: '10s' } })
    await s.until('failed', async () => /^False JobFailed: .*DrainTimeout/.test(await s.condition('Complete')))
    await s.until('back in service', async () => !(await s.cordoned(node)))
    expect([await s.applying(), s.runs(node)]).toEqual([[node], 0])
    expect((await s.record(node)).past?.[`${NAMESPACE}/${s.id}`]).toMatchObject({
      reason: 'DrainTimeout',
      message: expect.stringContaining(`${s.id}/web`),
    })
    await freeDrain(s)
    await s.annotatePlan({ 'drover.io/retry': '1' })
    await s.done()
  },
)

scenario(
  'workloads',
  'a drain of a Deployment, a StatefulSet and a DaemonSet: in their own time, within their budget, and the DaemonSet stays',
  async (s) => {
    const ends = { itself: 0, killed: 0 }
    let over = false
    const programs = s.cluster.machines.fleet.programs
    const untilKilled = (signal: AbortSignal): Promise<unknown> =>
      new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }))
    programs.set(`${s.id}.example.com/slow`, async (_pod, _machine, io) => {
      await untilKilled(io.killed)
      if (!over) await io.clock.sleep(3000)
      ends.itself++
      return 0
    })
    programs.set(`${s.id}.example.com/stubborn`, async (_pod, _machine, io) => {
      await untilKilled(io.killed)
      ends.killed++
      return new Promise(() => {})
    })
    await s.workload(
      deployment(s.id, 3, { image: `${s.id}.example.com/slow` }),
      statefulSet(s.id, 2, { image: `${s.id}.example.com/stubborn`, graceSeconds: 2 }),
      daemonSet(s.id),
      budget('web', { minAvailable: 2 }),
    )
    const running = async (): Promise<number> => (await s.pods()).filter(({ status }) => status?.phase === 'Running').length
    await s.until('all run', async () => (await running()) === 8)
    const daemons = async (): Promise<readonly string[]> =>
      (await s.pods()).filter(({ metadata }) => metadata?.labels?.['app'] === 'agent').map(({ metadata }) => metadata?.uid ?? '')
    const before = await daemons()
    /** What the API server shows on a node when its upgrade begins. */
    const found = new Map<string, readonly string[]>()
    const gate = s.gate(async (node) => {
      const here = (await s.pods()).filter(({ spec }) => spec?.nodeName === node)
      if (!found.has(node))
        found.set(
          node,
          here.map(({ metadata }) => metadata?.labels?.['app'] ?? ''),
        )
    })
    gate.open()
    let least = 3
    const watching = (async () => {
      while (!over) {
        const web = (await s.pods()).filter(({ metadata }) => metadata?.labels?.['app'] === 'web')
        least = Math.min(least, web.filter(isAvailable).length)
        await s.wait(0.2)
      }
    })()
    try {
      await s.apply({ drain: { force: true }, upgrade: { image: gate.image } })
      await s.done()
    } finally {
      over = true
      await watching
    }
    expect(Object.fromEntries(found)).toEqual(Object.fromEntries(s.nodes.map((node) => [node, ['agent']])))
    expect(new Set(await daemons())).toEqual(new Set(before))
    expect(least).toBeGreaterThanOrEqual(2)
    // Each was told to end, and none was cut off before its grace period.
    expect([ends.itself >= 3, ends.killed >= 2]).toEqual([true, true])
    await s.until('all run again', async () => (await running()) === 8)
  },
  3,
)

scenario('delayed', 'postCompleteDelay: back in service at once; the slot is kept and the label waits', async (s) => {
  const delayMs = 8000
  await s.apply({ postCompleteDelay: `${delayMs / 1000}s`, postCompleteLabels: { 'example.com/at': '$(LATEST_VERSION)' } })
  const node = await s.taken()
  await s.until('back in service', async () => !(await s.cordoned(node)))
  const back = Date.now()
  expect([await s.version(node), await s.label(node), await s.applying()]).toEqual([NEW, undefined, [node]])
  await s.until('labelled', async () => (await s.label(node)) !== undefined)
  // The record counts in whole seconds.
  expect(Date.now() - back).toBeGreaterThan(delayMs - 2500)
  await s.done()
  for (const name of s.nodes) {
    expect((await s.cluster.node(name)).metadata?.labels?.['example.com/at']).toBe(NEW.replace('+', '-'))
  }
})

alone('held-namespace', 'drover.io/hold on the namespace gives every node back that is not past the point of no return', async (s) => {
  const node = await hangInDrain(s)
  await annotateNamespace(s, 'drover.io/hold=incident 7')
  try {
    await s.until('given back', async () => !(await s.cordoned(node)) && (await s.record(node)).work === undefined)
    await freeDrain(s)
    await s.until('told', async () => /^False NamespaceHeld: .*incident 7/.test(await s.condition('Complete')))
    await s.wait(5)
    await untouched(s, s.nodes)
  } finally {
    await annotateNamespace(s, 'drover.io/hold-')
  }
  await s.done()
})

function isAvailable(pod: { readonly metadata?: { readonly deletionTimestamp?: string }; readonly status?: object }): boolean {
  const conditions = (pod.status as { conditions?: readonly { type: string; status: string }[] } | undefined)?.conditions ?? []
  return pod.metadata?.deletionTimestamp === undefined && conditions.some(({ type, status }) => type === 'Ready' && status === 'True')
}
