/** The Job that SUC v0.20 makes for a node, and the pieces of it that native Jobs share. */
import type { Job } from 'kubernetes-types/batch/v1.d.ts'
import type { Container, PodSpec, SecurityContext } from 'kubernetes-types/core/v1.d.ts'
import { ANNOTATION_TTL, LABEL_CONTROLLER, LABEL_EXCLUSIVE, LABEL_NODE, LABEL_PLAN, LABEL_VERSION, planLabel } from '../api/names.ts'
import type { DrainSpec } from '../api/plan.ts'
import { formatDuration } from '../kube/objects/duration.ts'
import { withDefaultTag } from '../kube/objects/image.ts'
import { formatSelector } from '../kube/objects/selector.ts'
import { type Copying, copiedAnnotations, copiedLabels } from './copied-metadata.ts'
import { deletesLocalData, drainSelector } from './drain/pods.ts'
import { type JobInput, isWindowsNode, jobHostname } from './job-input.ts'
import { jobDeadlineSeconds, jobTtlSeconds } from './job-limits.ts'
import { jobName } from './names.ts'
import { affinityOf, containerOf, tolerationsOf, volumesOf } from './pod-parts.ts'

export type JobResult = { readonly ok: true; readonly job: Job } | { readonly ok: false; readonly error: string }

const WINDOWS_HOST_PROCESS: SecurityContext = { windowsOptions: { hostProcess: true, runAsUserName: 'NT AUTHORITY\\SYSTEM' } }

/**
 * SUC's object as it is before wrangler adds its marks. Paused unless the node stands in `status.applying`. Fails only for a Windows node
 * when there is no kubectl image for Windows.
 */
export function sucJob(input: JobInput): JobResult {
  if (lacksKubectl(input)) return NO_KUBECTL
  const parallelism = input.plan.status.applying.includes(jobHostname(input.node)) ? 1 : 0
  return { ok: true, job: jobOf(input, { mode: 'strict', parallelism, initContainers: sucInitContainers(input) }) }
}

/** There is no kubectl for the node's operating system. */
export const lacksKubectl = ({ node, settings }: JobInput): boolean => isWindowsNode(node) && settings.job.kubectlImageWindows === ''
export const NO_KUBECTL: JobResult = {
  ok: false,
  error: 'SYSTEM_UPGRADE_JOB_KUBECTL_IMAGE_WINDOWS is required when targeting Windows nodes',
}

export interface JobShape {
  readonly mode: Copying
  readonly parallelism: number
  readonly initContainers: Container[]
}

/** An apply Job, without marks of who made it. */
export function jobOf(input: JobInput, { mode, parallelism, initContainers }: JobShape): Job {
  const { plan, node, settings } = input
  const { name, namespace } = plan.metadata
  const ttl = jobTtlSeconds(plan, settings.job)
  const deadline = jobDeadlineSeconds(plan, settings.job)
  const labels = {
    [LABEL_CONTROLLER]: settings.name,
    [LABEL_EXCLUSIVE]: String(plan.spec.exclusive === true),
    [LABEL_NODE]: node.name,
    [LABEL_PLAN]: name,
    [LABEL_VERSION]: input.latestVersion,
    [planLabel(name)]: input.latestHash,
    ...copiedLabels(plan.metadata.labels, mode),
  }
  const annotations = copiedAnnotations(plan.metadata.annotations, mode)
  return {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: {
      name: jobName('apply', name, node.name, input.latestHash),
      namespace,
      annotations: { [ANNOTATION_TTL]: String(ttl), ...annotations },
      labels,
    },
    spec: {
      backoffLimit: settings.job.backoffLimit,
      completions: 1,
      parallelism,
      podReplacementPolicy: settings.job.podReplacementPolicy,
      ttlSecondsAfterFinished: ttl,
      ...(deadline === undefined ? {} : { activeDeadlineSeconds: deadline }),
      template: {
        metadata: { labels: { ...labels }, ...(Object.keys(annotations).length > 0 ? { annotations: { ...annotations } } : {}) },
        spec: podSpecOf(input, initContainers),
      },
    },
    status: {},
  }
}

/** `prepare` with the Plan's own security context, which a Windows node overrides. */
export function prepareContainer(input: JobInput): Container | undefined {
  const { prepare } = input.plan.spec
  if (prepare === undefined) return undefined
  return containerOf(input, {
    name: 'prepare',
    spec: prepare,
    image: withDefaultTag(prepare.image, input.latestVersion),
    hostPaths: prepare.volumes ?? [],
    securityContext: isWindowsNode(input.node) ? WINDOWS_HOST_PROCESS : prepare.securityContext,
  })
}

function podSpecOf(input: JobInput, initContainers: Container[]): PodSpec {
  const { spec } = input.plan
  return {
    ...podBasics(input),
    affinity: affinityOf(input.plan, input.node),
    volumes: volumesOf(input.plan, spec.upgrade.volumes ?? []),
    ...(initContainers.length > 0 ? { initContainers } : {}),
    containers: [upgradeContainer(input)],
  }
}

/** What apply and prepare pods have in common besides containers and volumes. */
export function podBasics(input: JobInput): Omit<PodSpec, 'containers'> {
  const { serviceAccountName = '', priorityClassName = '', imagePullSecrets = [] } = input.plan.spec
  return {
    dnsPolicy: 'ClusterFirstWithHostNet',
    hostIPC: true,
    hostNetwork: true,
    hostPID: true,
    restartPolicy: 'Never',
    ...(priorityClassName === '' ? {} : { priorityClassName }),
    ...(serviceAccountName === '' ? {} : { serviceAccountName }),
    ...(imagePullSecrets.length === 0 ? {} : { imagePullSecrets: [...imagePullSecrets] }),
    tolerations: tolerationsOf(input.plan),
  }
}

function upgradeContainer(input: JobInput): Container {
  const { upgrade } = input.plan.spec
  const privileged: SecurityContext = { privileged: input.settings.job.privileged, capabilities: { add: ['CAP_SYS_BOOT'] } }
  const fallback = isWindowsNode(input.node) ? WINDOWS_HOST_PROCESS : privileged
  return containerOf(input, {
    name: 'upgrade',
    spec: upgrade,
    image: withDefaultTag(upgrade.image, input.latestVersion),
    hostPaths: upgrade.volumes ?? [],
    securityContext: upgrade.securityContext ?? fallback,
  })
}

/** prepare, then drain or else cordon by kubectl. */
function sucInitContainers(input: JobInput): Container[] {
  const prepare = prepareContainer(input)
  return [...(prepare === undefined ? [] : [prepare]), ...kubectlContainers(input)]
}

/** What SUC has kubectl do before the upgrade: drain, or else cordon. */
export function kubectlContainers(input: JobInput): Container[] {
  const { drain, cordon } = input.plan.spec
  if (drain !== undefined) return [kubectlContainer(input, 'drain', drainArgs(input.node.name, drain))]
  return cordon === true ? [kubectlContainer(input, 'cordon', ['cordon', input.node.name])] : []
}

function kubectlContainer(input: JobInput, name: string, args: readonly string[]): Container {
  const windows = isWindowsNode(input.node)
  const { kubectlImage, kubectlImageWindows } = input.settings.job
  const image = windows ? kubectlImageWindows : kubectlImage
  return containerOf(input, {
    name,
    spec: { image, args },
    image,
    hostPaths: input.plan.spec.upgrade.volumes ?? [],
    securityContext: windows ? WINDOWS_HOST_PROCESS : undefined,
  })
}

/** The command line that SUC gives `kubectl drain`. A podSelector that cannot be used is left out; validation reports it. */
function drainArgs(nodeName: string, drain: DrainSpec): string[] {
  const chosen = drainSelector(drain)
  const selector = chosen.ok ? chosen : drainSelector({})
  return [
    'drain',
    nodeName,
    '--pod-selector',
    selector.ok ? formatSelector(selector.selector) : '',
    ...(drain.ignoreDaemonSets === false ? [] : ['--ignore-daemonsets']),
    ...(deletesLocalData(drain) ? ['--delete-emptydir-data'] : []),
    ...(drain.force === true ? ['--force'] : []),
    ...(drain.timeout === undefined ? [] : ['--timeout', timeoutText(drain.timeout)]),
    ...(drain.gracePeriod === undefined ? [] : ['--grace-period', String(drain.gracePeriod)]),
    ...(drain.disableEviction === true ? ['--disable-eviction=true'] : []),
    ...((drain.skipWaitForDeleteTimeout ?? 0) > 0 ? ['--skip-wait-for-delete-timeout', String(drain.skipWaitForDeleteTimeout)] : []),
  ]
}

/** Numbers are nanoseconds; texts are handed on as they are, for kubectl to judge. */
function timeoutText(timeout: number | bigint | string): string {
  return typeof timeout === 'string' ? timeout : formatDuration(BigInt(timeout))
}
