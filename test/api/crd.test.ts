import { readFileSync } from 'node:fs'
import { describe, expect, test } from '@jest/globals'
import { parse } from 'yaml'
import { z } from 'zod'
import type { JsonObject } from '../../src/base/json.ts'
import { planCRD } from '../../src/api/crd.ts'
import { planSpecSchema, planStatusSchema } from '../../src/api/plan-schema.ts'
import { bareFields, outline, type Tree } from './outline.ts'

const read = (path: string): string => readFileSync(new URL(path, import.meta.url), 'utf8')
const version = planCRD.spec.versions[0]
const schemaOf = (part: 'spec' | 'status'): Tree => version.schema.openAPIV3Schema.properties?.[part] as Tree

test('the file in crds/ is the object that the controller installs', () => {
  const installed: JsonObject = planCRD
  expect(parse(read('../../crds/upgrade.cattle.io_plans.yaml'))).toEqual(JSON.parse(JSON.stringify(installed)))
})

test("without our additions the schema is SUC's", () => {
  const suc = JSON.parse(read('../vectors/suc/suc-crd.json')) as Tree
  const ours = withoutDescriptions(JSON.parse(JSON.stringify(planCRD)) as Tree) as Tree
  const ourVersion = ((ours['spec'] as Tree)['versions'] as Tree[])[0] as Tree
  const columns = ourVersion['additionalPrinterColumns'] as { name: string }[]
  ourVersion['additionalPrinterColumns'] = columns.filter(({ name }) => name !== 'Done' && name !== 'Selected')
  const status = (((ourVersion['schema'] as Tree)['openAPIV3Schema'] as Tree)['properties'] as Tree)['status'] as Tree
  delete status['default']
  for (const added of ['observedGeneration', 'nodeCounts', 'nodeStatuses', 'leadingHold']) {
    expect(Object.hasOwn(status['properties'] as Tree, added)).toBe(true)
    delete (status['properties'] as Tree)[added]
  }
  expect(ours['spec']).toEqual(suc['spec'])
  expect(columns).toHaveLength(8)
})

test('every field has a description', () => {
  expect(bareFields(version.schema.openAPIV3Schema as unknown as Tree)).toEqual([])
})

describe('CRD and reader agree', () => {
  const jsonSchema = (schema: z.ZodType): Tree => z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any', reused: 'inline' }) as Tree

  test.each([
    ['spec', planSpecSchema],
    ['status', planStatusSchema],
  ] as const)('on the fields of %s and their types', (part, schema) => {
    const ours = outline(schemaOf(part), part)
    expect(ours.length).toBeGreaterThan(part === 'spec' ? 150 : 15)
    expect(outline(jsonSchema(schema), part)).toEqual(ours)
  })
})

function withoutDescriptions(value: unknown, inProperties = false): unknown {
  if (Array.isArray(value)) return value.map((element) => withoutDescriptions(element))
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value).filter(([key]) => inProperties || key !== 'description')
  return Object.fromEntries(entries.map(([key, member]) => [key, withoutDescriptions(member, key === 'properties' && !inProperties)]))
}
