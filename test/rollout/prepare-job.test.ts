import { describe, expect, test } from '@jest/globals'
import { prepareJob, prepareJobName } from '../../src/rollout/prepare-job.ts'
import { pullPod, pullPodName } from '../../src/rollout/pull-pod.ts'
import { HASH, jobInput, planWith } from './sample.ts'

const ATTEMPT = { planUID: 'plan-uid', attempt: 1, retry: '' }
const PREPARE = {
  prepare: { image: 'rancher/rke2-upgrade', args: ['prepare', 'server-plan'], volumes: [{ name: 'v', source: '/s', destination: '/d' }] },
}

describe('prepareJob', () => {
  test("runs the Plan's prepare container at once, on that node, within the Plan's deadline", () => {
    const job = prepareJob({
      ...jobInput(planWith({ ...PREPARE, jobActiveDeadlineSecs: 60, serviceAccountName: 'sa', secrets: [{ name: 's', path: '/x' }] })),
      attempt: ATTEMPT,
    })
    expect(job?.metadata?.name).toBe(prepareJobName('server-plan', 'node-1', HASH))
    expect(job?.metadata?.name).toMatch(/^prepare-server-plan-on-node-1-with-/)
    expect(job?.spec).toMatchObject({ parallelism: 1, completions: 1, activeDeadlineSeconds: 60 })
    const pod = job?.spec?.template.spec
    expect(pod).toMatchObject({ hostNetwork: true, hostPID: true, restartPolicy: 'Never', serviceAccountName: 'sa' })
    expect(pod?.initContainers).toBeUndefined()
    expect(pod?.containers).toMatchObject([
      { name: 'prepare', image: 'rancher/rke2-upgrade:v1.33.4-rke2r1', args: ['prepare', 'server-plan'] },
    ])
  })

  test('every mount has its volume', () => {
    const pod = prepareJob({ ...jobInput(planWith({ ...PREPARE, secrets: [{ name: 's', path: '/x' }] })), attempt: ATTEMPT })?.spec
      ?.template.spec
    const volumes = pod?.volumes?.map(({ name }) => name)
    expect(volumes).toEqual(pod?.containers[0]?.volumeMounts?.map(({ name }) => name))
    expect(volumes).toEqual(['host-root', 'pod-info', 'secret-s', 'v'])
  })

  test("carries our labels; SUC's controller label is on the pod alone, which drains spare for it", () => {
    const job = prepareJob({ ...jobInput(planWith(PREPARE, { metadata: { labels: { team: 'a' } } })), attempt: ATTEMPT })
    const ours = { 'drover.io/role': 'prepare', 'drover.io/node': 'node-1', 'drover.io/plan': 'server-plan' }
    expect(job?.metadata?.labels).toEqual(ours)
    expect(job?.metadata?.ownerReferences).toBeUndefined()
    expect(job?.spec?.template.metadata?.labels).toEqual({ ...ours, 'upgrade.cattle.io/controller': 'system-upgrade-controller' })
    expect(job?.spec?.template.metadata?.annotations).toEqual({ 'drover.io/attempt': 'plan-uid/1/' })
  })

  test('stays long enough for its end to be seen, whatever the setting', () => {
    const input = jobInput(planWith(PREPARE))
    const settings = { ...input.settings, job: { ...input.settings.job, ttlSecondsAfterFinish: 0 } }
    expect(prepareJob({ ...input, settings, attempt: ATTEMPT })?.spec?.ttlSecondsAfterFinished).toBe(600)
  })

  test('there is none without a prepare container', () => {
    expect(prepareJob({ ...jobInput(planWith()), attempt: ATTEMPT })).toBeUndefined()
  })
})

describe('pullPod', () => {
  const plan = planWith({
    serviceAccountName: 'sa',
    priorityClassName: 'high',
    imagePullSecrets: [{ name: 'regcred' }],
    tolerations: [{ operator: 'Exists' }],
    secrets: [{ name: 's', path: '/x' }],
    upgrade: { image: 'registry.example.com/rancher/rke2-upgrade', volumes: [{ name: 'v', source: '/s', destination: '/d' }] },
  })

  test('pulls the image that the apply pod will run, where it will run, with the same right to', () => {
    const pod = pullPod(jobInput(plan))
    expect(pod.spec).toMatchObject({
      serviceAccountName: 'sa',
      priorityClassName: 'high',
      imagePullSecrets: [{ name: 'regcred' }],
      restartPolicy: 'Never',
      hostNetwork: true,
      tolerations: [{ key: 'node.kubernetes.io/unschedulable', operator: 'Exists', effect: 'NoSchedule' }, { operator: 'Exists' }],
      containers: [
        {
          image: 'registry.example.com/rancher/rke2-upgrade:v1.33.4-rke2r1',
          command: ['/drover-pull-only'],
          imagePullPolicy: 'IfNotPresent',
        },
      ],
    })
    expect(pod.spec?.affinity).toEqual({
      nodeAffinity: {
        requiredDuringSchedulingIgnoredDuringExecution: {
          nodeSelectorTerms: [{ matchExpressions: [{ key: 'kubernetes.io/hostname', operator: 'In', values: ['node-1'] }] }],
        },
      },
    })
  })

  test('has nothing to work with: no mounts, no token, no privilege', () => {
    const spec = pullPod(jobInput(plan)).spec
    expect(spec?.volumes).toBeUndefined()
    expect(spec?.containers[0]?.volumeMounts).toBeUndefined()
    expect(spec?.hostPID ?? spec?.hostIPC).toBeUndefined()
    expect(spec?.automountServiceAccountToken).toBe(false)
    expect(spec?.securityContext).toEqual({
      runAsNonRoot: true,
      runAsUser: 65534,
      runAsGroup: 65534,
      seccompProfile: { type: 'RuntimeDefault' },
    })
    expect(spec?.containers[0]?.securityContext).toEqual({ allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } })
  })

  test('carries no label by which SUC would take it for an upgrade', () => {
    const { labels } = pullPod(jobInput(plan)).metadata ?? {}
    expect(labels).toEqual({
      'drover.io/role': 'pull',
      'drover.io/node': 'node-1',
      'drover.io/plan': 'server-plan',
      'upgrade.cattle.io/controller': 'system-upgrade-controller',
    })
  })

  test('on Windows there is nothing that only Linux knows', () => {
    const windows = { name: 'win-1', labels: { 'kubernetes.io/hostname': 'win-1', 'kubernetes.io/os': 'windows' } }
    const spec = pullPod(jobInput(plan, windows)).spec
    expect(spec?.os).toEqual({ name: 'windows' })
    expect(spec?.hostNetwork).toBeUndefined()
    expect(spec?.securityContext ?? spec?.containers[0]?.securityContext).toBeUndefined()
  })

  test('names and label values fit, however long the names they come from', () => {
    const long = `${'n'.repeat(63)}.${'d'.repeat(63)}.example.com`
    expect(pullPodName('p'.repeat(63), long, HASH).length).toBeLessThanOrEqual(63)
    const pod = pullPod(jobInput(plan, { name: long }))
    for (const value of Object.values(pod.metadata?.labels ?? {})) expect(value).toMatch(/^[a-z0-9](?:[-a-z0-9.]{0,61}[a-z0-9])?$/)
  })
})
