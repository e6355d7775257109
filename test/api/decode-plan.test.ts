import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { planCRD } from '../../src/api/crd.ts'
import type { Schema } from '../../src/api/crd-parts.ts'
import { decodePlan } from '../../src/api/decode-plan.ts'
import type { Plan } from '../../src/api/plan.ts'
import type { Json, JsonObject } from '../../src/base/json.ts'

const metadata = { name: 'server-plan', namespace: 'system-upgrade', uid: 'u', resourceVersion: '7', generation: 3 }
const withSpec = (spec: JsonObject): JsonObject => ({
  apiVersion: 'upgrade.cattle.io/v1',
  kind: 'Plan',
  metadata,
  spec: { upgrade: { image: 'i' }, ...spec },
})

function decoded(raw: Json): Plan {
  const result = decodePlan(raw)
  if (!result.ok) throw new Error(result.error)
  return result.plan
}

function faultOf(raw: Json): string {
  const result = decodePlan(raw)
  if (result.ok) throw new Error('read')
  return result.error
}

test("the documents' server plan", () => {
  const spec = {
    concurrency: 1,
    cordon: true,
    nodeSelector: { matchExpressions: [{ key: 'node-role.kubernetes.io/control-plane', operator: 'In', values: ['true'] }] },
    serviceAccountName: 'system-upgrade',
    upgrade: { image: 'rancher/rke2-upgrade' },
    channel: 'https://update.rke2.io/v1-release/channels/stable',
  }
  expect(decoded(withSpec(spec))).toEqual({
    metadata: { ...metadata, labels: {}, annotations: {} },
    spec,
    status: { conditions: [], latestVersion: '', latestHash: '', applying: [] },
  })
})

describe('what is read', () => {
  test('zero values are missing, pointers and required texts stay', () => {
    const { spec } = decoded(
      withSpec({
        concurrency: 0,
        exclusive: false,
        cordon: false,
        version: '',
        secrets: [],
        postCompleteLabels: {},
        window: {},
        drain: {},
        jobActiveDeadlineSecs: 0,
        upgrade: { volumes: [{ name: 'a' }, null], args: [], envs: [{ name: 'A', value: '' }], securityContext: { runAsUser: 0 } },
      }),
    )
    expect(spec).toStrictEqual({
      jobActiveDeadlineSecs: 0,
      window: {},
      drain: {},
      upgrade: {
        image: '',
        envs: [{ name: 'A' }],
        volumes: [
          { name: 'a', source: '', destination: '' },
          { name: '', source: '', destination: '' },
        ],
        securityContext: { runAsUser: 0 },
      },
    })
  })

  test('null is missing and unknown fields vanish', () => {
    expect(decoded(withSpec({ drain: null, secrets: null, extra: 1, upgrade: { image: 'i', env: [], command: null } })).spec).toStrictEqual(
      {
        upgrade: { image: 'i' },
      },
    )
  })

  test.each([[2_147_483_648], [60_000_000_000], [9_007_199_254_740_993n], ['15m'], ['whenever']])('a drain timeout of %p', (timeout) => {
    expect(decoded(withSpec({ drain: { timeout } })).spec.drain?.timeout).toBe(timeout)
  })

  test('integers beyond 2^53 become numbers, but stay exact for the digest', () => {
    const raw = {
      ...withSpec({ concurrency: 9_007_199_254_740_993n }),
      metadata: { ...metadata, annotations: { 'upgrade.cattle.io/digest': 'spec' } },
    }
    const plan = decoded(raw)
    expect(plan.spec.concurrency).toBe(9_007_199_254_740_992)
    expect(plan.encoded?.['spec']).toEqual({ concurrency: 9_007_199_254_740_993n, upgrade: { image: 'i' } })
  })

  test('the encoded form is kept for Plans with a digest annotation only', () => {
    expect(decoded(withSpec({})).encoded).toBeUndefined()
    expect(decoded({ ...withSpec({}), metadata: { ...metadata, annotations: { 'upgrade.cattle.io/digest': '' } } }).encoded).toBeUndefined()
  })

  test('durations and divisors are normalised', () => {
    const envs = [{ name: 'A', valueFrom: { resourceFieldRef: { resource: 'limits.memory', divisor: '1024Ki' } } }]
    const { spec } = decoded(withSpec({ postCompleteDelay: '90s', upgrade: { image: 'i', envs } }))
    expect(spec.postCompleteDelay).toBe('1m30s')
    expect(spec.upgrade.envs?.[0]?.valueFrom?.resourceFieldRef?.divisor).toBe('1Mi')
  })

  test('the status with what Drover adds; an addition that cannot be read is as good as missing', () => {
    const counts = { selected: 3, done: 1, inFlight: 1, failed: 0, held: 1 }
    const known = {
      conditions: [{ type: 'Complete', status: 'False', reason: 'SyncJob' }],
      latestVersion: 'v1',
      latestHash: 'h',
      applying: ['a'],
    }
    const read = (status: JsonObject): Plan['status'] => decoded({ ...withSpec({}), status }).status
    const leadingHold = { reason: 'Paused', message: 'm', since: '2026-01-01T00:00:00Z', endedBy: 'person' }
    expect(read({ ...known, leadingHold })).toStrictEqual({ ...known, leadingHold })
    expect(read({ ...known, leadingHold: 'Paused' })).toStrictEqual(known)
    expect(read({ ...known, observedGeneration: 3, nodeCounts: counts, nodeStatuses: [{ name: 'a', phase: 'Draining' }] })).toStrictEqual({
      ...known,
      observedGeneration: 3,
      nodeCounts: counts,
      nodeStatuses: [{ name: 'a', phase: 'Draining' }],
    })
    expect(read({ ...known, observedGeneration: 'x', nodeCounts: 5, nodeStatuses: [{}] })).toStrictEqual(known)
    expect(read({ conditions: [{ type: 'Complete' }] }).conditions).toStrictEqual([{ type: 'Complete', status: 'Unknown' }])
  })
})

describe('a fault names its field', () => {
  test.each([
    [{ concurrency: '1' }, 'spec.concurrency: must be an integer of at most 64 bits, got text'],
    [{ concurrency: 2n ** 63n }, 'spec.concurrency: must be an integer of at most 64 bits'],
    [{ concurrency: 1e300 }, 'spec.concurrency: Too big: expected int to be <=9007199254740991'],
    [{ concurrency: 1.5 }, 'spec.concurrency: must be an integer of at most 64 bits, got a number with a fraction'],
    [{ cordon: 'true' }, 'spec.cordon: must be true or false, got text'],
    [{ upgrade: null }, 'spec.upgrade: must be an object, got null'],
    [{ upgrade: { image: 'i', args: 'upgrade' } }, 'spec.upgrade.args: must be a list, got text'],
    [
      { upgrade: { image: 'i', envs: [{ name: 'A' }, { name: 'B', value: 1 }] } },
      'spec.upgrade.envs[1].value: must be text, got an integer',
    ],
    [{ postCompleteDelay: 'soon' }, 'spec.postCompleteDelay: time: invalid duration "soon"'],
    [{ postCompleteLabels: { a: 1 } }, 'spec.postCompleteLabels.a: must be text, got an integer'],
    [{ drain: { timeout: true } }, 'spec.drain.timeout: must be an integer of nanoseconds or a duration, got a boolean'],
    [{ nodeSelector: [] }, 'spec.nodeSelector: must be an object, got a list'],
  ])('%p', (spec, error) => {
    expect(decodePlan(withSpec(spec as unknown as JsonObject))).toEqual({
      ok: false,
      name: 'server-plan',
      namespace: 'system-upgrade',
      error,
    })
  })

  test('several are listed, the first five of many', () => {
    expect(faultOf(withSpec({ cordon: 1, version: true }))).toMatch(/^spec\.version: .*, spec\.cordon: .*$/)
    const envs = Array.from({ length: 9 }, () => 5)
    expect(faultOf(withSpec({ upgrade: { image: 'i', envs } }))).toMatch(/envs\[4\].* and 4 more$/)
  })

  test('the value itself is never repeated: it may be a secret in the wrong place', () => {
    expect(faultOf(withSpec({ cordon: 'hunter2' }))).not.toContain('hunter2')
  })

  test('what is no object at all has no name', () => {
    for (const raw of [null, 5, 'x', [], {}]) expect(decodePlan(raw)).toMatchObject({ ok: false, name: '', namespace: '' })
  })
})

describe('in general', () => {
  const json = fc.jsonValue().map((value) => value as Json)

  test('nothing makes it throw', () => {
    fc.assert(fc.property(json, (raw) => typeof decodePlan(raw).ok === 'boolean'))
    fc.assert(
      fc.property(
        fc.constantFrom(...Object.keys(planCRD.spec.versions[0].schema.openAPIV3Schema.properties?.['spec']?.properties ?? {})),
        json,
        (field, value) => {
          const result = decodePlan(withSpec({ [field]: value }))
          if (!result.ok) expect(result.error).toContain(`spec.${field}`)
        },
      ),
    )
  })

  const spec = planCRD.spec.versions[0].schema.openAPIV3Schema.properties?.['spec'] as Schema
  const status = planCRD.spec.versions[0].schema.openAPIV3Schema.properties?.['status'] as Schema

  test('whatever the CRD accepts is read, and its encoded form is a fixed point', () => {
    const annotations = { 'upgrade.cattle.io/digest': 'spec' }
    fc.assert(
      fc.property(valueOf(spec), valueOf(status), (anySpec, anyStatus) => {
        const plan = decoded({ kind: 'Plan', metadata: { ...metadata, annotations }, spec: anySpec, status: anyStatus })
        const again = decoded(plan.encoded ?? null)
        expect(again.spec).toEqual(plan.spec)
        expect(again.encoded).toEqual(plan.encoded)
      }),
      { numRuns: 300 },
    )
  })
})

/** Any value that the schema accepts. Of free texts with a grammar of their own, only good ones. */
function valueOf(schema: Schema, name = ''): fc.Arbitrary<Json> {
  if (name === 'postCompleteDelay') return fc.constantFrom('90s', '1.5h', '-1ns', '0')
  if (name === 'divisor') return fc.constantFrom('1', '1Mi', '1024Ki', '0.5', 1, '1e3')
  if (schema.enum !== undefined) return fc.constantFrom(...schema.enum)
  if (schema['x-kubernetes-int-or-string']) return fc.oneof(fc.integer(), fc.string())
  switch (schema.type) {
    case 'string':
      return fc.string({ maxLength: 5 })
    case 'boolean':
      return fc.boolean()
    case 'integer':
      return name in COUNTS ? fc.nat() : fc.oneof(fc.integer(), fc.bigInt({ min: 2n ** 53n, max: 2n ** 63n - 1n }))
    case 'array':
      return fc.array(valueOf(schema.items ?? {}), { minLength: schema.minItems ?? 0, maxLength: 2 })
    default: {
      if (schema.additionalProperties !== undefined) return fc.dictionary(fc.string({ maxLength: 5 }), valueOf(schema.additionalProperties))
      const members = Object.entries(schema.properties ?? {}).map(([key, member]) => [key, valueOf(member, key)] as const)
      return fc.record(Object.fromEntries(members), { requiredKeys: [...(schema.required ?? [])] })
    }
  }
}

const COUNTS = { selected: true, done: true, inFlight: true, failed: true, held: true }
