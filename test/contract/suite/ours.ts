import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect } from '@jest/globals'
import { parse, parseAllDocuments } from 'yaml'
import type { Tree } from '../../kube/client/collect.ts'
import type { Contract, World } from './contract.ts'
import { conditionOf, invalidAt, refused } from './contract.ts'
import { DEFINITIONS } from './things.ts'

const root = new URL('../../../', import.meta.url).pathname
const TABLE = 'application/json;as=Table;v=v1;g=meta.k8s.io'

export const definitions: readonly Tree[] = readdirSync(join(root, 'crds'))
  .filter((name) => name !== 'kustomization.yaml')
  .map((name) => parse(readFileSync(join(root, 'crds', name), 'utf8')) as Tree)

/** What the examples show, whatever its kind. */
const examples: readonly Tree[] = readdirSync(join(root, 'examples'), { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.yaml'))
  .flatMap((name) => parseAllDocuments(readFileSync(join(root, 'examples', name), 'utf8')).map((document) => document.toJS() as Tree))

interface Ours {
  readonly plans: string
  readonly policies: string
  readonly plan: (name: string, spec?: object) => object
  readonly policy: (name: string, spec: object) => object
}

/** Defines our own resources unless an earlier test did, and waits until they are served. */
export async function define({ api, until, namespace }: World): Promise<Ours> {
  for (const definition of definitions) {
    const { status, body } = await api.post(DEFINITIONS, definition)
    if (status !== 201 && status !== 409) throw new Error(`${definition.metadata.name}: ${status} ${JSON.stringify(body)}`)
  }
  const plans = `/apis/upgrade.cattle.io/v1/namespaces/${namespace}/plans`
  const policies = `/apis/drover.io/v1alpha1/namespaces/${namespace}/rolloutpolicies`
  for (const path of [plans, policies]) await until(`${path} is served`, async () => (await api.get(path)).status === 200)
  const spec = { nodeSelector: {}, version: 'v1', upgrade: { image: 'registry.example/upgrade' } }
  return {
    plans,
    policies,
    plan: (name, more = {}) => ({ apiVersion: 'upgrade.cattle.io/v1', kind: 'Plan', metadata: { name }, spec: { ...spec, ...more } }),
    policy: (name, policy) => ({ apiVersion: 'drover.io/v1alpha1', kind: 'RolloutPolicy', metadata: { name }, spec: policy }),
  }
}

/** Our own definitions and examples, as any API server takes them. */
export function ours(test: Contract): void {
  describe('our definitions', () => {
    test('are established, and take every Plan and policy of the examples', async (world) => {
      const { api, namespace } = world
      const { plans, policies } = await define(world)
      for (const { metadata } of definitions)
        expect(conditionOf(await api.ok(api.get(`${DEFINITIONS}/${metadata.name}`)), 'Established')).toBe('True/InitialNamesAccepted')
      const paths: Readonly<Record<string, string>> = { Plan: plans, RolloutPolicy: policies }
      let taken = 0
      for (const example of examples) {
        const path = paths[example?.kind]
        if (path === undefined) continue
        const metadata = { ...example.metadata, name: `${example.metadata.name}-${taken}`, namespace }
        const made = await api.ok(api.post(path, { ...example, metadata }, { fieldValidation: 'Strict' }))
        // Nothing of it is lost.
        expect(made.spec).toMatchObject(example.spec)
        taken++
      }
      expect(taken).toBeGreaterThan(5)
    })

    test('give a new Plan a status that says that nobody has looked at it', async (world) => {
      const { api } = world
      const { plans, plan } = await define(world)
      const made = await api.ok(api.post(plans, { ...plan('p', { drian: {} }), status: { latestVersion: 'a lie' } }))
      expect(made.status).toEqual({ observedGeneration: -1 })
      expect(made.spec.drian).toBeUndefined()
      expect(await api.post(plans, plan('q', { drian: {} }), { fieldValidation: 'Strict' })).toMatchObject(
        refused(400, 'BadRequest', { message: expect.stringContaining('unknown field "spec.drian"') }),
      )
      const claimed = await api.ok(api.merge(`${plans}/p/status`, { status: { applying: ['node-1'], observedGeneration: 1 } }))
      expect(claimed.status).toEqual({ applying: ['node-1'], observedGeneration: 1 })
      const stale = { metadata: { resourceVersion: made.metadata.resourceVersion }, status: { applying: ['node-2'] } }
      expect(await api.merge(`${plans}/p/status`, stale)).toMatchObject(refused(409, 'Conflict'))
    })

    test('show a Plan by its columns', async (world) => {
      const { api } = world
      const { plans, plan } = await define(world)
      await api.ok(api.post(plans, plan('p')))
      const conditions = [
        { type: 'LatestResolved', status: 'True', reason: 'Version', message: '' },
        { type: 'Complete', status: 'False', reason: 'Waiting', message: 'waits for node-1' },
        { type: 'Ready', status: 'False', reason: 'Waiting', message: 'another' },
      ].map((condition) => ({ ...condition, lastTransitionTime: '2026-01-02T03:04:05Z', lastUpdateTime: '2026-01-02T03:04:05Z' }))
      await api.ok(
        api.merge(`${plans}/p/status`, {
          status: { conditions, nodeCounts: { selected: 3, done: 1, inFlight: 0, failed: 0, held: 0 }, applying: ['a', 'b'] },
        }),
      )
      const table = await api.ok(api.get(plans, {}, TABLE))
      const shown = Object.fromEntries(
        table.columnDefinitions.map((column: Tree, index: number) => [column.name, table.rows[0].cells[index]]),
      )
      expect(shown).toMatchObject({
        Name: 'p',
        Image: 'registry.example/upgrade',
        Channel: null,
        Version: 'v1',
        Complete: 'False',
        Done: 1,
        Selected: 3,
        Message: 'waits for node-1',
        Applying: '["a","b"]',
      })
    })

    test('judge a RolloutPolicy by rules, too', async (world) => {
      const { api } = world
      const { policies, policy } = await define(world)
      const [early, late] = ['2026-12-18T00:00:00Z', '2027-01-04T00:00:00Z']
      const post = (spec: object) => api.post(policies, policy('p', spec))
      const why = (field: string, message: string): object =>
        refused(422, 'Invalid', { details: { causes: [{ reason: 'FieldValueInvalid', field, message: `Invalid value: ${message}` }] } })
      expect(await post({ exclusions: [{ from: late, to: early }] })).toMatchObject(why('spec.exclusions[0]', 'from must be before to'))
      expect(await post({ waves: [{ name: 'a' }] })).toMatchObject(why('spec.waves[0]', 'a wave needs a size or a nodeSelector'))
      expect(await post({ failure: { backoff: { base: '2h', cap: '1h' } } })).toMatchObject(
        why('spec.failure.backoff', 'base must not be longer than cap'),
      )
      const url = 'https://hooks.example.com/x'
      const secretRef = { name: 'slack', key: 'url' }
      for (const notify of [[{}], [{ url, secretRef }]])
        expect(await post({ notify })).toMatchObject(why('spec.notify[0]', 'needs either a url or a secretRef'))
      expect(await post({ notify: [{ url: 'ftp://example.com' }] })).toMatchObject(invalidAt('spec.notify[0].url'))
      expect(await post({ notify: [{ url, events: ['NodeDone'] }] })).toMatchObject(invalidAt('spec.notify[0].events[0]', '<nil>'))
      expect(await post({ notify: Array(11).fill({ url }) })).toMatchObject(invalidAt('spec.notify', '<nil>'))
      // A time that is none cannot be compared.
      expect(await post({ exclusions: [{ from: 'soon', to: late }] })).toMatchObject(
        why(
          'spec.exclusions[0]',
          `"object": type conversion error from 'string' to 'google.protobuf.Timestamp' evaluating rule: from must be before to`,
        ),
      )
      expect(await post({ failure: { backoff: { base: 'long', cap: '1h' } } })).toMatchObject(
        invalidAt('spec.failure.backoff.base', 'spec.failure.backoff'),
      )
      // What has the wrong shape is not judged by rules.
      expect(await post({ waves: [{ size: 1 }], failure: { backoff: { base: '2h', cap: '1h' } } })).toMatchObject(
        invalidAt('spec.waves[0].name', '<nil>'),
      )
      const good = {
        exclusions: [{ from: early, to: late }],
        waves: [{ name: 'a', size: 1 }],
        failure: { backoff: { base: '5m', cap: '1h' } },
      }
      expect(await post(good)).toMatchObject({ status: 201 })
      expect(await api.merge(`${policies}/p`, { spec: { failure: { backoff: { base: '61m' } } } })).toMatchObject(
        invalidAt('spec.failure.backoff'),
      )
      expect((await api.merge(`${policies}/p`, { spec: { failure: { backoff: { cap: null, base: '61m' } } } })).status).toBe(200)
    })

    test('judge gates and hooks of a RolloutPolicy by rules', async (world) => {
      const { api } = world
      const { policies, policy } = await define(world)
      const gate = (check: object) => ({ gates: [{ name: 'g', at: ['NodeStart'], ...check }] })
      const path = { path: '.status.phase', operator: 'eq', value: 'Ready' }
      const object = { apiVersion: 'v1', kind: 'ConfigMap', namespace: 'n', name: 'c', expect: [path] }
      const prometheus = { url: 'https://p', query: 'up', expect: { operator: 'eq', value: 1 } }
      const expecting = (expectation: object) => gate({ object: { ...object, expect: [expectation] } })
      const one = 'needs exactly one of object, prometheus and podsAbsent'
      const at = 'spec.gates[0]'
      const bad: readonly (readonly [object, string, string])[] = [
        [gate({}), at, one],
        [gate({ object, prometheus }), at, one],
        [
          gate({ podsAbsent: { selector: {}, onNode: true }, at: ['PlanStart'] }),
          at,
          'podsAbsent.onNode needs a node: only NodeStart and NodeEnd have one',
        ],
        [gate({ object: { ...object, selector: {} } }), `${at}.object`, 'needs either a name or a selector'],
        [gate({ object: { ...object, kind: 'Secret' } }), `${at}.object`, 'cannot be of kind Secret'],
        [expecting({}), `${at}.object.expect[0]`, 'needs either a condition or a path'],
        [expecting({ path: '.a' }), `${at}.object.expect[0]`, 'a path needs an operator, and a condition has none'],
        [expecting({ path: '.a', operator: 'eq' }), `${at}.object.expect[0]`, 'value goes with operators that compare, which need it'],
        [expecting({ path: '.a', operator: 'in' }), `${at}.object.expect[0]`, 'values go with operators in and notIn, which need them'],
        [
          expecting({ path: '.a', operator: 'exists', value: 1 }),
          `${at}.object.expect[0]`,
          'value goes with operators that compare, which need it',
        ],
        [
          gate({ prometheus: { ...prometheus, caBundle: 'x', caSecretRef: { name: 'a', key: 'b' } } }),
          `${at}.prometheus`,
          'takes its authority from caBundle or from caSecretRef',
        ],
      ]
      for (const [spec, field, message] of bad) {
        const causes = [{ reason: 'FieldValueInvalid', field, message: `Invalid value: ${message}` }]
        expect(await api.post(policies, policy('p', spec))).toMatchObject(refused(422, 'Invalid', { details: { causes } }))
      }
      const hook = { name: 'h', ackAnnotation: 'example.com/ready', timeout: '1h' }
      const good = {
        gates: [
          { name: 'a', at: ['NodeStart', 'NodeEnd'], podsAbsent: { selector: {}, onNode: true } },
          { name: 'b', at: ['PlanStart'], object: { ...object, expect: [path, { condition: { type: 'Ready' } }] } },
          { name: 'c', at: ['WaveEnd'], object: { ...object, expect: [{ path: '.a', operator: 'in', values: ['x', 3] }] } },
          {
            name: 'd',
            at: ['NodeEnd'],
            prometheus: { ...prometheus, expect: { operator: 'lt', value: 0.5 } },
            onTimeout: 'Fail',
            timeout: '1h',
          },
        ],
        hooks: { before: [hook], after: [{ ...hook, name: 'i' }] },
      }
      const made = await api.ok(api.post(policies, policy('p', good), { fieldValidation: 'Strict' }))
      expect(made.spec).toEqual(good)
    })
  })
}
