/**
 * The marks by which SUC's apply library (wrangler) knows a Job as its own: contract, correction 8. It compares the pod template that it
 * would make now with the one in the mark `applied`, and replaces the Job, its pods included, when they differ or the mark is missing.
 * They differ easily: by another kubectl image or pull policy in its settings, and by any annotation that the Plan got since.
 */
import { createHash } from 'node:crypto'
import type { Job } from 'kubernetes-types/batch/v1.d.ts'
import { LABEL_OBJECTSET, OBJECTSET, PLAN_API_VERSION } from '../api/names.ts'
import type { Plan } from '../api/plan.ts'
import { type Json, stringifyJson } from '../base/json.ts'

const OWNER_GVK = `${PLAN_API_VERSION}, Kind=Plan`

/**
 * Annotations that make SUC leave a Job alone until it has ended: an `applied` that begins as JSON and is none is an error to it, which it
 * reports and tries again (tried with the real SUC). A Job that nobody started carries no `applied`: SUC may replace it by one of its own.
 */
export const SHIELD: Readonly<Record<string, string>> = {
  [`${OBJECTSET}/applied`]: '{ drover.io: an upgrade runs here; replacing the Job would kill it }',
}

/** Takes the shield off again. */
export const UNSHIELD: Readonly<Record<string, null>> = { [`${OBJECTSET}/applied`]: null }

/** The Job of SUC's with `applied`: itself, as plain JSON, which SUC reads as well as its gzip form. */
export function withApplied(sucs: Job): Job {
  const annotations = { ...sucs.metadata?.annotations, [`${OBJECTSET}/applied`]: stringifyJson(sucs as unknown as Json) }
  return { ...sucs, metadata: { ...sucs.metadata, annotations } }
}

/** SUC's Job as it is sent, but for `applied`: with the marks and an ownerReference, so that deleting the Plan deletes the Job. */
export function ownedBySUC(job: Job, plan: Plan, controllerName: string): Job {
  const owner = {
    apiVersion: PLAN_API_VERSION,
    kind: 'Plan',
    name: plan.metadata.name,
    uid: plan.metadata.uid,
    controller: true,
    blockOwnerDeletion: false,
  }
  const marked = withMarks(job, plan, controllerName)
  return { ...marked, metadata: { ...marked.metadata, ownerReferences: [owner] } }
}

export function withMarks(job: Job, plan: Plan, controllerName: string): Job {
  const { name, namespace } = plan.metadata
  const hash = createHash('sha1').update(controllerName).update(OWNER_GVK).update(name).update(namespace).digest('hex')
  return {
    ...job,
    metadata: {
      ...job.metadata,
      labels: { ...job.metadata?.labels, [LABEL_OBJECTSET]: hash },
      annotations: {
        ...job.metadata?.annotations,
        [`${OBJECTSET}/id`]: controllerName,
        [`${OBJECTSET}/owner-gvk`]: OWNER_GVK,
        [`${OBJECTSET}/owner-name`]: name,
        [`${OBJECTSET}/owner-namespace`]: namespace,
      },
    },
  }
}
