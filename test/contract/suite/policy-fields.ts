import { describe, expect } from '@jest/globals'
import type { Tree } from '../../kube/client/collect.ts'
import { type Contract, invalidAt, refused } from './contract.ts'
import { define, definitions } from './ours.ts'

interface Leaf {
  /** For example `waves[].size`. */
  readonly field: string
  readonly schema: Tree
}

/** Fields that hold a value; selectors are one, and so are lists of texts. */
function leaves(schema: Tree, field: string): readonly Leaf[] {
  if (schema.items?.properties !== undefined) return leaves(schema.items, `${field}[]`)
  if (schema.properties === undefined || schema['x-kubernetes-map-type'] === 'atomic') return [{ field, schema }]
  return Object.entries(schema.properties).flatMap(([name, child]) => leaves(child, `${field}.${name}`))
}

/** Groups of fields that must not be empty. */
function groups(schema: Tree, field: string): readonly string[] {
  const below = Object.entries<Tree>(schema.properties ?? {}).flatMap(([name, child]) => groups(child, `${field}.${name}`))
  return [...(schema.minProperties === 1 ? [field] : []), ...below]
}

/** A spec with nothing but that field, in the first element of each list on its way. */
function only(field: string, value: unknown): object {
  const [, ...names] = field.split('.')
  return names.reduceRight<unknown>((inner, name) => {
    const list = name.endsWith('[]')
    return { [name.replace('[]', '')]: list ? [inner] : inner }
  }, value) as object
}

const TEXTS = ['', '!', '-1', 'no such thing', '7x', 'a'.repeat(5000), 'a'.repeat(70_000)]

/** Values that the schema has to refuse, with where it says so. */
function bad({ schema }: Leaf): readonly { readonly value: unknown; readonly at?: string }[] {
  const { type, pattern, minimum, maximum, maxLength, minLength, items } = schema
  if (schema.enum !== undefined) return [{ value: 'Nonsense' }, { value: 7 }]
  if (schema['x-kubernetes-int-or-string'] === true)
    return [{ value: true }, ...(pattern === undefined ? [] : [{ value: '-1' }, { value: 'ten' }])]
  const outOfRange = [minimum === undefined ? [] : [minimum - 1], maximum === undefined ? [] : [maximum + 1]].flat()
  if (type === 'integer' || type === 'number') return [{ value: 'many' }, ...outOfRange.map((value: number) => ({ value }))]
  if (type === 'boolean') return [{ value: 'yes' }]
  if (type === 'array')
    return [
      { value: 'text' },
      ...(schema.minItems === undefined ? [] : [{ value: [] }]),
      { value: items?.enum === undefined ? [{}] : ['Nonsense'], at: '[0]' },
    ]
  if (type !== 'string') return [{ value: 'text' }]
  const refused = TEXTS.find((text) => {
    if (text.length > (maxLength ?? Number.POSITIVE_INFINITY) || text.length < (minLength ?? 0)) return true
    return pattern !== undefined && !new RegExp(pattern, 'u').test(text)
  })
  return [{ value: 7 }, ...(refused === undefined ? [] : [{ value: refused }])]
}

const GOOD = ['5m', '1', '10%', 'a', 'text', 'https://example.com/x', 'v1', 'a/b', 'example.com/a', '.status.phase', '2026-12-18T00:00:00Z']

/** Values that have to be taken: each choice, each bound, each kind of share. */
function good({ schema }: Leaf): readonly unknown[] {
  const { type, pattern, minimum, maximum } = schema
  if (schema.enum !== undefined) return schema.enum
  if (schema['x-kubernetes-int-or-string'] === true) return [0, 3, '0%', '100%']
  if (type === 'integer' || type === 'number') return [minimum ?? 1, maximum ?? 1]
  if (type === 'boolean') return [true, false]
  if (type === 'array') return [...(schema.minItems === undefined ? [[]] : []), schema.items?.enum ?? ['a']]
  if (type !== 'string') return [{}, { matchLabels: { a: 'b' }, matchExpressions: [{ key: 'c', operator: 'Exists' }] }]
  return GOOD.filter((text) => pattern === undefined || new RegExp(pattern, 'u').test(text)).slice(0, 1)
}

const definition = definitions.find(({ spec }) => spec.names.kind === 'RolloutPolicy')
const spec: Tree = definition?.spec.versions[0].schema.openAPIV3Schema.properties.spec

/** The fields of a RolloutPolicy one by one, as the definition has them. */
export function policyFields(test: Contract): void {
  describe('a field of a RolloutPolicy', () => {
    for (const [section, schema] of Object.entries<Tree>(spec.properties)) {
      const fields = leaves(schema, `spec.${section}`)
      test(`${section}: what is wrong is refused by the field's name, what is right is not`, async (world) => {
        const { api } = world
        const { policies, policy } = await define(world)
        const faults = async (leaf: Leaf, value: unknown): Promise<readonly string[]> => {
          const { status, body } = await api.post(policies, policy('p', only(leaf.field, value)), {
            dryRun: 'All',
            fieldValidation: 'Strict',
          })
          expect([leaf.field, value, status]).toEqual([leaf.field, value, status === 201 ? 201 : 422])
          return ((body as Tree).details?.causes ?? []).map((cause: Tree) => cause.field)
        }
        for (const group of groups(schema, `spec.${section}`)) {
          const { status, body } = await api.post(policies, policy('p', only(group, { maxUnavailabel: 1 })), {
            dryRun: 'All',
            fieldValidation: 'Ignore',
          })
          const message = `Invalid value: 0: ${group} in body should have at least 1 properties`
          const { causes } = (body as Tree).details ?? {}
          expect([group, status, causes]).toEqual([group, 422, [{ reason: 'FieldValueInvalid', message, field: group }]])
        }
        for (const leaf of fields) {
          const at = leaf.field.replaceAll('[]', '[0]')
          const wrong = bad(leaf)
          expect(wrong.length).toBeGreaterThan(0)
          for (const { value, at: below = '' } of wrong)
            expect([leaf.field, value, await faults(leaf, value)]).toEqual([leaf.field, value, expect.arrayContaining([at + below])])
          const right = good(leaf)
          expect([leaf.field, right.length > 0]).toEqual([leaf.field, true])
          for (const value of right) {
            const found = (await faults(leaf, value)).filter((fault) => fault.startsWith(at))
            expect([leaf.field, value, found]).toEqual([leaf.field, value, []])
          }
        }
      })
    }

    test('that is misspelt is no rule without limits, even where nobody validates fields', async (world) => {
      const { api } = world
      const { policies, policy } = await define(world)
      const post = (name: string, budget: object) => api.post(policies, policy(name, { budget }), { fieldValidation: 'Ignore' })
      expect(await post('p', { maxUnavailabel: 1 })).toMatchObject(
        refused(422, 'Invalid', {
          message: expect.stringContaining('spec.budget: Invalid value: 0: spec.budget in body should have at least 1 properties'),
        }),
      )
      // Beside others it is gone without a word.
      const made = await api.ok(post('q', { maxUnavailabel: 1, alreadyUnavailable: 'Skip' }))
      expect(made.spec).toEqual({ budget: { alreadyUnavailable: 'Skip' } })
      // Null is no word either.
      expect(await api.merge(`${policies}/q`, { spec: { budget: { alreadyUnavailable: null } } })).toMatchObject(invalidAt('spec.budget'))
      expect((await api.merge(`${policies}/q`, { spec: { budget: null } })).status).toBe(200)
    })

    test('that is missing is not made up: a policy without any stays as it is', async (world) => {
      const { api } = world
      const { policies, policy } = await define(world)
      const made = await api.ok(api.post(policies, policy('p', {}), { fieldValidation: 'Strict' }))
      expect(made.spec).toEqual({})
      expect(await api.post(policies, policy('q', { budget: { maxUnavailabel: 1 } }), { fieldValidation: 'Strict' })).toMatchObject({
        status: 400,
        body: { message: expect.stringContaining('unknown field "spec.budget.maxUnavailabel"') },
      })
    })
  })
}
