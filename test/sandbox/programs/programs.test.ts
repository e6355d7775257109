import { describe, expect, test } from '@jest/globals'
import type { Container } from 'kubernetes-types/core/v1.d.ts'
import type { Kind } from '../../../src/sandbox/kinds.ts'
import { versionOf } from '../../../src/sandbox/programs/upgrade.ts'
import { apply } from '../../../src/sandbox/standard-cluster.ts'
import { type Bench, bench, conditionOf, createJob, jobOf, newJob, nodeOf, pinned, podsOf } from '../cluster/helpers.ts'

const SPACE = 'system-upgrade'
const PLANS: Kind = { apiVersion: 'upgrade.cattle.io/v1', kind: 'Plan', plural: 'plans', namespaced: true }

async function start(
  it: Bench,
  name: string,
  container: Partial<Container>,
  node?: string,
  spec: Parameters<typeof newJob>[2] = { backoffLimit: 0 },
): Promise<void> {
  await createJob(
    it,
    newJob(name, container, spec, { serviceAccountName: 'system-upgrade', ...(node === undefined ? {} : pinned(node)) }, SPACE),
  )
}
const outcome = ({ sandbox }: Bench, name: string): string => {
  const job = jobOf(sandbox, name, SPACE)
  return conditionOf(job, 'Complete') !== '' ? 'Complete' : conditionOf(job, 'Failed')
}
async function ended(it: Bench, name: string, limitMs = 120_000): Promise<string> {
  await it.sandbox.run(() => outcome(it, name) !== '', limitMs)
  return outcome(it, name)
}
function logOf({ sandbox }: Bench, job: string): string {
  const pod = podsOf(sandbox, SPACE).find((one) => one.metadata.labels?.['job-name'] === job)
  return sandbox.server.logs.lines(pod?.metadata.uid ?? '', 'main').join('\n')
}

describe('kubectl', () => {
  const kubectl = (...args: string[]): Partial<Container> => ({ image: 'rancher/kubectl:v1.33.0', args })

  test('cordon and uncordon, and a node that is not there', async () => {
    const it = await bench({ servers: 1, agents: 1 })
    await start(it, 'c', kubectl('cordon', 'agent-1'))
    expect(await ended(it, 'c')).toBe('Complete')
    expect(nodeOf(it.sandbox, 'agent-1').spec?.unschedulable).toBe(true)
    expect(logOf(it, 'c')).toContain('node/agent-1 cordoned')
    expect(it.sandbox.history.find(({ body }) => JSON.stringify(body) === '{"spec":{"unschedulable":true}}')?.user).toBe(
      'system:serviceaccount:system-upgrade:system-upgrade',
    )
    await start(it, 'u', kubectl('uncordon', 'agent-1'))
    expect(await ended(it, 'u')).toBe('Complete')
    expect(nodeOf(it.sandbox, 'agent-1').spec?.unschedulable).toBeUndefined()
    await start(it, 'x', kubectl('cordon', 'nobody'))
    expect(await ended(it, 'x')).toBe('True/BackoffLimitExceeded')
    expect(logOf(it, 'x')).toContain('nodes "nobody" not found')
    await it.sandbox.stop()
  })

  test('drain waits behind a budget, spares daemons and its own, and ends when all are gone', async () => {
    const it = await bench({
      servers: 1,
      agents: 2,
      workloads: [
        { name: 'web', replicas: 3, maxUnavailable: 1, readyAfterMs: 8000, template: { nodeSelector: { pool: 'x' } } },
        { name: 'log', replicas: 0, kind: 'DaemonSet' },
      ],
      machine: (spec) => ({ ...spec, labels: spec.name === 'server-1' ? {} : { pool: 'x' } }),
    })
    const on = () =>
      podsOf(it.sandbox)
        .filter((pod) => pod.spec?.nodeName === 'agent-1')
        .map((pod) => pod.metadata.labels?.['app'])
    expect(on().filter((app) => app === 'web').length).toBeGreaterThan(0)
    await start(
      it,
      'd',
      kubectl(
        'drain',
        'agent-1',
        '--pod-selector',
        '!upgrade.cattle.io/controller',
        '--ignore-daemonsets',
        '--delete-emptydir-data',
        '--timeout',
        '5m',
      ),
      'server-1',
    )
    expect(await ended(it, 'd')).toBe('Complete')
    expect(on()).toEqual(['log'])
    expect(logOf(it, 'd')).toContain('node/agent-1 drained')
    const evictions = it.sandbox.history.filter(
      ({ ref, user }) => ref.subresource === 'eviction' && user === 'system:serviceaccount:system-upgrade:system-upgrade',
    )
    expect(evictions.length).toBeGreaterThan(0)
    await it.sandbox.stop()
  })

  test.each([
    [[], 'cannot delete DaemonSet-managed Pods'],
    [['--ignore-daemonsets'], 'cannot delete Pods with local storage'],
    [['--ignore-daemonsets', '--delete-emptydir-data', '--timeout=20s'], 'global timeout reached: 20s'],
  ])('drain %j is refused: %s', async (flags, message) => {
    const it = await bench({
      servers: 1,
      agents: 1,
      workloads: [
        { name: 'web', replicas: 1, minAvailable: 1, emptyDir: true, template: { nodeSelector: { 'kubernetes.io/hostname': 'agent-1' } } },
        { name: 'log', replicas: 0, kind: 'DaemonSet' },
      ],
    })
    await start(it, 'd', kubectl('drain', 'agent-1', ...flags), 'server-1')
    expect(await ended(it, 'd')).toBe('True/BackoffLimitExceeded')
    expect(logOf(it, 'd')).toContain(message)
    // As kubectl leaves it: cordoned.
    expect(nodeOf(it.sandbox, 'agent-1').spec?.unschedulable).toBe(true)
    await it.sandbox.stop()
  })

  test('bare pods need --force; --disable-eviction passes by budgets', async () => {
    const it = await bench({
      servers: 1,
      agents: 1,
      workloads: [{ name: 'web', replicas: 1, minAvailable: 1, template: { nodeSelector: { 'kubernetes.io/hostname': 'agent-1' } } }],
    })
    await it.sandbox.finish(
      apply(it.sandbox, {
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { name: 'bare', namespace: 'default' },
        spec: { nodeName: 'agent-1', containers: [{ name: 'main', image: 'nginx' }] },
      } as never),
    )
    await start(it, 'no', kubectl('drain', 'agent-1', '--disable-eviction=true'), 'server-1')
    expect(await ended(it, 'no')).toBe('True/BackoffLimitExceeded')
    expect(logOf(it, 'no')).toContain('declare no controller')
    await start(it, 'yes', kubectl('drain', 'agent-1', '--force', '--disable-eviction=true', '--grace-period', '1'), 'server-1')
    expect(await ended(it, 'yes')).toBe('Complete')
    expect(podsOf(it.sandbox).filter((pod) => pod.spec?.nodeName === 'agent-1')).toEqual([])
    await it.sandbox.stop()
  })
})

describe('prepare', () => {
  const prepare = (plan?: string): Partial<Container> => ({
    image: 'rancher/rke2-upgrade:v1.33.4-rke2r1',
    args: plan === undefined ? ['prepare'] : ['prepare', plan],
    env: [{ name: 'SYSTEM_UPGRADE_PLAN_LATEST_VERSION', value: 'v1.33.4-rke2r1' }],
  })

  async function withPlan(): Promise<Bench> {
    const it = await bench({ servers: 2, agents: 1 })
    const schema = { type: 'object', 'x-kubernetes-preserve-unknown-fields': true }
    await it.sandbox.finish(
      apply(it.sandbox, {
        apiVersion: 'apiextensions.k8s.io/v1',
        kind: 'CustomResourceDefinition',
        metadata: { name: 'plans.upgrade.cattle.io' },
        spec: {
          group: 'upgrade.cattle.io',
          scope: 'Namespaced',
          names: { plural: 'plans', kind: 'Plan', singular: 'plan', listKind: 'PlanList' },
          versions: [{ name: 'v1', served: true, storage: true, subresources: { status: {} }, schema: { openAPIV3Schema: schema } }],
        },
      } as never),
    )
    await it.sandbox.run(() => false, 1000)
    return it
  }

  test('waits for the Plan, for its nodes, and for the version of every control plane node', async () => {
    const it = await withPlan()
    await start(it, 'p', prepare('server-plan'), 'agent-1')
    await it.sandbox.run(() => false, 30_000)
    await it.sandbox.finish(it.client.create(PLANS, { metadata: { name: 'server-plan', namespace: SPACE } }))
    await it.sandbox.finish(it.client.patch(PLANS, SPACE, 'server-plan', { status: { applying: ['server-1'] } }, { subresource: 'status' }))
    await it.sandbox.run(() => false, 30_000)
    for (const name of ['server-1', 'server-2']) {
      const machine = it.sandbox.machines.get(name)
      machine?.replaceBinary('v1.33.4+rke2r1')
      machine?.restartService()
    }
    await it.sandbox.run(() => false, 30_000)
    expect(outcome(it, 'p')).toBe('')
    expect(logOf(it, 'p')).not.toContain('control plane')
    await it.sandbox.finish(it.client.patch(PLANS, SPACE, 'server-plan', { status: { applying: [] } }, { subresource: 'status' }))
    expect(await ended(it, 'p', 20_000)).toBe('Complete')
    await it.sandbox.stop()
  })

  test('one server on another version keeps it waiting until the deadline', async () => {
    const it = await withPlan()
    await it.sandbox.finish(it.client.create(PLANS, { metadata: { name: 'server-plan', namespace: SPACE } }))
    it.sandbox.machines.get('server-1')?.replaceBinary('v1.33.4+rke2r1')
    it.sandbox.machines.get('server-1')?.restartService()
    await start(it, 'p', prepare('server-plan'), 'agent-1', { activeDeadlineSeconds: 60, backoffLimit: 0 })
    expect(await ended(it, 'p')).toBe('True/DeadlineExceeded')
    await start(it, 'q', prepare(), 'agent-1')
    expect(await ended(it, 'q')).toBe('True/BackoffLimitExceeded')
    await it.sandbox.stop()
  })
})

describe('upgrade scripts', () => {
  test('k3s refuses an older version, rke2 does not look', async () => {
    const k3s = await bench({ servers: 1, agents: 0, version: 'v1.33.3+k3s1' })
    await start(k3s, 'down', { image: 'rancher/k3s-upgrade:v1.32.9-k3s1' }, 'server-1')
    expect(await ended(k3s, 'down')).toBe('True/BackoffLimitExceeded')
    expect(k3s.sandbox.machines.get('server-1')?.onDisk).toBe('v1.33.3+k3s1')
    await start(k3s, 'wrong', { image: 'rancher/rke2-upgrade:v1.34.1-rke2r1' }, 'server-1')
    expect(await ended(k3s, 'wrong')).toBe('True/BackoffLimitExceeded')
    await k3s.sandbox.stop()
    const rke2 = await bench({ servers: 1, agents: 0 })
    await start(rke2, 'down', { image: 'rancher/rke2-upgrade:v1.32.9-rke2r1' }, 'server-1', { backoffLimit: 1 })
    expect(await ended(rke2, 'down')).toBe('Complete')
    expect(nodeOf(rke2.sandbox, 'server-1').status?.nodeInfo?.kubeletVersion).toBe('v1.32.9+rke2r1')
    await rke2.sandbox.stop()
  })

  test('one that hangs ends with its deadline, and the machine is as it was', async () => {
    const it = await bench({ servers: 1, agents: 1 })
    const machine = it.sandbox.machines.get('agent-1')
    if (machine !== undefined) machine.trouble.hangs = true
    await start(it, 'h', { image: 'rancher/rke2-upgrade:v1.33.4-rke2r1' }, 'agent-1', { activeDeadlineSeconds: 120, backoffLimit: 2 })
    expect(await ended(it, 'h', 300_000)).toBe('True/DeadlineExceeded')
    expect(machine?.onDisk).toBe('v1.33.3+rke2r1')
    await it.sandbox.stop()
  })

  test('tags become versions', () => {
    expect(['v1.33.4-rke2r1', 'v1.33.4-k3s1', 'v1.33.4-rc1-rke2r1', 'latest'].map(versionOf)).toEqual([
      'v1.33.4+rke2r1',
      'v1.33.4+k3s1',
      'v1.33.4-rc1+rke2r1',
      'latest',
    ])
  })
})

describe('scripts', () => {
  test.each([
    ['echo hello; exit 4', 'True/BackoffLimitExceeded', 'hello'],
    ['false\necho after', 'True/BackoffLimitExceeded', ''],
    ['false || echo rescued', 'Complete', 'rescued'],
    ['false && echo never; echo end', 'Complete', 'end'],
    ['[ -f /run/reboot-required ] && reboot; echo on', 'Complete', 'on'],
  ])('%j ends %s', async (text, expected, log) => {
    const it = await bench({ servers: 0, agents: 1 })
    await start(it, 's', { image: 'registry.suse.com/bci/bci-base', command: ['chroot', '/host'], args: ['sh', '-c', text] })
    expect(await ended(it, 's')).toBe(expected)
    expect(logOf(it, 's')).toBe(log)
    await it.sandbox.stop()
  })

  test('a patch script from a Secret reboots once; its second pod finds nothing left to do', async () => {
    const it = await bench({ servers: 1, agents: 1 })
    const text = 'set -e\nzypper --non-interactive patch\n[ -f /run/reboot-required ] && reboot\necho done'
    await it.sandbox.finish(
      apply(it.sandbox, {
        apiVersion: 'v1',
        kind: 'Secret',
        metadata: { name: 'patch', namespace: SPACE },
        data: { 'patch.sh': Buffer.from(text).toString('base64') },
      } as never),
    )
    const machine = it.sandbox.machines.get('agent-1')
    if (machine !== undefined) machine.trouble.rebootRequired = true
    const boot = machine?.bootID
    const mount = { name: 'patch', mountPath: '/host/run/system-upgrade/secrets/patch' }
    await createJob(
      it,
      newJob(
        'os',
        {
          image: 'registry.suse.com/bci/bci-base',
          command: ['chroot', '/host'],
          args: ['sh', '/run/system-upgrade/secrets/patch/patch.sh'],
          volumeMounts: [mount],
        },
        {},
        { ...pinned('agent-1'), volumes: [{ name: 'patch', secret: { secretName: 'patch' } }] },
        SPACE,
      ),
    )
    expect(await ended(it, 'os', 300_000)).toBe('Complete')
    expect(machine?.bootID).not.toBe(boot)
    expect(nodeOf(it.sandbox, 'agent-1').status?.nodeInfo?.bootID).toBe(machine?.bootID)
    const phases = podsOf(it.sandbox, SPACE).map((pod) => pod.status?.phase ?? '')
    expect(phases.sort()).toEqual(['Failed', 'Succeeded'])
    expect(machine?.timeline.filter(({ what }) => what === 'powerOff')).toHaveLength(1)
    await it.sandbox.stop()
  })

  test('a missing Secret keeps the pod from starting until it comes', async () => {
    const it = await bench({ servers: 1, agents: 1 })
    await createJob(
      it,
      newJob(
        'os',
        {
          image: 'alpine',
          args: ['sh', '-c', 'echo $(WORD)'],
          env: [{ name: 'WORD', valueFrom: { secretKeyRef: { name: 's', key: 'word' } } }],
        },
        {},
        {},
        SPACE,
      ),
    )
    const waiting = () => podsOf(it.sandbox, SPACE)[0]?.status?.containerStatuses?.[0]?.state?.waiting
    expect(await it.sandbox.run(() => waiting()?.reason === 'CreateContainerConfigError', 30_000)).toBe(true)
    expect(waiting()?.message).toBe('secret "s" not found')
    await it.sandbox.finish(
      apply(it.sandbox, {
        apiVersion: 'v1',
        kind: 'Secret',
        metadata: { name: 's', namespace: SPACE },
        data: { word: Buffer.from('yes').toString('base64') },
      } as never),
    )
    expect(await ended(it, 'os')).toBe('Complete')
    expect(sandboxLog(it)).toEqual(['yes'])
    await it.sandbox.stop()
  })
})

const sandboxLog = ({ sandbox }: Bench): readonly string[] =>
  sandbox.server.logs.lines(podsOf(sandbox, SPACE)[0]?.metadata.uid ?? '', 'main')
