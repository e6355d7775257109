/** Nodes that go away or fail in the middle of a rollout: found out, remembered, never repeated unasked, and put right in the end. */
import { expect } from '@jest/globals'
import { NAMESPACE, NEW, OLD } from './cluster.ts'
import { freeDrain, hangInDrain, hangInUpgrade, without } from './hang.ts'
import { release } from './releases.ts'
import type { Scenario } from './scenario.ts'
import { shareCluster } from './shared.ts'

/** A release that only one scenario asks for, because it never comes up on any machine. */
const BAD = release(66)
const TIMEOUT_S = 25
const { scenario, alone } = shareCluster({ env: { DROVER_VERIFY_TIMEOUT: `${TIMEOUT_S}s` } })

const past = async (s: Scenario, node: string) => (await s.record(node)).past?.[`${NAMESPACE}/${s.id}`]
const failed = (s: Scenario, reason: string): Promise<void> =>
  s.until(
    `${reason} is told`,
    async () => (await s.condition('Complete')).startsWith('False JobFailed') && (await s.condition('Complete')).includes(reason),
  )
/** The object of a node that has gone for good. */
const removeNode = (s: Scenario, node: string): Promise<string> => s.kubectl('delete', 'node', node)

scenario('exit-1', 'an upgrade that exits 1 fails its node for good, and no other is taken; retry takes it through', async (s) => {
  for (const node of s.nodes) s.machine(node).trouble.programFailures = 3
  await s.apply()
  await failed(s, 'BackoffLimitExceeded')
  const [node = ''] = await s.applying()
  expect(await past(s, node)).toMatchObject({ reason: 'JobFailed', attempts: 1 })
  await s.wait(5)
  expect([await s.cordoned(node), await s.applying(), s.runs(node)]).toEqual([true, [node], 3])
  for (const other of without(s, node)) expect([await s.cordoned(other), s.runs(other)]).toEqual([false, 0])
  const [job] = await s.jobs()
  expect(job?.status?.conditions).toContainEqual(
    expect.objectContaining({ type: 'Failed', status: 'True', reason: 'BackoffLimitExceeded' }),
  )
  for (const name of s.nodes) s.machine(name).trouble.programFailures = 0
  await s.annotatePlan({ 'drover.io/retry': '1' })
  await s.done()
  expect(s.nodes.map((name) => s.replaced(name))).toEqual(s.nodes.map(() => [NEW]))
})

scenario(
  'log',
  "the end of the log of an upgrade that failed stands in the node's record, as the API server has it from the kubelet",
  async (s) => {
    const [node = ''] = s.nodes
    s.machine(node).trouble.programFailures = 3
    await s.apply()
    await failed(s, 'BackoffLimitExceeded')
    expect((await past(s, node))?.log).toContain('could not download runtime')
    // Put right by hand: noticed, and finished without a run.
    s.machine(node).replaceBinary(NEW)
    s.machine(node).restartService()
    await s.done()
    expect(s.runs(node)).toBe(3)
  },
  1,
  ['kubelet'],
)

scenario('first-pod-dies', 'the first pod of a good upgrade dies with containerd: no failure, and one Job a node', async (s) => {
  await s.apply({ concurrency: 2 })
  await s.done()
  const jobs = await s.jobs()
  expect(jobs.map(({ metadata }) => metadata?.labels?.['upgrade.cattle.io/node']).toSorted(byText)).toEqual(s.nodes)
  expect(jobs.some(({ status }) => (status?.failed ?? 0) > 0)).toBe(true)
  expect(await s.events('JobFailed')).toEqual([])
})

scenario(
  'lost',
  'a release that never comes up: NodeLost at its deadline, its Job stopped; put right, the node is done without a new run',
  async (s) => {
    s.cluster.machines.fleet.releases.set(BAD, 'crash')
    await s.apply({ version: BAD })
    await failed(s, 'NodeLost')
    const [node = ''] = await s.applying()
    const ready = (await s.cluster.node(node)).status?.conditions?.find(({ type }) => type === 'Ready')
    const jobs = await s.jobs()
    expect([ready?.status, await s.cordoned(node), s.machine(node).onDisk]).toEqual(['Unknown', true, BAD])
    expect(jobs.map(({ spec }) => spec?.suspend)).toEqual([true])
    expect((await past(s, node))?.reason).toBe('NodeLost')
    for (const other of without(s, node)) expect(s.runs(other)).toBe(0)
    s.cluster.machines.fleet.releases.delete(BAD)
    await s.until('the node is back and done', async () => (await s.label(node)) === (await s.hash()) && !(await s.cordoned(node)))
    expect(s.runs(node)).toBe(1)
    await s.done(BAD)
  },
)

scenario(
  'mismatch',
  'a Job that is Complete while the old kubelet runs on is VersionMismatch; a restart of the service is all it needs',
  async (s) => {
    for (const node of s.nodes) s.machine(node).trouble.dieAfterReplace = 1
    await s.apply()
    await failed(s, 'VersionMismatch')
    const [node = ''] = await s.applying()
    expect([await s.version(node), await s.label(node), await s.cordoned(node), s.machine(node).onDisk]).toEqual([
      OLD,
      undefined,
      true,
      NEW,
    ])
    for (const name of s.nodes) s.machine(name).trouble.dieAfterReplace = 0
    s.machine(node).restartService()
    await s.done()
    expect(s.replaced(node)).toEqual([NEW])
  },
)

scenario('deleted-node-draining', 'a node deleted in the middle of its drain frees its slot, and the others go on', async (s) => {
  const node = await hangInDrain(s)
  s.machine(node).remove()
  await removeNode(s, node)
  await s.until('its slot is free', async () => !(await s.applying()).includes(node))
  await freeDrain(s)
  await s.done(NEW, without(s, node))
})

scenario(
  'deleted-node-upgrading',
  'a node deleted in the middle of its upgrade frees its slot and leaves no Job, and the others go on',
  async (s) => {
    const gate = s.gate()
    const node = await hangInUpgrade(s, gate)
    s.machine(node).remove()
    await removeNode(s, node)
    await s.until('its slot is free', async () => !(await s.applying()).includes(node))
    gate.open()
    await s.done(NEW, without(s, node))
    await s.until('its Job is gone', async () =>
      (await s.jobs()).every(({ metadata }) => metadata?.labels?.['upgrade.cattle.io/node'] !== node),
    )
  },
)

scenario(
  'replaced-node',
  'a node deleted in the middle of its upgrade that comes again under its name is another node, and is upgraded',
  async (s) => {
    const gate = s.gate()
    const node = await hangInUpgrade(s, gate)
    const uid = (await s.cluster.node(node)).metadata?.uid
    await s.machine(node).recreate()
    await s.until('it has registered again', async () => ![undefined, uid].includes((await s.cluster.node(node)).metadata?.uid))
    gate.open()
    await s.done()
    expect(s.replaced(node)).toEqual([NEW])
  },
)

scenario('not-ready-draining', 'a node that is not Ready when its drain is over is not upgraded before it is Ready again', async (s) => {
  const node = await hangInDrain(s)
  s.machine(node).trouble.notReady = true
  await s.until('the API server knows', async () =>
    Boolean((await s.cluster.node(node)).status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'False')),
  )
  await freeDrain(s)
  await s.until('told', async () => /not Ready/.test(await s.status(node)))
  await s.wait(3)
  expect([s.runs(node), await s.cordoned(node), await s.applying()]).toEqual([0, true, [node]])
  s.machine(node).trouble.notReady = false
  await s.done()
})

scenario(
  'not-ready-upgraded',
  'a node that comes back at the new version and is not Ready is neither done nor back in service until it is',
  async (s) => {
    const gate = s.gate()
    const node = await hangInUpgrade(s, gate)
    s.machine(node).trouble.notReady = true
    gate.open()
    await s.until('it reports the version', async () => (await s.version(node)) === NEW)
    await s.until('told', async () => /^Verifying: .*not Ready/.test(await s.status(node)))
    expect([await s.cordoned(node), await s.label(node), await s.applying()]).toEqual([true, undefined, [node]])
    s.machine(node).trouble.notReady = false
    await s.done()
  },
)

scenario('silent', 'a machine that is off while its turn comes takes no slot, and is upgraded when it is back', async (s) => {
  const [node = ''] = s.nodes
  s.machine(node).powerOff()
  await s.until('the API server knows', async () =>
    Boolean((await s.cluster.node(node)).status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'Unknown')),
  )
  await s.apply()
  const others = without(s, node)
  await s.until('the others are done', async () => {
    expect(await s.applying()).not.toContain(node)
    const hash = await s.hash()
    return hash !== '' && (await Promise.all(others.map((other) => s.label(other)))).every((label) => label === hash)
  })
  await s.until('told', async () => new RegExp(`^False NodeNotReady: .*${node}`).test(await s.condition('Complete')))
  s.machine(node).powerOn()
  await s.done()
})

scenario(
  'policy',
  'an admission policy that rejects the upgrade pod: no node is touched, the Plan says why; without it, it goes on',
  async (s) => {
    const name = { name: s.id }
    const policy = {
      apiVersion: 'admissionregistration.k8s.io/v1',
      kind: 'ValidatingAdmissionPolicy',
      metadata: name,
      spec: {
        matchConstraints: {
          objectSelector: { matchLabels: { 'upgrade.cattle.io/plan': s.id } },
          resourceRules: [{ apiGroups: [''], apiVersions: ['v1'], operations: ['CREATE'], resources: ['pods'] }],
        },
        validations: [{ expression: 'false', message: 'no upgrades in the week of the audit' }],
      },
    }
    const binding = {
      apiVersion: 'admissionregistration.k8s.io/v1',
      kind: 'ValidatingAdmissionPolicyBinding',
      metadata: name,
      spec: { policyName: s.id, validationActions: ['Deny'] },
    }
    const probe = {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { generateName: 'probe-', labels: { 'upgrade.cattle.io/plan': s.id } },
      spec: { containers: [{ name: 'probe', image: 'probe' }] },
    }
    await s.cluster.apply(policy, binding)
    await s.until('the policy is in force', () =>
      s.cluster.api.create(`/api/v1/namespaces/${NAMESPACE}/pods`, probe, { dryRun: true }).then(
        () => false,
        (error: Error) => error.message.includes('audit'),
      ),
    )
    await s.apply()
    await s.until('told', async () => /^False PodRejected: .*no upgrades in the week of the audit/.test(await s.condition('Complete')))
    await s.wait(5)
    await untouched(s)
    await s.kubectl('delete', 'validatingadmissionpolicybinding,validatingadmissionpolicy', s.id)
    await s.done()
  },
)

alone(
  'pod-security',
  'a namespace of Pod Security level restricted: no node is touched, the Plan says why; privileged again, it goes on',
  async (s) => {
    const enforce = (level: string): Promise<string> =>
      s.kubectl('label', '--overwrite', 'namespace', NAMESPACE, `pod-security.kubernetes.io/enforce=${level}`)
    await enforce('restricted')
    try {
      await s.apply()
      // Of the pull pod, already: it is on the host's network.
      await s.until('told', async () => /^False Refused: .*violates PodSecurity "restricted/.test(await s.condition('Complete')))
      await s.wait(5)
      await untouched(s)
    } finally {
      await enforce('privileged')
    }
    await s.done()
  },
)

async function untouched(s: Scenario): Promise<void> {
  for (const node of s.nodes) expect([await s.cordoned(node), await s.record(node), s.runs(node)]).toEqual([false, {}, 0])
  expect([await s.applying(), await s.jobs()]).toEqual([[], []])
}

function byText(a: string | undefined, b: string | undefined): number {
  return (a ?? '') < (b ?? '') ? -1 : 1
}
