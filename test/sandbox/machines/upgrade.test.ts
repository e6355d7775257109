import { describe, expect, test } from '@jest/globals'
import type { Container } from 'kubernetes-types/core/v1.d.ts'
import { JOBS, NODES, PODS } from '../../../src/sandbox/kinds.ts'
import { type Bench, bench, conditionOf, createJob, createPod, jobOf, newJob, nodeOf, pinned, podOf, podsOf } from '../cluster/helpers.ts'

const OLD = 'v1.33.3+rke2r1'
const NEW = 'v1.33.4+rke2r1'
const upgrade = (tag = 'v1.33.4-rke2r1'): Partial<Container> => ({ name: 'upgrade', image: `rancher/rke2-upgrade:${tag}` })

async function upgradeJob(
  it: Bench,
  node: string,
  container: Partial<Container> = upgrade(),
  spec: Parameters<typeof newJob>[2] = {},
): Promise<void> {
  await createJob(it, newJob(`apply-${node}`, container, spec, pinned(node), 'system-upgrade'))
}
const ofJob = ({ sandbox }: Bench) => podsOf(sandbox, 'system-upgrade')
const terminated = (it: Bench) =>
  ofJob(it).map((pod) => {
    const end = pod.status?.containerStatuses?.[0]?.state?.terminated
    return `${pod.status?.phase ?? ''} ${end?.exitCode ?? ''} ${end?.reason ?? ''}`
  })
const kubelet = ({ sandbox }: Bench, name: string) => nodeOf(sandbox, name).status?.nodeInfo?.kubeletVersion

describe('an upgrade, as measured on real machines', () => {
  test('the first pod fails with 255 Unknown, the second finds the binary replaced; bystanders live on, nobody sees NotReady', async () => {
    const it = await bench({ servers: 3, agents: 1, workloads: [{ name: 'web', replicas: 4 }] })
    const before = podsOf(it.sandbox).filter((pod) => pod.spec?.nodeName === 'server-1')
    expect(before.length).toBeGreaterThan(0)
    const from = it.sandbox.history.length
    await upgradeJob(it, 'server-1')
    expect(await it.sandbox.run(() => kubelet(it, 'server-1') === NEW, 60_000)).toBe(true)
    // The node is done before its Job is.
    expect(conditionOf(jobOf(it.sandbox, 'apply-server-1', 'system-upgrade'), 'Complete')).toBe('')
    expect(await it.sandbox.run(() => conditionOf(jobOf(it.sandbox, 'apply-server-1', 'system-upgrade'), 'Complete') !== '', 60_000)).toBe(
      true,
    )
    expect(terminated(it).sort()).toEqual(['Failed 255 Unknown', 'Succeeded 0 Completed'])
    expect(jobOf(it.sandbox, 'apply-server-1', 'system-upgrade').status).toMatchObject({ failed: 1, succeeded: 1 })
    for (const pod of before) {
      const now = podOf(it.sandbox, pod.metadata.name)
      expect(now?.status?.containerStatuses).toEqual(pod.status?.containerStatuses)
      expect(now?.status?.containerStatuses?.[0]?.restartCount).toBe(0)
    }
    const unready = it.sandbox.history
      .slice(from)
      .filter(({ ref, after }) => ref.resource === 'nodes' && !conditionOf(after as never, 'Ready').startsWith('True'))
    expect(unready).toEqual([])
    expect(it.sandbox.etcd.timeline.slice(-2).map(({ member, up, healthy, quorum }) => [member, up, healthy, quorum])).toEqual([
      ['server-1', false, 2, true],
      ['server-1', true, 3, true],
    ])
    expect(it.sandbox.machines.get('server-1')?.timeline.map(({ what }) => what)).toEqual([
      'serviceUp',
      'programStart',
      'replaced',
      'serviceDown',
      'programEnd',
      'serviceUp',
      'programStart',
      'programEnd',
    ])
    await it.sandbox.stop()
  })

  test('quorum is lost when two of three members are down at once, and that is seen', async () => {
    const it = await bench({ servers: 3, agents: 0 })
    it.sandbox.machines.get('server-1')?.powerOff()
    expect(it.sandbox.etcd.hasQuorum).toBe(true)
    it.sandbox.machines.get('server-2')?.restartService()
    expect(it.sandbox.etcd.hasQuorum).toBe(false)
    expect(await it.sandbox.run(() => it.sandbox.etcd.hasQuorum, 30_000)).toBe(true)
    expect(it.sandbox.etcd.lost).toBe(1)
    await it.sandbox.finish(it.client.delete(NODES, undefined, 'server-1'))
    await it.sandbox.run(() => it.sandbox.etcd.members.size === 2, 10_000)
    expect([...it.sandbox.etcd.members.keys()].sort()).toEqual(['server-2', 'server-3'])
    await it.sandbox.stop()
  })

  test('a bad release: the node goes Unknown, its pod still reads Running; the old binary put back, it returns', async () => {
    const it = await bench({ servers: 1, agents: 1 })
    it.sandbox.releases.set(NEW, 'crash')
    await upgradeJob(it, 'agent-1')
    expect(await it.sandbox.run(() => conditionOf(nodeOf(it.sandbox, 'agent-1'), 'Ready').startsWith('Unknown'), 120_000)).toBe(true)
    await it.sandbox.run(() => false, 60_000)
    expect(ofJob(it).map((pod) => pod.status?.phase)).toEqual(['Running'])
    expect(jobOf(it.sandbox, 'apply-agent-1', 'system-upgrade').status).toMatchObject({ active: 1 })
    expect(kubelet(it, 'agent-1')).toBe(OLD)
    // The pod's second attempt would install it again, unless the Job is suspended first.
    await it.sandbox.finish(it.client.patch(JOBS, 'system-upgrade', 'apply-agent-1', { spec: { suspend: true } }))
    it.sandbox.machines.get('agent-1')?.replaceBinary(OLD)
    expect(await it.sandbox.run(() => conditionOf(nodeOf(it.sandbox, 'agent-1'), 'Ready').startsWith('True'), 120_000)).toBe(true)
    await it.sandbox.run(() => false, 60_000)
    expect(ofJob(it)).toEqual([])
    expect(it.sandbox.machines.get('agent-1')?.running).toBe(OLD)
    expect(nodeOf(it.sandbox, 'agent-1').spec?.taints ?? []).toEqual([])
    await it.sandbox.stop()
  })

  test('repaired while its Job goes on, the bad release is installed again', async () => {
    const it = await bench({ servers: 1, agents: 1 })
    it.sandbox.releases.set(NEW, 'crash')
    await upgradeJob(it, 'agent-1')
    const machine = it.sandbox.machines.get('agent-1')
    await it.sandbox.run(() => machine?.timeline.some(({ what }) => what === 'startFailed') === true, 60_000)
    machine?.replaceBinary(OLD)
    expect(await it.sandbox.run(() => machine?.service === 'up', 60_000)).toBe(true)
    expect(await it.sandbox.run(() => machine?.service === 'down' && machine.onDisk === NEW, 120_000)).toBe(true)
    await it.sandbox.stop()
  })

  test('a pod that dies between replacing and killing leaves a Complete Job and an old kubelet', async () => {
    const it = await bench({ servers: 1, agents: 1 })
    const machine = it.sandbox.machines.get('agent-1')
    if (machine !== undefined) machine.trouble.dieAfterReplace = 1
    await upgradeJob(it, 'agent-1')
    expect(await it.sandbox.run(() => conditionOf(jobOf(it.sandbox, 'apply-agent-1', 'system-upgrade'), 'Complete') !== '', 120_000)).toBe(
      true,
    )
    await it.sandbox.run(() => false, 400_000)
    expect(kubelet(it, 'agent-1')).toBe(OLD)
    expect([machine?.onDisk, machine?.running]).toEqual([NEW, OLD])
    expect(terminated(it).sort()).toEqual(['Failed 1 Error', 'Succeeded 0 Completed'])
    await it.sandbox.stop()
  })

  test.each([
    ['programFailures', (t: { programFailures: number }) => void (t.programFailures = 9), OLD, 'Failed'],
    ['diskFull', (t: { diskFull: boolean }) => void (t.diskFull = true), OLD, 'Failed'],
    ['programFailures once', (t: { programFailures: number }) => void (t.programFailures = 1), NEW, 'Complete'],
  ])('trouble: %s', async (_name, make, version, outcome) => {
    const it = await bench({ servers: 1, agents: 1, machine: (spec) => ({ ...spec, images: ['rancher/rke2-upgrade:v1.33.4-rke2r1'] }) })
    const machine = it.sandbox.machines.get('agent-1')
    if (machine !== undefined) make(machine.trouble)
    await upgradeJob(it, 'agent-1')
    const ended = () => conditionOf(jobOf(it.sandbox, 'apply-agent-1', 'system-upgrade'), outcome) !== ''
    expect(await it.sandbox.run(ended, 300_000)).toBe(true)
    expect(kubelet(it, 'agent-1')).toBe(version)
    await it.sandbox.stop()
  })
})

describe('pulling', () => {
  test('a command that does not exist: pulled, then StartError 128', async () => {
    const it = await bench({ servers: 1, agents: 1 })
    await createPod(it, 'pull', {
      restartPolicy: 'Never',
      nodeName: 'agent-1',
      containers: [{ name: 'pull', image: 'rancher/rke2-upgrade:v9', command: ['/drover-pull-only'] }],
    })
    expect(await it.sandbox.run(() => podOf(it.sandbox, 'pull')?.status?.phase === 'Failed', 30_000)).toBe(true)
    const [status] = podOf(it.sandbox, 'pull')?.status?.containerStatuses ?? []
    expect(status?.state?.terminated).toMatchObject({ exitCode: 128, reason: 'StartError' })
    expect(status?.imageID).toMatch(/^docker.io\/rancher\/rke2-upgrade@sha256:[0-9a-f]{64}$/)
    expect(it.sandbox.machines.get('agent-1')?.images.has('rancher/rke2-upgrade:v9')).toBe(true)
    await it.sandbox.stop()
  })

  test('a missing image waits with its cause and growing pauses, and goes on once it appears', async () => {
    const it = await bench({ servers: 1, agents: 1 })
    it.sandbox.images.missing.add('rancher/rke2-upgrade:v9')
    await createPod(it, 'pull', {
      restartPolicy: 'Never',
      nodeName: 'agent-1',
      containers: [{ name: 'pull', image: 'docker.io/rancher/rke2-upgrade:v9', command: ['/drover-pull-only'] }],
    })
    const waiting = () => podOf(it.sandbox, 'pull')?.status?.containerStatuses?.[0]?.state?.waiting
    expect(await it.sandbox.run(() => waiting()?.reason === 'ErrImagePull', 30_000)).toBe(true)
    expect(waiting()?.message).toContain('docker.io/rancher/rke2-upgrade:v9: not found')
    expect(await it.sandbox.run(() => waiting()?.reason === 'ImagePullBackOff', 30_000)).toBe(true)
    await it.sandbox.run(() => false, 120_000)
    expect(podOf(it.sandbox, 'pull')?.status?.phase).toBe('Pending')
    expect(podOf(it.sandbox, 'pull')?.status?.containerStatuses?.[0]?.imageID).toBe('')
    const tries = it.sandbox.history.filter(({ after }) => JSON.stringify(after ?? {}).includes('"reason":"ErrImagePull"')).length
    expect(tries).toBeGreaterThan(2)
    expect(tries).toBeLessThan(7)
    it.sandbox.images.missing.clear()
    expect(await it.sandbox.run(() => podOf(it.sandbox, 'pull')?.status?.phase === 'Failed', 300_000)).toBe(true)
    await it.sandbox.stop()
  })
})

describe('machines', () => {
  test('power lost: Unknown after 40 s, pods evicted after 300 s and running elsewhere; back with another boot ID', async () => {
    const it = await bench({
      servers: 1,
      agents: 2,
      workloads: [{ name: 'web', replicas: 3, template: { nodeSelector: { 'node.kubernetes.io/instance-type': 'rke2' } } }],
    })
    const machine = it.sandbox.machines.get('agent-1')
    const boot = nodeOf(it.sandbox, 'agent-1').status?.nodeInfo?.bootID
    const at = it.sandbox.clock.mono()
    machine?.powerOff()
    expect(machine?.processes).toBe(0)
    expect(await it.sandbox.run(() => conditionOf(nodeOf(it.sandbox, 'agent-1'), 'Ready') === 'Unknown/NodeStatusUnknown', 120_000)).toBe(
      true,
    )
    expect((it.sandbox.clock.mono() - at) / 1000).toBeGreaterThan(28)
    expect((it.sandbox.clock.mono() - at) / 1000).toBeLessThan(47)
    await it.sandbox.run(() => false, 1000)
    expect(nodeOf(it.sandbox, 'agent-1').spec?.taints?.map(({ key, effect }) => `${key}:${effect}`)).toEqual([
      'node.kubernetes.io/unreachable:NoSchedule',
      'node.kubernetes.io/unreachable:NoExecute',
    ])
    const lost = () => podsOf(it.sandbox).filter((pod) => pod.spec?.nodeName === 'agent-1')
    expect(lost()).toHaveLength(1)
    expect(conditionOf(lost()[0], 'Ready')).toBe('False/NodeNotReady')
    await it.sandbox.run(() => false, 280_000)
    expect(lost()[0]?.metadata.deletionTimestamp).toBeUndefined()
    await it.sandbox.run(() => false, 30_000)
    expect(lost()[0]?.metadata.deletionTimestamp).toBeDefined()
    const ready = () => podsOf(it.sandbox).filter((pod) => conditionOf(pod, 'Ready') === 'True/').length
    expect(await it.sandbox.run(() => ready() === 3, 30_000)).toBe(true)
    machine?.powerOn()
    expect(await it.sandbox.run(() => conditionOf(nodeOf(it.sandbox, 'agent-1'), 'Ready').startsWith('True'), 120_000)).toBe(true)
    expect(nodeOf(it.sandbox, 'agent-1').status?.nodeInfo?.bootID).not.toBe(boot)
    expect(await it.sandbox.run(() => lost().length === 0, 60_000)).toBe(true)
    await it.sandbox.stop()
  })

  test('a reboot: what must not restart has failed, the rest starts again', async () => {
    const it = await bench({ servers: 1, agents: 1 })
    it.sandbox.programs.set('test/wait', () => new Promise(() => {}))
    await createPod(it, 'once', { restartPolicy: 'Never', nodeName: 'agent-1', containers: [{ name: 'main', image: 'test/wait' }] })
    await createPod(it, 'always', { nodeName: 'agent-1', containers: [{ name: 'main', image: 'nginx' }] })
    expect(
      await it.sandbox.run(
        () =>
          conditionOf(podOf(it.sandbox, 'always'), 'Ready').startsWith('True') && podOf(it.sandbox, 'once')?.status?.phase === 'Running',
        30_000,
      ),
    ).toBe(true)
    it.sandbox.machines.get('agent-1')?.reboot()
    expect(await it.sandbox.run(() => podOf(it.sandbox, 'once')?.status?.phase === 'Failed', 120_000)).toBe(true)
    expect(podOf(it.sandbox, 'once')?.status?.containerStatuses?.[0]?.state?.terminated).toMatchObject({
      exitCode: 137,
      reason: 'ContainerStatusUnknown',
    })
    expect(
      await it.sandbox.run(
        () =>
          podOf(it.sandbox, 'always')?.status?.containerStatuses?.[0]?.restartCount === 1 &&
          conditionOf(podOf(it.sandbox, 'always'), 'Ready').startsWith('True'),
        60_000,
      ),
    ).toBe(true)
    await it.sandbox.stop()
  })

  test('recreated: same name, another UID, and its old pods are gone', async () => {
    const it = await bench({ servers: 1, agents: 1 })
    const machine = it.sandbox.machines.get('agent-1')
    const { uid } = nodeOf(it.sandbox, 'agent-1').metadata
    if (machine !== undefined) await it.sandbox.finish(machine.recreate())
    expect(
      await it.sandbox.run(
        () =>
          it.sandbox.server.peek('nodes', 'agent-1') !== undefined &&
          conditionOf(nodeOf(it.sandbox, 'agent-1'), 'Ready').startsWith('True'),
        60_000,
      ),
    ).toBe(true)
    expect(nodeOf(it.sandbox, 'agent-1').metadata.uid).not.toBe(uid)
    expect(machine?.nodeUID).toBe(nodeOf(it.sandbox, 'agent-1').metadata.uid)
    await it.sandbox.stop()
  })

  test('removed for good: the Node stays until somebody deletes it, then its pods go', async () => {
    const it = await bench({ servers: 1, agents: 1, workloads: [{ name: 'log', replicas: 0, kind: 'DaemonSet' }] })
    it.sandbox.machines.get('agent-1')?.remove()
    it.sandbox.machines.get('agent-1')?.powerOn()
    await it.sandbox.run(() => false, 120_000)
    expect(conditionOf(nodeOf(it.sandbox, 'agent-1'), 'Ready')).toBe('Unknown/NodeStatusUnknown')
    await it.sandbox.finish(it.client.delete(NODES, undefined, 'agent-1'))
    expect(await it.sandbox.run(() => podsOf(it.sandbox).every((pod) => pod.spec?.nodeName !== 'agent-1'), 60_000)).toBe(true)
    await it.sandbox.stop()
  })

  test('flapping shows as Ready False and True', async () => {
    const it = await bench({ servers: 1, agents: 1 })
    const from = it.sandbox.history.length
    it.sandbox.machines.get('agent-1')?.flap({ times: 3, everyMs: 5000 })
    await it.sandbox.run(() => false, 60_000)
    const seen = it.sandbox.history
      .slice(from)
      .flatMap(({ ref, after }) =>
        ref.resource === 'nodes' && ref.subresource === 'status' ? [conditionOf(after as never, 'Ready').split('/')[0]] : [],
      )
    expect(seen).toEqual(['False', 'True', 'False', 'True', 'False', 'True'])
    await it.sandbox.stop()
  })

  test('pods marked not ready while their node was are put right when it is back', async () => {
    const it = await bench({ servers: 1, agents: 1, workloads: [{ name: 'log', replicas: 0, kind: 'DaemonSet' }] })
    const machine = it.sandbox.machines.get('agent-1')
    const ready = () => podsOf(it.sandbox).filter((pod) => conditionOf(pod, 'Ready') === 'True/').length
    if (machine !== undefined) machine.trouble.notReady = true
    expect(await it.sandbox.run(() => ready() === 1, 30_000)).toBe(true)
    if (machine !== undefined) machine.trouble.notReady = false
    expect(await it.sandbox.run(() => ready() === 2, 30_000)).toBe(true)
    await it.sandbox.stop()
  })

  test('a pod keeps the conditions that others gave it', async () => {
    const it = await bench({ servers: 0, agents: 1 })
    await createPod(it, 'slow', {
      nodeName: 'agent-1',
      containers: [{ name: 'main', image: 'nginx', readinessProbe: { initialDelaySeconds: 20 } }],
    })
    await it.sandbox.run(() => podOf(it.sandbox, 'slow')?.status?.phase === 'Running', 15_000)
    const conditions = [
      ...(podOf(it.sandbox, 'slow')?.status?.conditions ?? []),
      { type: 'DisruptionTarget', status: 'True', reason: 'EvictionByEvictionAPI' },
    ]
    await it.sandbox.finish(it.client.patch(PODS, 'default', 'slow', { status: { conditions } }, { subresource: 'status' }))
    expect(await it.sandbox.run(() => conditionOf(podOf(it.sandbox, 'slow'), 'Ready') === 'True/', 30_000)).toBe(true)
    expect(conditionOf(podOf(it.sandbox, 'slow'), 'DisruptionTarget')).toBe('True/EvictionByEvictionAPI')
    await it.sandbox.stop()
  })
})
