/** The pieces that all pods of a Plan are made of, as SUC v0.20 makes them. Empty values are left out, as Go's JSON leaves them out. */
import { posix } from 'node:path'
import type { Affinity, Container, EnvVar, SecurityContext, Toleration, Volume, VolumeMount } from 'kubernetes-types/core/v1.d.ts'
import { LABEL_EXCLUSIVE, LABEL_HOSTNAME, LABEL_PLAN } from '../api/names.ts'
import type { ContainerSpec, HostPathVolume, Plan, SecretSpec } from '../api/plan.ts'
import { type JobInput, type JobNode, jobHostname } from './job-input.ts'
import { secretVolumeName } from './names.ts'

const SECRETS_ROOT = '/run/system-upgrade/secrets'

/** Runs only on that node; beside no other pod of the Plan there or, if the Plan is exclusive, beside no pod of any exclusive Plan. */
export function affinityOf(plan: Plan, node: JobNode): Affinity {
  const [key, value] = plan.spec.exclusive === true ? [LABEL_EXCLUSIVE, 'true'] : [LABEL_PLAN, plan.metadata.name]
  return {
    ...onNode(node),
    podAntiAffinity: {
      requiredDuringSchedulingIgnoredDuringExecution: [
        { labelSelector: { matchExpressions: [{ key, operator: 'In', values: [value] }] }, topologyKey: LABEL_HOSTNAME },
      ],
    },
  }
}

export function onNode(node: JobNode): Affinity {
  const here = { key: LABEL_HOSTNAME, operator: 'In', values: [jobHostname(node)] }
  return { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [{ matchExpressions: [here] }] } } }
}

export function tolerationsOf(plan: Plan): Toleration[] {
  const cordoned: Toleration = { key: 'node.kubernetes.io/unschedulable', operator: 'Exists', effect: 'NoSchedule' }
  return [cordoned, ...(plan.spec.tolerations ?? [])]
}

/** The host's root, labels and annotations of the pod, the Plan's Secrets, and the given paths of the host. */
export function volumesOf(plan: Plan, hostPaths: readonly HostPathVolume[]): Volume[] {
  return [
    { name: 'host-root', hostPath: { path: '/', type: 'Directory' } },
    { name: 'pod-info', downwardAPI: { defaultMode: 420, items: ['labels', 'annotations'].map(podInfo) } },
    ...(plan.spec.secrets ?? []).map(secretVolume),
    ...hostPaths.map(({ name, source }) => ({ name, hostPath: { path: source } })),
  ]
}

export interface ContainerParts {
  readonly name: string
  readonly spec: ContainerSpec
  readonly image: string
  readonly hostPaths: readonly HostPathVolume[]
  readonly securityContext: SecurityContext | undefined
}

export function containerOf(input: JobInput, { name, spec, image, hostPaths, securityContext }: ContainerParts): Container {
  const { command = [], args = [], envFrom = [] } = spec
  return {
    name,
    image,
    ...(command.length > 0 ? { command: [...command] } : {}),
    ...(args.length > 0 ? { args: [...args] } : {}),
    env: [
      fieldEnv('SYSTEM_UPGRADE_NODE_NAME', 'spec.nodeName'),
      fieldEnv('SYSTEM_UPGRADE_POD_NAME', 'metadata.name'),
      fieldEnv('SYSTEM_UPGRADE_POD_UID', 'metadata.uid'),
      ...(spec.envs ?? []),
      textEnv('SYSTEM_UPGRADE_PLAN_NAME', input.plan.metadata.name),
      textEnv('SYSTEM_UPGRADE_PLAN_LATEST_HASH', input.latestHash),
      textEnv('SYSTEM_UPGRADE_PLAN_LATEST_VERSION', input.latestVersion),
    ],
    ...(envFrom.length > 0 ? { envFrom: [...envFrom] } : {}),
    imagePullPolicy: input.settings.job.imagePullPolicy,
    resources: {},
    ...(securityContext === undefined ? {} : { securityContext }),
    volumeMounts: [
      { name: 'host-root', mountPath: '/host' },
      { name: 'pod-info', mountPath: '/run/system-upgrade/pod', readOnly: true },
      ...(input.plan.spec.secrets ?? []).map(secretMount),
      ...hostPaths.map((volume) => ({ name: volume.name, mountPath: volume.destination })),
    ],
  }
}

/** Relative paths lie below the secrets' folder, cleaned, so that `..` climbs out of it (contract, correction 12); absolute ones are taken as they are. */
function secretMount({ name, path }: SecretSpec): VolumeMount {
  const mountPath = path.startsWith('/') ? path : cleanJoin(SECRETS_ROOT, path === '' ? name : path)
  return { name: secretVolumeName(name), mountPath, readOnly: true }
}

/** Go's filepath.Join: like Node's, but without a trailing slash. */
function cleanJoin(root: string, path: string): string {
  const joined = posix.join(root, path)
  return joined.length > 1 && joined.endsWith('/') ? joined.slice(0, -1) : joined
}

function secretVolume({ name, defaultMode, ignoreUpdates }: SecretSpec): Volume {
  const mode = defaultMode === undefined ? {} : { defaultMode }
  return { name: secretVolumeName(name), secret: { secretName: name, optional: ignoreUpdates === true, ...mode } }
}

function podInfo(path: string): { path: string; fieldRef: { apiVersion: string; fieldPath: string } } {
  return { path, fieldRef: { apiVersion: 'v1', fieldPath: `metadata.${path}` } }
}

function fieldEnv(name: string, fieldPath: string): EnvVar {
  return { name, valueFrom: { fieldRef: { fieldPath } } }
}

function textEnv(name: string, value: string): EnvVar {
  return value === '' ? { name } : { name, value }
}
