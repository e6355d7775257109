/**
 * SUC's Plan types (v0.20) as zod schemas whose output is what those Go types write when the object is encoded again:
 * unknown fields are gone, zero values of `omitempty` fields too, pointers stay, durations and divisors are normalised.
 * A digest is printed from that form, so each field's kind matters: `omit*` = omitempty, `kept*` = always written, `pointer` = written if set.
 */
import * as z from 'zod'
import { formatDuration, parseDuration } from '../kube/objects/duration.ts'
import { canonicalQuantity } from '../kube/objects/quantity.ts'

const expected = (what: string) => (issue: { readonly input?: unknown }) => `must be ${what}, got ${kindOf(issue.input)}`

const text = z.string({ error: expected('text') })
const flag = z.boolean({ error: expected('true or false') })
/** Any int64. SUC takes less for some (int32); what it would refuse is read here. */
const INT64 = 'an integer of at most 64 bits'
const wider = { error: `must be ${INT64}` }
const whole = z.union(
  [
    z.int(),
    z
      .bigint()
      .min(-(2n ** 63n), wider)
      .max(2n ** 63n - 1n, wider),
  ],
  { error: expected(INT64) },
)

/** Null stands for missing everywhere, as in Go. */
const pointer = <T extends z.ZodType>(schema: T) => schema.nullish().transform((value) => value ?? undefined)
const keptText = text.nullish().transform((value) => value ?? '')
const omitText = text.nullish().transform((value) => (value ? value : undefined))
const omitFlag = flag.nullish().transform((value) => (value ? true : undefined))
const omitWhole = whole.nullish().transform((value) => (value === undefined || value === null || Number(value) === 0 ? undefined : value))
const omitMap = z
  .record(z.string(), keptText, { error: expected('a map of texts') })
  .nullish()
  .transform((value) => (value && Object.keys(value).length > 0 ? value : undefined))
const omitList = <T extends z.ZodType>(element: T) =>
  z
    .array(element, { error: expected('a list') })
    .nullish()
    .transform((value) => (value && value.length > 0 ? value : undefined))
const object = <T extends z.ZodRawShape>(shape: T) => z.object(shape, { error: expected('an object') })
/** An element of a list: null is the type's zero value. */
const element = <T extends z.ZodRawShape>(shape: T) => {
  const schema = object(shape)
  return schema.nullable().transform((value) => value ?? schema.parse({}))
}

const duration = text.transform((value, context) => {
  const parsed = parseDuration(value)
  if (parsed.ok) return formatDuration(parsed.ns)
  context.issues.push({ code: 'custom', message: parsed.error, input: value })
  return z.NEVER
})

const quantity = z
  .union([text, whole], { error: expected('a quantity such as 1Mi') })
  .nullish()
  .transform((value, context) => {
    const canonical = canonicalQuantity(value ?? '0')
    if (canonical.ok) return canonical.text
    context.issues.push({ code: 'custom', message: canonical.error, input: value })
    return z.NEVER
  })

const labelSelector = object({
  matchLabels: omitMap,
  matchExpressions: omitList(element({ key: keptText, operator: keptText, values: omitList(keptText) })),
})

const sourceRef = object({ name: omitText, optional: pointer(flag) })
const keyRef = object({ name: omitText, key: keptText, optional: pointer(flag) })

const envVar = element({
  name: keptText,
  value: omitText,
  valueFrom: pointer(
    object({
      fieldRef: pointer(object({ apiVersion: omitText, fieldPath: keptText })),
      resourceFieldRef: pointer(object({ containerName: omitText, resource: keptText, divisor: quantity })),
      configMapKeyRef: pointer(keyRef),
      secretKeyRef: pointer(keyRef),
      fileKeyRef: pointer(object({ volumeName: keptText, path: keptText, key: keptText, optional: pointer(flag) })),
    }),
  ),
})

const profile = object({ type: keptText, localhostProfile: pointer(text) })

const securityContext = object({
  capabilities: pointer(object({ add: omitList(keptText), drop: omitList(keptText) })),
  privileged: pointer(flag),
  seLinuxOptions: pointer(object({ user: omitText, role: omitText, type: omitText, level: omitText })),
  windowsOptions: pointer(
    object({
      gmsaCredentialSpecName: pointer(text),
      gmsaCredentialSpec: pointer(text),
      runAsUserName: pointer(text),
      hostProcess: pointer(flag),
    }),
  ),
  runAsUser: pointer(whole),
  runAsGroup: pointer(whole),
  runAsNonRoot: pointer(flag),
  readOnlyRootFilesystem: pointer(flag),
  allowPrivilegeEscalation: pointer(flag),
  procMount: pointer(text),
  seccompProfile: pointer(profile),
  appArmorProfile: pointer(profile),
})

const container = object({
  image: keptText,
  command: omitList(keptText),
  args: omitList(keptText),
  envs: omitList(envVar),
  envFrom: omitList(element({ prefix: omitText, configMapRef: pointer(sourceRef), secretRef: pointer(sourceRef) })),
  volumes: omitList(element({ name: keptText, source: keptText, destination: keptText })),
  securityContext: pointer(securityContext),
})

export const planSpecSchema = object({
  concurrency: omitWhole,
  jobActiveDeadlineSecs: pointer(whole),
  nodeSelector: pointer(labelSelector),
  serviceAccountName: omitText,
  channel: omitText,
  version: omitText,
  secrets: omitList(element({ name: keptText, path: keptText, ignoreUpdates: omitFlag, defaultMode: pointer(whole) })),
  tolerations: omitList(
    element({ key: omitText, operator: omitText, value: omitText, effect: omitText, tolerationSeconds: pointer(whole) }),
  ),
  exclusive: omitFlag,
  window: pointer(object({ days: omitList(keptText), startTime: omitText, endTime: omitText, timeZone: omitText })),
  prepare: pointer(container),
  upgrade: container,
  cordon: omitFlag,
  drain: pointer(
    object({
      timeout: pointer(z.union([whole, text], { error: expected('an integer of nanoseconds or a duration') })),
      gracePeriod: pointer(whole),
      deleteLocalData: pointer(flag),
      deleteEmptydirData: pointer(flag),
      ignoreDaemonSets: pointer(flag),
      force: omitFlag,
      disableEviction: omitFlag,
      skipWaitForDeleteTimeout: omitWhole,
      podSelector: pointer(labelSelector),
    }),
  ),
  imagePullSecrets: omitList(element({ name: omitText })),
  postCompleteDelay: pointer(duration),
  priorityClassName: omitText,
  postCompleteLabels: omitMap,
})

/** What SUC's status type knows. */
const sucStatusShape = {
  conditions: omitList(
    element({
      type: keptText,
      status: keptText,
      lastUpdateTime: omitText,
      lastTransitionTime: omitText,
      reason: omitText,
      message: omitText,
    }),
  ),
  latestVersion: omitText,
  latestHash: omitText,
  applying: omitList(keptText),
}

export const sucStatusSchema = object(sucStatusShape)

const count = z.int().nonnegative()

/** The fields that Drover adds are mirrors for readers: one that cannot be read is as good as missing. */
export const planStatusSchema = object({
  ...sucStatusShape,
  observedGeneration: pointer(z.int()).catch(undefined),
  nodeCounts: pointer(object({ selected: count, done: count, inFlight: count, failed: count, held: count })).catch(undefined),
  nodeStatuses: omitList(
    object({ name: text, phase: text, since: omitText, reason: omitText, message: omitText, endedBy: omitText }),
  ).catch(undefined),
  leadingHold: pointer(
    object({
      reason: text,
      message: text,
      since: text,
      node: omitText,
      endedBy: text,
      blockedBy: omitText,
      retryAt: omitText,
    }),
  ).catch(undefined),
})

export const planMetadataSchema = object({
  name: text.min(1, { error: 'must not be empty' }),
  namespace: keptText,
  uid: keptText,
  resourceVersion: keptText,
  generation: z
    .int()
    .nullish()
    .transform((value) => value ?? 0),
  creationTimestamp: omitText,
  deletionTimestamp: omitText,
  labels: omitMap,
  annotations: omitMap,
})

/** A word for the JSON type; never the value itself, which may be a secret in the wrong place. */
function kindOf(value: unknown): string {
  if (value === undefined) return 'nothing'
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'a list'
  switch (typeof value) {
    case 'string':
      return 'text'
    case 'number':
      if (Number.isSafeInteger(value)) return 'an integer'
      return Number.isInteger(value) ? 'an integer out of range' : 'a number with a fraction'
    case 'bigint':
      return 'an integer'
    case 'boolean':
      return 'a boolean'
    default:
      return 'an object'
  }
}
