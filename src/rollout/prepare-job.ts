import type { Job } from 'kubernetes-types/batch/v1.d.ts'
import { LABEL_CONTROLLER, LABEL_OUR_NODE, LABEL_OUR_PLAN, LABEL_ROLE } from '../api/names.ts'
import type { Attempt } from './attempt.ts'
import { copiedAnnotations } from './copied-metadata.ts'
import type { JobInput } from './job-input.ts'
import { jobDeadlineSeconds, jobTtlSeconds } from './job-limits.ts'
import { marked } from './job.ts'
import { jobName, safeName } from './names.ts'
import { onNode, volumesOf } from './pod-parts.ts'
import { podBasics, prepareContainer } from './suc-job.ts'

/** A Job that vanishes before its end was seen would be made again. */
const MIN_TTL_SECONDS = 600

export function prepareJobName(planName: string, nodeName: string, latestHash: string): string {
  return jobName('prepare', planName, nodeName, latestHash)
}

/** Labels by which we find our own helpers of a node. Values longer than a label may be are shortened by SUC's rule for names. */
export function helperLabels(role: 'prepare' | 'pull', { plan, node }: Pick<JobInput, 'plan' | 'node'>): Record<string, string> {
  return { [LABEL_ROLE]: role, [LABEL_OUR_NODE]: safeName(node.name), [LABEL_OUR_PLAN]: safeName(plan.metadata.name) }
}

/**
 * The Plan's `prepare` container as a Job of its own, running at once; undefined if the Plan has none. The Job carries none of SUC's labels,
 * by which a returning SUC would take it for a broken apply Job and delete it; its pod carries the controller's, so that drains spare it.
 */
export function prepareJob(input: JobInput & { readonly attempt: Attempt }): Job | undefined {
  const { plan, node, settings, attempt } = input
  const container = prepareContainer(input)
  if (container === undefined) return undefined
  const labels = helperLabels('prepare', input)
  const deadline = jobDeadlineSeconds(plan, settings.job)
  const job: Job = {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: { name: prepareJobName(plan.metadata.name, node.name, input.latestHash), namespace: plan.metadata.namespace, labels },
    spec: {
      backoffLimit: settings.job.backoffLimit,
      completions: 1,
      parallelism: 1,
      podReplacementPolicy: settings.job.podReplacementPolicy,
      ttlSecondsAfterFinished: Math.max(MIN_TTL_SECONDS, jobTtlSeconds(plan, settings.job)),
      ...(deadline === undefined ? {} : { activeDeadlineSeconds: deadline }),
      template: {
        metadata: {
          labels: { ...labels, [LABEL_CONTROLLER]: settings.name },
          annotations: copiedAnnotations(plan.metadata.annotations, 'native'),
        },
        spec: {
          ...podBasics(input),
          affinity: onNode(node),
          volumes: volumesOf(plan, plan.spec.prepare?.volumes ?? []),
          containers: [container],
        },
      },
    },
  }
  return marked(job, attempt)
}
