/** docs/policy.md lists every field of the CRD, with the defaults that the reader has. */
import { expect, test } from '@jest/globals'
import { decodePolicy } from '../../src/api/decode-policy.ts'
import type { JsonObject } from '../../src/base/json.ts'
import { objectsIn, read, snippets } from './snippets.ts'

const page = read('docs/policy.md')
const rows = [...page.matchAll(/^\| `([\w.[\]]+)` \| (.+?) \| (.*?) \| (.+) \|$/gm)].map(
  ([, field = '', value = '', fallback = '', meaning = '']) => ({
    field,
    value,
    fallback,
    meaning,
  }),
)

interface Node {
  readonly properties?: Readonly<Record<string, Node>>
  readonly items?: Node
  readonly enum?: readonly string[]
  readonly 'x-kubernetes-map-type'?: string
}

/** Paths of the fields that hold a value; selectors are one. */
function leaves(node: Node, path: string): readonly { readonly field: string; readonly node: Node }[] {
  if (node.items?.properties !== undefined) return leaves(node.items, `${path}[]`)
  if (node.properties === undefined || node['x-kubernetes-map-type'] === 'atomic') return [{ field: path, node }]
  return Object.entries(node.properties).flatMap(([name, child]) => leaves(child, path === '' ? name : `${path}.${name}`))
}

const [crd] = objectsIn('crd', read('crds/drover.io_rolloutpolicies.yaml')) as unknown as [
  { spec: { versions: [{ schema: { openAPIV3Schema: { properties: { spec: Node } } } }] } },
]
const fields = leaves(crd.spec.versions[0].schema.openAPIV3Schema.properties.spec, '')

test('every field has its row, and no row is of another', () => {
  expect(fields.length).toBeGreaterThan(25)
  expect(rows.map(({ field }) => field).toSorted()).toEqual(fields.map(({ field }) => field).toSorted())
})

test('every choice is listed as the CRD has it', () => {
  const choices = fields.filter(({ node }) => node.enum !== undefined)
  expect(choices.length).toBeGreaterThan(5)
  for (const { field, node } of choices)
    expect([field, rows.find((row) => row.field === field)?.value]).toEqual([field, node.enum?.map((value) => `\`${value}\``).join(', ')])
})

test('a default that is a value is the one that the reader has', () => {
  const decoded = decodePolicy({ metadata: { name: 'x' }, spec: {} })
  if (decoded?.ok !== true) throw new Error('an empty policy cannot be read')
  const { spec } = decoded.policy
  const known: Readonly<Record<string, string>> = {
    'versionPath.stepThroughMinors': `\`${spec.versionPath.stepThroughMinors}\``,
    paused: `\`${spec.paused}\``,
    'verify.version': `\`${spec.verify.version}\``,
    'verify.reboot': `\`${spec.verify.reboot}\``,
    'failure.retries': String(spec.failure.retries),
    'failure.backoff.base': `\`${spec.failure.backoff.baseMs / 60_000}m\``,
    'failure.backoff.cap': `\`${spec.failure.backoff.capMs / 3_600_000}h\``,
    'failure.maxFailures': String((spec.failure.maxFailures as { count: number }).count),
    'failure.uncordonOnFailure': `\`${spec.failure.uncordonOnFailure}\``,
    'drain.engine': `\`${spec.drain.engine}\``,
    'drain.forecast': `\`${spec.drain.forecast}\``,
    'drain.onTimeout': `\`${spec.drain.onTimeout}\``,
    'drain.maxBlockedNodes': String((spec.drain.maxBlockedNodes as { count: number }).count),
    'etcdSnapshot.policy': `\`${spec.etcdSnapshot.policy}\``,
    'etcdSnapshot.maxAge': `\`${spec.etcdSnapshot.maxAgeMs / 3_600_000}h\``,
    'coordinate.kured': `\`${spec.coordinate.kured}\``,
    managedElsewhere: `\`${spec.managedElsewhere}\``,
  }
  for (const [field, value] of Object.entries(known))
    expect([field, rows.find((row) => row.field === field)?.fallback]).toEqual([field, value])
})

test('each section of fields is shown in an example', () => {
  const shown = new Set<string>()
  const visit = (value: unknown, path: string): void => {
    if (Array.isArray(value)) for (const item of value) visit(item, `${path}[]`)
    else if (typeof value === 'object' && value !== null)
      for (const [name, child] of Object.entries(value)) {
        const below = path === '' ? name : `${path}.${name}`
        shown.add(below.split(/[.[]/)[0] ?? '')
        visit(child, below)
      }
  }
  for (const { where, text } of snippets('docs/policy.md', page).filter(({ language }) => language === 'yaml'))
    for (const object of objectsIn(where, text)) visit(object['spec'] as JsonObject, '')
  const sections = new Set(fields.map(({ field }) => field.split(/[.[]/)[0] ?? ''))
  // Said in words: a pause and a provisioned cluster need no example.
  expect([...sections].filter((section) => !shown.has(section)).toSorted()).toEqual(['managedElsewhere', 'paused'])
})
