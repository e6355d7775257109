/** What rancher/system-upgrade-controller leaves behind: Plans with a status, cordoned nodes, Jobs as its apply library makes them. */
import { decodePlan } from '../../../src/api/decode-plan.ts'
import type { Plan } from '../../../src/api/plan.ts'
import { planCRD } from '../../../src/api/crd.ts'
import { applyJob } from '../../../src/rollout/job.ts'
import { latestHash } from '../../../src/rollout/latest-hash.ts'
import { munge } from '../../../src/rollout/version.ts'
import type { Json } from '../../../src/base/json.ts'
import { settingsFor } from '../harness.ts'
import { PLANS, type Story } from './story.ts'

export interface SucPlan {
  readonly name: string
  readonly hash: string
  read(): Plan
}

/** Applies the Plan as it is under SUC at work: resolved, and with these nodes in `applying`. The CRD is SUC's, too. */
export async function sucPlan(s: Story, manifest: { metadata: { name: string } }, applying: readonly string[]): Promise<SucPlan> {
  await s.apply(planCRD)
  await s.wait(1000)
  await s.apply(manifest)
  const { name } = manifest.metadata
  const read = (): Plan => {
    const decoded = decodePlan(s.plan(name) as unknown as Json)
    if (!decoded.ok) throw new Error(decoded.error)
    return decoded.plan
  }
  const plan = read()
  const version = munge(plan.spec.version ?? '')
  const made = latestHash({ plan, latestVersion: version, secrets: new Map() })
  if (!made.ok) throw new Error(made.error)
  const at = '2026-01-01T00:00:00Z'
  const condition = (type: string, status: string, reason: string) => ({
    type,
    status,
    reason,
    message: '',
    lastUpdateTime: at,
    lastTransitionTime: at,
  })
  await s.patch(`${PLANS}/${name}/status`, {
    status: {
      applying,
      latestVersion: version,
      latestHash: made.hash,
      conditions: [
        condition('Validated', 'True', 'PlanIsValid'),
        condition('LatestResolved', 'True', 'Version'),
        condition('Complete', 'False', 'SyncJob'),
      ],
    },
  })
  return { name, hash: made.hash, read }
}

/** Makes the apply Job that a SUC of that name would make for the node, and lets it run unless `parallelism` says 0. */
export async function sucJobOn(s: Story, plan: SucPlan, node: string, parallelism = 1, name = 'system-upgrade-controller'): Promise<void> {
  const labels = s.node(node).metadata.labels
  const typed = plan.read()
  const made = applyJob({
    plan: typed,
    latestVersion: typed.status.latestVersion,
    latestHash: plan.hash,
    node: { name: node, labels },
    settings: { name, job: settingsFor().job },
    mode: 'strict',
  })
  if (!made.ok) throw new Error('SUC makes no Job for this node')
  await s.apply({ ...made.job, spec: { ...made.job.spec, parallelism } })
}
