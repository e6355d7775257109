/** The Job that upgrades one node. */
import type { Job } from 'kubernetes-types/batch/v1.d.ts'
import { ANNOTATION_ATTEMPT, LABEL_CONTROLLER } from '../api/names.ts'
import { type Attempt, attemptMark } from './attempt.ts'
import { type JobInput, jobHostname } from './job-input.ts'
import { jobName } from './names.ts'
import { ownedBySUC, withApplied, withMarks } from './objectset.ts'
import { type JobResult, jobOf, kubectlContainers, lacksKubectl, NO_KUBECTL, sucJob } from './suc-job.ts'

/** The name that SUC gives the Job too, so that the two cannot both upgrade a node. */
export function applyJobName(planName: string, nodeName: string, latestHash: string): string {
  return jobName('apply', planName, nodeName, latestHash)
}

export type ApplyJobInput = JobInput &
  (
    | { readonly mode: 'strict'; readonly attempt?: Attempt }
    /** `kubectl`: the Job cordons and drains, as SUC's does (policy `drain.engine: Job`). */
    | { readonly mode: 'native'; readonly attempt: Attempt; readonly kubectl?: boolean }
  )

/**
 * The apply Job, always born paused (parallelism 0). Strict: SUC's object, as its apply library sends it but for `applied` (see `SHIELD`). Native: the same name, labels and
 * pod, but without init containers, since Drover prepares, cordons and drains itself (unless `kubectl`); without an ownerReference, so that deleting the Plan
 * does not kill an upgrade half-way. Both are marked with the attempt; without one, strict is SUC's Job to the letter. Fails only on a Windows node without a kubectl image for it.
 */
export function applyJob(input: ApplyJobInput): JobResult {
  if (input.mode === 'native') {
    const kubectl = input.kubectl === true
    return kubectl && lacksKubectl(input) ? NO_KUBECTL : { ok: true, job: nativeJob(input, input.attempt, kubectl) }
  }
  const made = sucJob(input)
  if (!made.ok) return made
  const sucs = ownedBySUC(paused(made.job), input.plan, input.settings.name)
  const job = withApplied(sucs)
  return { ok: true, job: input.attempt === undefined ? job : marked(job, input.attempt) }
}

function nativeJob(input: JobInput, attempt: Attempt, kubectl: boolean): Job {
  const { plan, settings } = input
  const bare = marked(
    untilVerdict(jobOf(input, { mode: 'native', parallelism: 0, initContainers: kubectl ? kubectlContainers(input) : [] })),
    attempt,
  )
  return outOfTurn(withMarks(bare, plan, settings.name), input)
}

/**
 * SUC looks for a node's name among the hostnames in `applying`: one that is called otherwise is out of turn to it, and it deletes the Job,
 * also a running one. It does not look at a Job without the controller's label. (Drains look at the pod's.)
 */
function outOfTurn(job: Job, { node }: JobInput): Job {
  if (jobHostname(node) === node.name) return job
  const { [LABEL_CONTROLLER]: _hidden, ...labels } = job.metadata?.labels ?? {}
  return { ...job, metadata: { ...job.metadata, labels } }
}

/** The Job is the evidence until the node is judged: it gets its TTL after the verdict (design §4.5). */
function untilVerdict(job: Job): Job {
  if (job.spec === undefined) return job
  const { ttlSecondsAfterFinished: _later, ...spec } = job.spec
  return { ...job, spec }
}

/** The Job and its pods with `drover.io/attempt`; the pods' scripts read it from the pod info. */
export function marked(job: Job, attempt: Attempt): Job {
  const mark = { [ANNOTATION_ATTEMPT]: attemptMark(attempt) }
  const { metadata, spec } = job
  if (spec === undefined) return job
  const template = {
    ...spec.template,
    metadata: { ...spec.template.metadata, annotations: { ...spec.template.metadata?.annotations, ...mark } },
  }
  return { ...job, metadata: { ...metadata, annotations: { ...metadata?.annotations, ...mark } }, spec: { ...spec, template } }
}

function paused(job: Job): Job {
  return job.spec === undefined ? job : { ...job, spec: { ...job.spec, parallelism: 0 } }
}
