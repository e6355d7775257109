import { decodePlan } from '../../src/api/decode-plan.ts'
import { decodePolicy } from '../../src/api/decode-policy.ts'
import type { JsonObject } from '../../src/base/json.ts'
import { faultsOf } from '../../src/rollout/policy/rules.ts'
import { validatePlan } from '../../src/rollout/validate.ts'
import { unknownFields, validateSchema } from '../../src/sandbox/server/schema.ts'
import { objectsIn, read } from './snippets.ts'

const CRD = 'crds/upgrade.cattle.io_plans.yaml'
const POLICY_CRD = 'crds/drover.io_rolloutpolicies.yaml'

interface CrdVersion {
  readonly schema: { readonly openAPIV3Schema: JsonObject }
}

/** The schema that a CRD gives to its objects. */
function schemaOf(file: string): JsonObject {
  const [crd] = objectsIn(file, read(file)) as unknown as [{ spec: { versions: [CrdVersion] } }]
  return crd.spec.versions[0].schema.openAPIV3Schema
}

/** Everything that is wrong with an object of the documentation or the examples; a Plan has to pass the CRD, the decoder and the validation. */
export function problemsOf(object: JsonObject): string[] {
  const { apiVersion, kind } = object
  if (typeof apiVersion !== 'string' || typeof kind !== 'string') return ['an object needs apiVersion and kind']
  if (kind === 'RolloutPolicy') return policyProblems(object)
  if (kind !== 'Plan') return []
  if (apiVersion !== 'upgrade.cattle.io/v1') return [`a Plan is upgrade.cattle.io/v1, not ${apiVersion}`]
  const schema = schemaOf(CRD)
  const decoded = decodePlan(object)
  const invalid = decoded.ok ? validatePlan(decoded.plan, () => true) : decoded.error
  return [
    ...validateSchema(object, schema, undefined).map((cause) => `${cause.field}: ${cause.message}`),
    ...unknownFields(object, schema).map((field) => `${field}: no such field`),
    ...(invalid === undefined ? [] : [invalid]),
  ]
}

function policyProblems(object: JsonObject): string[] {
  if (object['apiVersion'] !== 'drover.io/v1alpha1')
    return [`a RolloutPolicy is drover.io/v1alpha1, not ${JSON.stringify(object['apiVersion'])}`]
  const schema = schemaOf(POLICY_CRD)
  const decoded = decodePolicy(object)
  if (decoded === undefined) return ['a RolloutPolicy needs a name']
  return [
    ...validateSchema(object, schema, undefined).map((cause) => `${cause.field}: ${cause.message}`),
    ...unknownFields(object, schema).map((field) => `${field}: no such field`),
    ...(decoded.ok ? faultsOf(decoded.policy) : [decoded.error]),
  ]
}
