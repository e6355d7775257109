import { expect, test } from '@jest/globals'
import { z } from 'zod'
import { policyCRD } from '../../src/api/crd-policy.ts'
import { policySpecSchema } from '../../src/api/decode-policy.ts'
import { bareFields, outline, type Tree } from './outline.ts'

const schema = policyCRD.spec.versions[0].schema.openAPIV3Schema as unknown as Tree
const spec = ((schema['properties'] as Tree)['spec'] ?? {}) as Tree

test('every field has a description', () => {
  expect(bareFields(schema)).toEqual([])
})

test('CRD and reader agree on the fields and their types', () => {
  const read = z.toJSONSchema(policySpecSchema, { io: 'input', unrepresentable: 'any', reused: 'inline' }) as Tree
  const ours = outline(spec, 'spec')
  expect(ours.length).toBeGreaterThan(40)
  expect(outline(read, 'spec')).toEqual(ours)
})

test('CRD and reader agree on the values that may be chosen', () => {
  const read = z.toJSONSchema(policySpecSchema, { io: 'input', unrepresentable: 'any', reused: 'inline' }) as Tree
  expect(choices(spec).length).toBeGreaterThan(5)
  expect(choices(read)).toEqual(choices(spec))
})

/** `path: values` of each field with an enum. */
function choices(node: Tree, path = 'spec'): string[] {
  const own = Array.isArray(node['enum']) ? [`${path}: ${(node['enum'] as string[]).join('|')}`] : []
  const inner = [
    ...((node['anyOf'] ?? []) as Tree[]).flatMap((alternative) => choices(alternative, path)),
    ...Object.entries((node['properties'] ?? {}) as Tree).flatMap(([name, member]) => choices(member as Tree, `${path}.${name}`)),
    ...(node['items'] === undefined ? [] : choices(node['items'] as Tree, `${path}[]`)),
  ]
  return [...own, ...inner].toSorted()
}
