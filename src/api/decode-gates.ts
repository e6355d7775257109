/** Gates and hooks of a RolloutPolicy, read as strictly as the rest of it. */
import * as z from 'zod'
import { parseJsonPath } from '../kube/objects/json-path.ts'
import { validateLabelKey } from '../kube/objects/label-validation.ts'
import { duration, flag, object, optional, orDefault, parsed, selector, text } from './decode-parts.ts'
import { COMPARISONS, type GateCheck, type GateSpec, type HookSpec, OPERATORS } from './gate.ts'

const MAX_GATES = 20
const MAX_HOOKS = 10

const name = text
  .max(63, { error: 'must be no more than 63 characters' })
  .regex(/^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$/, { error: 'must be letters, digits, dashes, dots and underscores' })
const filled = text.min(1, { error: 'must not be empty' }).max(253, { error: 'must be no more than 253 characters' })
const compared = parsed(z.union([z.string(), z.int()], { error: 'must be text or a whole number' }), (value) => ({
  ok: true,
  value: String(value),
}))

const path = parsed(text, parseJsonPath)

const condition = object({
  type: filled,
  status: orDefault(filled, 'True'),
})

const expectation = object({
  condition: optional(condition),
  path: optional(path),
  operator: optional(z.enum(OPERATORS)),
  value: optional(compared),
  values: optional(z.array(compared).min(1, { error: 'must not be empty' }).max(50, { error: 'must be no more than 50' })),
}).transform((fields, context) => {
  const { operator, value, values } = fields
  const fault = faultOf(fields)
  if (fault !== undefined) {
    context.issues.push({ code: 'custom', message: fault, input: fields })
    return z.NEVER
  }
  if (fields.condition !== undefined) return { kind: 'condition' as const, ...fields.condition }
  if (fields.path === undefined || operator === undefined) return z.NEVER
  return { kind: 'path' as const, path: fields.path, operator, values: values ?? (value === undefined ? [] : [value]) }
})

function faultOf(fields: {
  condition?: unknown
  path?: unknown
  operator?: string | undefined
  value?: unknown
  values?: unknown
}): string | undefined {
  const { operator } = fields
  if ((fields.condition === undefined) === (fields.path === undefined)) return 'needs either a condition or a path'
  if ((fields.path === undefined) !== (operator === undefined)) return 'a path needs an operator, and a condition has none'
  const many = operator === 'in' || operator === 'notIn'
  if ((fields.values !== undefined) !== many) return many ? `operator ${operator} needs values` : 'values go with operators in and notIn'
  const one = (COMPARISONS as readonly string[]).includes(operator ?? '')
  if ((fields.value !== undefined) !== one) return one ? `operator ${operator} needs a value` : 'value goes with operators that compare'
  return undefined
}

const objectCheck = object({
  apiVersion: text.regex(/^([a-z0-9]([-a-z0-9.]*[a-z0-9])?\/)?v[a-z0-9]+$/, { error: 'must be a group and version such as apps/v1' }),
  kind: text.regex(/^[A-Z][A-Za-z0-9]{0,62}$/, { error: 'must be a kind such as Deployment' }),
  namespace: optional(filled),
  name: optional(filled),
  selector: optional(selector),
  expect: z.array(expectation).min(1, { error: 'must not be empty' }).max(20, { error: 'must be no more than 20' }),
})
  .refine((check) => (check.name === undefined) !== (check.selector === undefined), { error: 'needs either a name or a selector' })
  // What is found is told in the status of Plans, which more people may read.
  .refine(({ apiVersion, kind }) => apiVersion !== 'v1' || kind !== 'Secret', { error: 'cannot be of kind Secret' })

const secretKey = object({ name: filled, key: filled })

const url = parsed(text.max(2048, { error: 'must be no more than 2048 characters' }), (value) => {
  const no = (error: string) => ({ ok: false as const, error })
  if (!URL.canParse(value)) return no(`${JSON.stringify(value)} is no URL such as https://prometheus.monitoring:9090`)
  const { protocol, username, password, search, hash } = new URL(value)
  if (protocol !== 'http:' && protocol !== 'https:') return no('must begin with http:// or https://')
  if (username !== '' || password !== '') return no('must not carry credentials: put a token into a Secret and name it in tokenSecretRef')
  if (search !== '' || hash !== '') return no('must end with its path: the query has a field of its own')
  return { ok: true, value: value.replace(/\/+$/, '') }
})

const prometheusCheck = object({
  url,
  query: text.min(1, { error: 'must not be empty' }).max(4096, { error: 'must be no more than 4096 characters' }),
  expect: object({ operator: z.enum(COMPARISONS), value: z.number({ error: 'must be a number' }) }),
  emptyIs: orDefault(z.enum(['Pass', 'Hold']), 'Hold' as const),
  caBundle: optional(
    text
      .max(65_536, { error: 'must be no more than 64 KiB' })
      .regex(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/, { error: 'must hold certificates in PEM' }),
  ),
  caSecretRef: optional(secretKey),
  tokenSecretRef: optional(secretKey),
}).refine(({ caBundle, caSecretRef }) => caBundle === undefined || caSecretRef === undefined, {
  error: 'takes its authority from caBundle or from caSecretRef, not from both',
})

const podsAbsentCheck = object({ namespace: optional(filled), selector, onNode: orDefault(flag, false) }).refine(
  (check) =>
    check.namespace !== undefined ||
    Object.keys(check.selector.matchLabels ?? {}).length > 0 ||
    (check.selector.matchExpressions ?? []).length > 0,
  { error: 'selects every pod of the cluster, and there always are some' },
)

const gate = object({
  name,
  at: z
    .array(z.enum(['PlanStart', 'NodeStart', 'NodeEnd', 'WaveEnd']))
    .min(1, { error: 'must not be empty' })
    .refine((list) => new Set(list).size === list.length, { error: 'names a position twice' }),
  object: optional(objectCheck),
  prometheus: optional(prometheusCheck),
  podsAbsent: optional(podsAbsentCheck),
  stableFor: orDefault(duration, 0),
  timeout: optional(duration),
  onTimeout: orDefault(z.enum(['Pause', 'Fail', 'Continue']), 'Pause' as const),
})
  .refine((fields) => [fields.object, fields.prometheus, fields.podsAbsent].filter((one) => one !== undefined).length === 1, {
    error: 'needs exactly one of object, prometheus and podsAbsent',
  })
  .refine(({ at, podsAbsent }) => podsAbsent?.onNode !== true || at.every((where) => where === 'NodeStart' || where === 'NodeEnd'), {
    error: 'podsAbsent.onNode needs a node: only NodeStart and NodeEnd have one',
  })
  .transform(({ object: of, prometheus, podsAbsent, stableFor, timeout, ...rest }): GateSpec => {
    // What zod calls `undefined` members are missing ones; one of the three is there.
    const check = (
      of !== undefined
        ? { ...of, of: of.kind, kind: 'object' }
        : prometheus !== undefined
          ? { ...prometheus, kind: 'prometheus' }
          : { ...podsAbsent, kind: 'podsAbsent' }
    ) as GateCheck
    return { ...rest, check, stableForMs: stableFor, ...(timeout === undefined ? {} : { timeoutMs: timeout }) }
  })

const differ = (list: readonly { readonly name: string }[]): boolean => new Set(list.map((one) => one.name)).size === list.length

export const gates = z
  .array(gate)
  .max(MAX_GATES, { error: `must be no more than ${MAX_GATES}` })
  .refine(differ, { error: 'two gates have the same name' })

const ackAnnotation = parsed(text, (value) => {
  const faults = validateLabelKey(value)
  const prefix = value.includes('/') ? value.slice(0, value.indexOf('/')) : ''
  if (faults.length > 0) return { ok: false, error: `${JSON.stringify(value)} is no annotation: ${faults.join('; ')}` }
  if (prefix === '') return { ok: false, error: `${JSON.stringify(value)} needs a prefix, such as example.com/ready` }
  if (/(^|\.)(drover\.io|cattle\.io|kubernetes\.io|k8s\.io)$/.test(prefix))
    return { ok: false, error: `${JSON.stringify(value)}: annotations under ${prefix} are not for hooks` }
  return { ok: true, value }
})

const hook = object({ name, ackAnnotation, timeout: optional(duration) }).transform(
  ({ timeout, ...rest }): HookSpec => ({ ...rest, ...(timeout === undefined ? {} : { timeoutMs: timeout }) }),
)
const hookList = z
  .array(hook)
  .max(MAX_HOOKS, { error: `must be no more than ${MAX_HOOKS}` })
  .refine(differ, { error: 'two hooks have the same name' })
  // One annotation cannot say that two have been at work.
  .refine((list) => new Set(list.map((one) => one.ackAnnotation)).size === list.length, { error: 'two hooks have the same ackAnnotation' })

export const hooks = object({ before: orDefault(hookList, []), after: orDefault(hookList, []) })
