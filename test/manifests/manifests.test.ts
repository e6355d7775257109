import { readdirSync, readFileSync } from 'node:fs'
import { describe, expect, test } from '@jest/globals'
import type { Deployment } from 'kubernetes-types/apps/v1.d.ts'
import type { ConfigMap, PodSpec, Toleration } from 'kubernetes-types/core/v1.d.ts'
import type { PodDisruptionBudget } from 'kubernetes-types/policy/v1.d.ts'
import { parse } from 'yaml'
import { LABEL_CONTROLLER } from '../../src/api/names.ts'
import { neededPermissions } from '../../src/controller/permissions.ts'
import { parseSettings } from '../../src/controller/settings.ts'
import { SETTINGS } from '../../src/controller/settings-table.ts'
import { grantLine, grants, manifestsOf, only } from './objects.ts'

const objects = manifestsOf('manifests')
const deployment = only<Deployment>(objects, 'Deployment')
const template = deployment.spec?.template
const pod = template?.spec as PodSpec
const container = pod.containers[0]
const version = (JSON.parse(readFileSync('package.json', 'utf8')) as { version: string }).version

test('the kustomization lists every file, and the CRDs', () => {
  const { resources } = parse(readFileSync('manifests/kustomization.yaml', 'utf8')) as { resources: string[] }
  const files = readdirSync('manifests').filter((name) => name !== 'kustomization.yaml')

  expect(resources.toSorted()).toEqual(['../crds', ...files].toSorted())
})

test('the kustomization of the CRDs lists every CRD', () => {
  const { resources } = parse(readFileSync('crds/kustomization.yaml', 'utf8')) as { resources: string[] }

  expect(resources.toSorted()).toEqual(
    readdirSync('crds')
      .filter((name) => name !== 'kustomization.yaml')
      .toSorted(),
  )
  expect(manifestsOf('crds').map((crd) => crd.metadata.name)).toContain('plans.upgrade.cattle.io')
})

test('nothing is declared twice, and all that has a namespace names it', () => {
  const names = objects.map((object) => `${object.kind} ${object.metadata.namespace ?? ''}/${object.metadata.name}`)

  expect(new Set(names).size).toBe(names.length)
  for (const object of objects) {
    const clusterWide = ['Namespace', 'ClusterRole', 'ClusterRoleBinding'].includes(object.kind)
    expect([object.kind, object.metadata.namespace]).toEqual([
      object.kind,
      clusterWide ? undefined : expect.stringMatching(/^(system-upgrade|kube-node-lease|kube-system)$/),
    ])
  }
})

describe('permissions', () => {
  test('the controller is granted exactly what it needs', () => {
    const needed = neededPermissions('system-upgrade', 'system-upgrade-controller').flatMap(
      ({ group, resource, verbs, names, namespace }) =>
        (names ?? [undefined]).flatMap((name) => verbs.map((verb) => grantLine(verb, group, resource, name, namespace))),
    )

    expect(grants(objects, 'drover')).toEqual(needed.toSorted())
  })

  test('upgrade Jobs are granted what `prepare` reads, and no more', () => {
    expect(grants(objects, 'system-upgrade')).toEqual(['get upgrade.cattle.io/plans @system-upgrade', 'list /nodes'])
  })

  test('nothing is granted by wildcard', () => {
    expect(JSON.stringify(objects)).not.toContain('"*"')
  })
})

describe('the controller is never locked out', () => {
  const tolerates = (taint: { key: string; effect: string }) =>
    pod.tolerations?.some(
      (toleration: Toleration) =>
        toleration.operator === 'Exists' &&
        (toleration.key === undefined || toleration.key === taint.key) &&
        (toleration.effect === undefined || toleration.effect === taint.effect),
    )

  test.each([
    ['CriticalAddonsOnly', 'NoExecute'],
    ['node-role.kubernetes.io/control-plane', 'NoSchedule'],
    ['node-role.kubernetes.io/etcd', 'NoExecute'],
    ['node.kubernetes.io/unschedulable', 'NoSchedule'],
    ['node.kubernetes.io/not-ready', 'NoSchedule'],
    ['node.kubernetes.io/unreachable', 'NoSchedule'],
    ['node.kubernetes.io/unreachable', 'NoExecute'],
  ])('%s:%s is tolerated', (key, effect) => {
    expect(tolerates({ key, effect })).toBe(true)
  })

  test.each(['disk-pressure', 'memory-pressure', 'pid-pressure'])('%s is not: the pod would be evicted again and again', (pressure) => {
    for (const effect of ['NoSchedule', 'NoExecute']) expect(tolerates({ key: `node.kubernetes.io/${pressure}`, effect })).toBe(false)
  })

  test('the control plane is preferred, not required', () => {
    const required = JSON.stringify(pod.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution)

    expect(required).not.toContain('node-role')
    expect(JSON.stringify(pod.affinity?.nodeAffinity?.preferredDuringSchedulingIgnoredDuringExecution)).toContain(
      'node-role.kubernetes.io/control-plane',
    )
  })

  test('drains spare it: by its label, and one of two replicas by its budget', () => {
    const budget = only<PodDisruptionBudget>(objects, 'PodDisruptionBudget')

    expect(template?.metadata?.labels?.[LABEL_CONTROLLER]).toBe(SETTINGS.name.default)
    expect(deployment.spec?.replicas).toBe(2)
    expect(budget.spec?.maxUnavailable).toBe(1)
    for (const selector of [budget.spec?.selector, deployment.spec?.selector])
      expect(template?.metadata?.labels).toMatchObject(selector?.matchLabels ?? { none: '' })
  })
})

test('the controller runs as nobody, with nothing it could write but /tmp', () => {
  expect(pod.securityContext).toMatchObject({
    runAsNonRoot: true,
    runAsUser: 65_534,
    runAsGroup: 65_534,
    seccompProfile: { type: 'RuntimeDefault' },
  })
  expect(container?.securityContext).toEqual({
    allowPrivilegeEscalation: false,
    readOnlyRootFilesystem: true,
    capabilities: { drop: ['ALL'] },
  })
  expect(container?.volumeMounts).toEqual([{ name: 'tmp', mountPath: '/tmp' }])
  expect(pod.volumes).toEqual([{ name: 'tmp', emptyDir: {} }])
  expect(Object.keys(pod)).not.toEqual(expect.arrayContaining(['hostNetwork']))
  expect(container?.resources).toMatchObject({
    requests: { cpu: expect.anything(), memory: expect.anything() },
    limits: { memory: expect.anything() },
  })
})

test('its environment is made of known settings, and they parse', () => {
  const known = Object.values(SETTINGS).map((row) => row.env)
  const config = only<ConfigMap>(objects, 'ConfigMap', 'default-controller-env').data ?? {}
  const fromPod = (container?.env ?? []).map((variable) => variable.name)

  expect(known).toEqual(expect.arrayContaining([...Object.keys(config), ...fromPod]))
  expect(fromPod).toContain(SETTINGS.namespace.env)
  expect(parseSettings(config, [], 'system-upgrade').warnings).toEqual([])
})

test('it is started without arguments, in the version of the package', () => {
  expect(container).not.toHaveProperty('args')
  expect(container).not.toHaveProperty('command')
  expect(container?.image).toBe(`drover:${version}`)
})

test('probes ask where the controller answers', () => {
  const port = container?.ports?.find((candidate) => candidate.name === 'http')?.containerPort

  expect(`:${port}`).toBe(SETTINGS.metricsAddress.default)
  expect(container?.livenessProbe?.httpGet).toEqual({ path: '/healthz', port: 'http' })
  expect(container?.startupProbe?.httpGet).toEqual({ path: '/healthz', port: 'http' })
  expect(container?.readinessProbe?.httpGet).toEqual({ path: '/readyz', port: 'http' })
})
