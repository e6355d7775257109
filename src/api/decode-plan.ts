/** From the API server's JSON to a Plan, one object at a time: a Plan that cannot be read stops no other. */
import * as z from 'zod'
import { isObject, type Json, type JsonObject } from '../base/json.ts'
import { explain } from '../base/explain-faults.ts'
import { ANNOTATION_DIGEST } from './names.ts'
import type { Plan, PlanCondition, PlanMetadata, PlanSpec, PlanStatus } from './plan.ts'
import { planMetadataSchema, planSpecSchema, planStatusSchema, sucStatusSchema } from './plan-schema.ts'

export type DecodedPlan =
  | { readonly ok: true; readonly plan: Plan }
  | { readonly ok: false; readonly name: string; readonly namespace: string; readonly error: string }

const planSchema = z.object({ metadata: planMetadataSchema, spec: planSpecSchema, status: planStatusSchema.nullish() })

/**
 * Never throws. The error names each field that cannot be read, e.g. `spec.postCompleteDelay: time: invalid duration "soon"`.
 * Unknown fields vanish, zero values read as missing, as SUC's types have it; what only SUC's types are too narrow for
 * (`drain.timeout` beyond 32 bits) is read.
 */
export function decodePlan(raw: Json): DecodedPlan {
  const result = planSchema.safeParse(raw)
  if (!result.success) return { ok: false, ...nameOf(raw), error: explain(result.error) }
  const { metadata, spec, status } = result.data
  const plan: Plan = {
    metadata: toMetadata(metadata),
    // The schema's output is PlanSpec but for `undefined` members and integers beyond 2^53, which are settled here.
    spec: withNumbers(compact(spec as Json)) as unknown as PlanSpec,
    status: toStatus(status ?? {}),
  }
  const wantsDigest = (plan.metadata.annotations[ANNOTATION_DIGEST] ?? '') !== ''
  return { ok: true, plan: wantsDigest ? { ...plan, encoded: encode(raw as JsonObject, compact(spec as Json)) } : plan }
}

/** The whole object as SUC would write it. */
function encode(raw: JsonObject, spec: Json): JsonObject {
  const { apiVersion, kind, metadata, status } = raw
  return {
    ...(apiVersion ? { apiVersion } : {}),
    ...(kind ? { kind } : {}),
    metadata: encodeMetadata((metadata ?? {}) as JsonObject),
    spec,
    status: compact(sucStatusSchema.parse(status ?? {}) as Json),
  }
}

/** Every field of ObjectMeta; all are omitted when empty. */
const OBJECT_META = (
  'name generateName namespace selfLink uid resourceVersion generation creationTimestamp deletionTimestamp ' +
  'deletionGracePeriodSeconds labels annotations ownerReferences finalizers managedFields'
).split(' ')

function encodeMetadata(metadata: JsonObject): JsonObject {
  const entries = OBJECT_META.map((key) => [key, metadata[key]] as const)
  return Object.fromEntries(entries.filter(([key, value]) => !isEmpty(value) || (key === 'deletionGracePeriodSeconds' && value === 0)))
}

function isEmpty(value: Json | undefined): boolean {
  if (value === undefined || value === null || value === '' || value === 0) return true
  return typeof value === 'object' && Object.keys(value).length === 0
}

function toMetadata(metadata: z.output<typeof planMetadataSchema>): PlanMetadata {
  const { creationTimestamp, deletionTimestamp, labels, annotations, ...plain } = metadata
  return {
    ...plain,
    ...(creationTimestamp === undefined ? {} : { creationTimestamp }),
    ...(deletionTimestamp === undefined ? {} : { deletionTimestamp }),
    labels: labels ?? {},
    annotations: annotations ?? {},
  }
}

function toStatus(status: Partial<z.output<typeof planStatusSchema>>): PlanStatus {
  const { conditions, latestVersion, latestHash, applying, observedGeneration, nodeCounts, nodeStatuses, leadingHold } = status
  return {
    conditions: (conditions ?? []).map((condition) => toCondition(compact(condition as Json) as unknown as PlanCondition)),
    latestVersion: latestVersion ?? '',
    latestHash: latestHash ?? '',
    applying: applying ?? [],
    ...(observedGeneration === undefined ? {} : { observedGeneration }),
    ...(nodeCounts === undefined ? {} : { nodeCounts }),
    ...(nodeStatuses === undefined
      ? {}
      : { nodeStatuses: compact(nodeStatuses as Json) as unknown as NonNullable<PlanStatus['nodeStatuses']> }),
    ...(leadingHold === undefined
      ? {}
      : { leadingHold: compact(leadingHold as Json) as unknown as NonNullable<PlanStatus['leadingHold']> }),
  }
}

/** A status outside the three known ones says as much as Unknown. */
function toCondition(condition: PlanCondition): PlanCondition {
  return condition.status === 'True' || condition.status === 'False' ? condition : { ...condition, status: 'Unknown' }
}

/** Without members that are undefined. */
function compact(value: Json): Json {
  if (Array.isArray(value)) return value.map(compact)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value).flatMap(([key, member]) => (member === undefined ? [] : [[key, compact(member as Json)] as const])),
  )
}

/** Integers beyond 2^53 as the nearest number, which serves every purpose but a digest. The drain timeout stays exact. */
function withNumbers(value: Json, key = ''): Json {
  if (typeof value === 'bigint') return key === 'timeout' ? value : Number(value)
  if (Array.isArray(value)) return value.map((element) => withNumbers(element))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, withNumbers(member as Json, name)]))
}

function nameOf(raw: Json): { readonly name: string; readonly namespace: string } {
  const metadata = member(raw, 'metadata')
  const [name, namespace] = [member(metadata, 'name'), member(metadata, 'namespace')]
  return { name: typeof name === 'string' ? name : '', namespace: typeof namespace === 'string' ? namespace : '' }
}

function member(value: Json | undefined, key: string): Json | undefined {
  return isObject(value) ? value[key] : undefined
}
