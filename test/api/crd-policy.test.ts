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

/** Where a field with a typing error is removed, its group is left empty, and must not pass for one without limits. */
test('every group of fields must say something, to the CRD and to the reader', () => {
  const groups = emptiable(spec)
  expect(groups).toEqual(expect.arrayContaining([['budget'], ['drain'], ['hooks'], ['failure', 'backoff']]))
  for (const path of groups) {
    const at = path.reduce<Tree>((node, name) => (node['properties'] as Tree)[name] as Tree, spec)
    expect([path, at['minProperties']]).toEqual([path, 1])
    const { error } = policySpecSchema.safeParse(path.reduceRight<object>((inner, name) => ({ [name]: inner }), {}))
    expect([path, error?.issues.map((issue) => [issue.path, issue.message])]).toEqual([path, [[path, expect.stringMatching(/^is empty/)]]])
  }
})

/** Paths of the objects below a node that need none of their fields. A label selector is none: an empty one selects all. */
function emptiable(node: Tree, path: readonly string[] = []): string[][] {
  return Object.entries((node['properties'] ?? {}) as Tree).flatMap(([name, member]) => {
    const { properties, required, 'x-kubernetes-map-type': kind } = member as Tree
    if (properties === undefined || kind === 'atomic') return []
    const here = [...path, name]
    return [...(required === undefined ? [here] : []), ...emptiable(member as Tree, here)]
  })
}

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
