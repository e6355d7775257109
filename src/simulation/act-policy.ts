import type { JsonObject } from '../base/json.ts'
import { person, type Stage } from './act.ts'
import { type Action, NAMESPACE, type PolicyObject } from './scenario.ts'

const POLICIES = `/apis/drover.io/v1alpha1/namespaces/${NAMESPACE}/rolloutpolicies`

type PolicyAction = Extract<Action, { policy: unknown }>

/** What people do to RolloutPolicies. */
export function policyAct(stage: Stage, action: PolicyAction): void {
  const patch = (name: string, spec: JsonObject) =>
    person(stage, { method: 'PATCH', path: `${POLICIES}/${name}`, body: { spec }, contentType: 'application/merge-patch+json' })
  switch (action.do) {
    case 'editPolicy':
      return patch(action.policy, action.spec as JsonObject)
    case 'pausePolicy':
      patch(action.policy, { paused: true })
      return stage.later(action.undoAfterMs, () => patch(action.policy, { paused: null }))
    case 'breakPolicy':
      // The schema does not know the world's time zones.
      patch(action.policy, { windows: [{ start: '* * * * *', duration: '1h', timeZone: 'Nowhere/Land' }] })
      return stage.later(action.undoAfterMs, () => patch(action.policy, { windows: action.windows as JsonObject | null }))
    case 'rivalPolicy': {
      createPolicy(stage, action.policy)
      const { name } = action.policy.metadata
      return stage.later(action.undoAfterMs, () => person(stage, { method: 'DELETE', path: `${POLICIES}/${name}` }))
    }
    case 'deletePolicy': {
      person(stage, { method: 'DELETE', path: `${POLICIES}/${action.policy}` })
      const again = stage.scenario.policies.find((policy) => policy.metadata.name === action.policy)
      if ('againAfterMs' in action && again !== undefined) return stage.later(action.againAfterMs, () => createPolicy(stage, again))
      for (const plan of 'plans' in action ? action.plans : []) goOnWithout(stage, plan)
      return
    }
  }
}

export function createPolicy(stage: Pick<Stage, 'sandbox' | 'people'>, policy: PolicyObject): void {
  person(stage, { method: 'POST', path: POLICIES, body: policy as unknown as JsonObject })
}

function goOnWithout(stage: Stage, plan: string): void {
  person(stage, {
    method: 'PATCH',
    path: `/apis/upgrade.cattle.io/v1/namespaces/${NAMESPACE}/plans/${plan}`,
    body: { metadata: { annotations: { 'drover.io/policy': 'none' } } },
    contentType: 'application/merge-patch+json',
  })
}
