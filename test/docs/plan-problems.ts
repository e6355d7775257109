import { decodePlan } from '../../src/api/decode-plan.ts'
import type { JsonObject } from '../../src/base/json.ts'
import { validatePlan } from '../../src/rollout/validate.ts'
import { unknownFields, validateSchema } from '../../src/sandbox/server/schema.ts'
import { objectsIn, read } from './snippets.ts'

const CRD = 'crds/upgrade.cattle.io_plans.yaml'

interface CrdVersion {
  readonly schema: { readonly openAPIV3Schema: JsonObject }
}

/** The schema that the CRD gives to Plans. */
function planSchema(): JsonObject {
  const [crd] = objectsIn(CRD, read(CRD)) as unknown as [{ spec: { versions: [CrdVersion] } }]
  return crd.spec.versions[0].schema.openAPIV3Schema
}

/** Everything that is wrong with an object of the documentation or the examples; a Plan has to pass the CRD, the decoder and the validation. */
export function problemsOf(object: JsonObject): string[] {
  const { apiVersion, kind } = object
  if (typeof apiVersion !== 'string' || typeof kind !== 'string') return ['an object needs apiVersion and kind']
  if (kind !== 'Plan') return []
  if (apiVersion !== 'upgrade.cattle.io/v1') return [`a Plan is upgrade.cattle.io/v1, not ${apiVersion}`]
  const schema = planSchema()
  const decoded = decodePlan(object)
  const invalid = decoded.ok ? validatePlan(decoded.plan, () => true) : decoded.error
  return [
    ...validateSchema(object, schema).map((cause) => `${cause.field}: ${cause.message}`),
    ...unknownFields(object, schema).map((field) => `${field}: no such field`),
    ...(invalid === undefined ? [] : [invalid]),
  ]
}
