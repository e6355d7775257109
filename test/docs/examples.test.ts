import { readdirSync } from 'node:fs'
import { describe, expect, test } from '@jest/globals'
import { decodePlan } from '../../src/api/decode-plan.ts'
import type { Plan } from '../../src/api/plan.ts'
import type { JsonObject } from '../../src/base/json.ts'
import { compileLabelSelector, matchesSelector } from '../../src/kube/objects/selector.ts'
import { problemsOf } from './plan-problems.ts'
import { objectsIn, read, root } from './snippets.ts'

const files = readdirSync(`${root}examples`, { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.yaml'))
  .toSorted()

/** The only one without a Plan. */
const POLICIES = 'rollout-policy.yaml'

const objectsOf = (file: string) => objectsIn(file, read(`examples/${file}`))

function plansOf(file: string): Plan[] {
  return objectsOf(file).flatMap((object) => {
    if (object['kind'] !== 'Plan') return []
    const decoded = decodePlan(object)
    if (!decoded.ok) throw new Error(`${file}: ${decoded.error}`)
    return [decoded.plan]
  })
}

test('every example is in the list of examples', () => {
  const listed = [...read('examples/README.md').matchAll(/\]\(([\w/.-]+\.yaml)\)/g)].map((match) => match[1]!)
  expect(listed.toSorted()).toEqual(files)
})

test.each(files)('%s: every object validates against the CRD and decodes', (file) => {
  expect(objectsOf(file).length).toBeGreaterThan(0)
  expect(objectsOf(file).flatMap(problemsOf)).toEqual([])
})

describe.each(files.filter((file) => file !== POLICIES))('%s', (file) => {
  test('has a Plan that takes nodes and resolves a version', () => {
    const plans = plansOf(file)
    expect(plans.length).toBeGreaterThan(0)
    for (const { spec } of plans) {
      expect(spec.concurrency).toBeGreaterThan(0)
      expect(spec.nodeSelector).toBeDefined()
      expect(spec.version ?? spec.channel).toBeTruthy()
    }
  })

  test('Secrets that a Plan mounts are there', () => {
    const secrets = objectsOf(file).filter((object) => object['kind'] === 'Secret')
    const names = secrets.map((secret) => (secret['metadata'] as JsonObject)['name'])
    for (const { spec } of plansOf(file)) for (const secret of spec.secrets ?? []) expect(names).toContain(secret.name)
  })

  test('begins with a comment that says what it is', () => {
    expect(read(`examples/${file}`)).toMatch(/^# \S/)
  })
})

describe.each(files.filter((file) => file.includes('/')))('the pair in %s', (file) => {
  const [servers, agents] = plansOf(file)
  const extra = { 'upgrade.cattle.io/kubernetes-upgrade': 'true' }
  const server = { 'node-role.kubernetes.io/control-plane': 'true', 'node-role.kubernetes.io/etcd': 'true', ...extra }

  test('selects each node once: servers by one Plan, agents by the other', () => {
    expect(selects(servers!, server)).toBe(true)
    expect(selects(agents!, server)).toBe(false)
    expect(selects(servers!, extra)).toBe(false)
    expect(selects(agents!, extra)).toBe(true)
  })

  test('agents wait for the servers, for the same version', () => {
    expect(agents!.spec.prepare?.args).toEqual(['prepare', servers!.metadata.name])
    expect([agents!.spec.version, agents!.spec.channel]).toEqual([servers!.spec.version, servers!.spec.channel])
  })
})

function selects(plan: Plan, labels: Readonly<Record<string, string>>): boolean {
  const compiled = compileLabelSelector(plan.spec.nodeSelector)
  return compiled.ok && matchesSelector(compiled.selector, labels)
}

describe('problemsOf finds', () => {
  const plan = (spec: JsonObject) => ({
    apiVersion: 'upgrade.cattle.io/v1',
    kind: 'Plan',
    metadata: { name: 'a', namespace: 'b' },
    spec: { upgrade: { image: 'x' }, ...spec },
  })

  test.each([
    ['nothing in a good Plan', plan({}), /^$/],
    ['a missing image', plan({ upgrade: {} }), /image/],
    ['a field of the wrong type', plan({ concurrency: 'one' }), /concurrency/],
    ['a misspelt field', plan({ nodeSelectr: {} }), /nodeSelectr: no such field/],
    ['a day that is none', plan({ window: { days: ['someday'] } }), /days/],
    ['what only the validation knows', plan({ postCompleteDelay: '-1s' }), /postCompleteDelay is negative/],
    ['an object without a kind', { apiVersion: 'v1' }, /kind/],
  ])('%s', (_name, object, problem) => {
    expect(problemsOf(object).join('\n')).toMatch(problem)
  })
})
