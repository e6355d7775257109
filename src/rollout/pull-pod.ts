import type { Pod, PodSpec } from 'kubernetes-types/core/v1.d.ts'
import { LABEL_CONTROLLER } from '../api/names.ts'
import { withDefaultTag } from '../kube/objects/image.ts'
import { type JobInput, isWindowsNode } from './job-input.ts'
import { safeName } from './names.ts'
import { onNode, tolerationsOf } from './pod-parts.ts'
import { helperLabels } from './prepare-job.ts'

/** A command that no image has: the container fails to start, after its image was pulled. */
const PULL_COMMAND = '/drover-pull-only'

/** The name of a node's pull pod; like a Job's, so at most 63 characters. */
export function pullPodName(planName: string, nodeName: string, latestHash: string): string {
  return safeName('pull', planName, 'on', nodeName.split('.', 1)[0] ?? '', 'with', latestHash)
}

/**
 * A pod that brings the upgrade image to the node and does nothing else (tried on kubelet 1.36: phase Failed, reason StartError, `imageID`
 * set). It mounts nothing, has no token and all the settings that PodSecurity's `restricted` asks of a container; the host's network spares it
 * the CNI. It goes where the apply pod goes, with the same right to pull.
 */
export function pullPod(input: JobInput): Pod {
  const { plan, node, settings, latestVersion, latestHash } = input
  const { serviceAccountName = '', priorityClassName = '', imagePullSecrets = [], upgrade } = plan.spec
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: pullPodName(plan.metadata.name, node.name, latestHash),
      namespace: plan.metadata.namespace,
      labels: { ...helperLabels('pull', input), [LABEL_CONTROLLER]: settings.name },
    },
    spec: {
      ...confinement(isWindowsNode(node)),
      restartPolicy: 'Never',
      automountServiceAccountToken: false,
      enableServiceLinks: false,
      affinity: onNode(node),
      tolerations: tolerationsOf(plan),
      ...(serviceAccountName === '' ? {} : { serviceAccountName }),
      ...(priorityClassName === '' ? {} : { priorityClassName }),
      ...(imagePullSecrets.length === 0 ? {} : { imagePullSecrets: [...imagePullSecrets] }),
      containers: [
        {
          name: 'pull',
          image: withDefaultTag(upgrade.image, latestVersion),
          command: [PULL_COMMAND],
          imagePullPolicy: settings.job.imagePullPolicy,
          ...(isWindowsNode(node) ? {} : { securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } } }),
        },
      ],
    },
  }
}

/** Windows knows neither these security settings nor the host's network outside of HostProcess containers. */
function confinement(windows: boolean): Pick<PodSpec, 'hostNetwork' | 'securityContext' | 'os'> {
  if (windows) return { os: { name: 'windows' } }
  return {
    hostNetwork: true,
    securityContext: { runAsNonRoot: true, runAsUser: 65_534, runAsGroup: 65_534, seccompProfile: { type: 'RuntimeDefault' } },
  }
}
