/**
 * The marks by which SUC's apply library (wrangler 3) knows a Job as its own: contract, correction 8. A returning SUC that finds a Job of the
 * right name without them deletes it and runs the upgrade again; with them, `applied` included, it leaves a running one alone
 * (tried with the real SUC).
 */
import { createHash } from 'node:crypto'
import type { Job } from 'kubernetes-types/batch/v1.d.ts'
import { OBJECTSET, PLAN_API_VERSION } from '../api/names.ts'
import type { Plan } from '../api/plan.ts'
import { type Json, stringifyJson } from '../base/json.ts'

const OWNER_GVK = `${PLAN_API_VERSION}, Kind=Plan`

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
  const marked = withMarks(job, plan, controllerName, {})
  return { ...marked, metadata: { ...marked.metadata, ownerReferences: [owner] } }
}

/** The Job with the marks; `applied` = the Job that SUC itself would have made, as plain JSON (SUC reads that as well as its gzip form). */
export function withApplied(job: Job, sucs: Job, plan: Plan, controllerName: string): Job {
  return withMarks(job, plan, controllerName, { [`${OBJECTSET}/applied`]: stringifyJson(sucs as unknown as Json) })
}

function withMarks(job: Job, plan: Plan, controllerName: string, more: Readonly<Record<string, string>>): Job {
  const { name, namespace } = plan.metadata
  const hash = createHash('sha1').update(controllerName).update(OWNER_GVK).update(name).update(namespace).digest('hex')
  return {
    ...job,
    metadata: {
      ...job.metadata,
      labels: { ...job.metadata?.labels, [`${OBJECTSET}/hash`]: hash },
      annotations: {
        ...job.metadata?.annotations,
        [`${OBJECTSET}/id`]: controllerName,
        [`${OBJECTSET}/owner-gvk`]: OWNER_GVK,
        [`${OBJECTSET}/owner-name`]: name,
        [`${OBJECTSET}/owner-namespace`]: namespace,
        ...more,
      },
    },
  }
}
