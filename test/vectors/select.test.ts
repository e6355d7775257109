import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { planView } from '../../src/controller/views.ts'
import type { JsonObject } from '../../src/base/json.ts'
import { candidateOrder } from '../../src/rollout/order.ts'
import { HASH, labelledNode as node, labelledNodes as nodes, planWith } from '../rollout/sample.ts'
import { answer, replaySelectNodes } from './replay-select.ts'
import { type OrderNode, selectNodes } from './suc-choice.ts'

describe('selectNodes', () => {
  test('keeps every slot, fills up to the concurrency in candidate order, and answers by name', () => {
    fc.assert(
      fc.property(nodes, fc.nat({ max: 8 }), fc.array(fc.nat(), { maxLength: 5 }), (given, concurrency, picks) => {
        const applying = given.length === 0 ? [] : picks.map((pick) => given[pick % given.length]?.name ?? '')
        const chosen = selectNodes(planWith({ concurrency }, { status: { applying } }), HASH, given)
        if (!chosen.ok) throw new Error(chosen.error)
        const names = chosen.nodes.map(({ name }) => name)
        expect(names).toEqual(names.toSorted())
        expect(chosen.hostnames).toEqual(names)
        for (const kept of applying) expect(names).toContain(kept)
        const added = names.filter((name) => !applying.includes(name))
        const slots = Math.max(0, concurrency - new Set(applying).size)
        const candidates = candidateOrder(
          'plan-uid',
          HASH,
          given.filter(({ name }) => !applying.includes(name)),
        )
        expect(added).toEqual(
          candidates
            .slice(0, slots)
            .map(({ name }) => name)
            .toSorted(),
        )
      }),
    )
  })

  test('a node done with this hash is left out, one done with another is not', () => {
    const done = node('a', { 'plan.upgrade.cattle.io/server-plan': HASH })
    const older = node('b', { 'plan.upgrade.cattle.io/server-plan': 'older' })
    const chosen = selectNodes(planWith({ concurrency: 9 }), HASH, [done, older])
    expect(chosen).toMatchObject({ ok: true, hostnames: ['b'] })
  })

  test('a hostname in applying that is no label value is an error, as in SUC', () => {
    const chosen = selectNodes(planWith({}, { status: { applying: ['not valid'] } }), HASH, [node('a')])
    expect(chosen).toMatchObject({
      ok: false,
      error: expect.stringContaining('values[0][kubernetes.io/hostname]: Invalid value: "not valid"'),
    })
  })
})

describe('strict mode', () => {
  const traits = fc.record({
    number: fc.nat({ max: 9 }),
    hostname: fc.constantFrom('own', 'none', 'other'),
    label: fc.constantFrom(undefined, HASH, 'older', 'disabled'),
    tier: fc.constantFrom(undefined, 'gold', 'tin'),
  })
  const some = fc.uniqueArray(traits, { selector: ({ number }) => number, maxLength: 10 })
  const selectors = fc.constantFrom<JsonObject | undefined>(
    undefined,
    {},
    { matchLabels: { tier: 'gold' } },
    { matchExpressions: [{ key: 'tier', operator: 'NotIn', values: ['gold'] }] },
    { matchExpressions: [{ key: 'tier', operator: 'In' }] },
  )
  const slots = fc.uniqueArray(
    fc.oneof(
      { weight: 20, arbitrary: fc.nat({ max: 12 }).map((number) => `node-${number}`) },
      { weight: 1, arbitrary: fc.constant('not valid') },
    ),
    { maxLength: 4 },
  )

  test('whom it has at work is whom SUC would choose', () => {
    fc.assert(
      fc.property(some, selectors, slots, fc.nat({ max: 6 }), (given, nodeSelector, applying, concurrency) => {
        const raw = given.map(({ number, hostname, label, tier }) => ({
          metadata: {
            name: `node-${number}`,
            uid: `uid-${number}`,
            labels: {
              ...(hostname === 'none' ? {} : { 'kubernetes.io/hostname': hostname === 'own' ? `node-${number}` : `other-${number}` }),
              ...(label === undefined ? {} : { 'plan.upgrade.cattle.io/p': label }),
              ...(tier === undefined ? {} : { tier }),
            },
          },
        }))
        const plan: JsonObject = {
          apiVersion: 'upgrade.cattle.io/v1',
          kind: 'Plan',
          metadata: { name: 'p', namespace: 'system-upgrade', uid: 'plan-uid', resourceVersion: '1', generation: 1 },
          spec: { concurrency, nodeSelector, upgrade: { image: 'x' } },
          status: { latestHash: HASH, latestVersion: 'v1', applying },
        }
        const view = planView(plan)
        if (view?.plan === undefined) throw new Error('the Plan does not decode')
        const wanted = selectNodes(
          view.plan,
          HASH,
          raw.map(({ metadata: { name, uid, labels } }): OrderNode => ({ name, uid, labels: labels as OrderNode['labels'] })),
        )
        expect(replaySelectNodes({ input: { plan, nodes: raw as unknown as JsonObject[] } })).toEqual(answer(wanted))
      }),
      { numRuns: 1000 },
    )
  })
})
