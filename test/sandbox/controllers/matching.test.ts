import { describe, expect, test } from '@jest/globals'
import type { Node, Pod, Taint, Toleration } from 'kubernetes-types/core/v1.d.ts'
import type { LabelSelectorRequirement } from 'kubernetes-types/meta/v1.d.ts'
import { keptOutBy, pinnedTo, selects, toleratesTaint, wantsNode } from '../../../src/sandbox/controllers/matching.ts'

const node = (labels: Record<string, string>, taints: Taint[] = []): Node => ({ metadata: { name: 'a', labels }, spec: { taints } })
const withAffinity = (...terms: object[]): Pod => ({
  spec: { containers: [], affinity: { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: terms } } } },
})
const need = (key: string, operator: string, ...values: string[]): LabelSelectorRequirement => ({ key, operator, values })

describe('selectors', () => {
  test.each([
    [undefined, {}, false],
    [{}, {}, true],
    [{ matchLabels: { a: '1' } }, { a: '1', b: '2' }, true],
    [{ matchLabels: { a: '1' } }, { a: '2' }, false],
    [{ matchExpressions: [need('a', 'In', '1', '2')] }, { a: '2' }, true],
    [{ matchExpressions: [need('a', 'In', '1')] }, {}, false],
    [{ matchExpressions: [need('a', 'NotIn', '1')] }, {}, true],
    [{ matchExpressions: [need('a', 'NotIn', '1')] }, { a: '1' }, false],
    [{ matchExpressions: [need('a', 'Exists')] }, { a: '' }, true],
    [{ matchExpressions: [need('a', 'DoesNotExist')] }, { a: '' }, false],
    [{ matchLabels: { a: '1' }, matchExpressions: [need('b', 'Exists')] }, { a: '1' }, false],
    [{ matchExpressions: [need('a', 'Near', '1')] }, { a: '1' }, false],
  ])('%j on %j: %s', (selector, labels, expected) => {
    expect(selects(selector, labels)).toBe(expected)
  })

  test('node affinity: terms are alternatives, what stands in one term must all hold, an empty term matches nothing', () => {
    const a = node({ x: '1', n: '7' })
    expect(wantsNode(withAffinity({ matchExpressions: [need('x', 'In', '2')] }, { matchExpressions: [need('x', 'In', '1')] }), a)).toBe(
      true,
    )
    expect(wantsNode(withAffinity({ matchExpressions: [need('x', 'In', '1'), need('y', 'Exists')] }), a)).toBe(false)
    expect(wantsNode(withAffinity({}), a)).toBe(false)
    expect(wantsNode(withAffinity({ matchFields: [need('metadata.name', 'In', 'a')] }), a)).toBe(true)
    expect(wantsNode(withAffinity({ matchFields: [need('metadata.name', 'NotIn', 'a')] }), a)).toBe(false)
    expect(wantsNode(withAffinity({ matchExpressions: [need('n', 'Gt', '6')] }), a)).toBe(true)
    expect(wantsNode({ spec: { containers: [], nodeSelector: { x: '2' } } }, a)).toBe(false)
  })

  test('a pin is found in the only term or the node selector', () => {
    expect(pinnedTo(withAffinity({ matchExpressions: [need('kubernetes.io/hostname', 'In', 'h')] }))).toEqual({
      by: 'hostname',
      values: ['h'],
    })
    expect(pinnedTo(withAffinity({ matchFields: [need('metadata.name', 'In', 'n')] }))).toEqual({ by: 'name', values: ['n'] })
    expect(pinnedTo({ spec: { containers: [], nodeSelector: { 'kubernetes.io/hostname': 'h' } } })).toEqual({
      by: 'hostname',
      values: ['h'],
    })
    const either = withAffinity(
      { matchExpressions: [need('kubernetes.io/hostname', 'In', 'h')] },
      { matchExpressions: [need('x', 'Exists')] },
    )
    expect(pinnedTo(either)).toBeUndefined()
  })
})

describe('taints', () => {
  const taint: Taint = { key: 'k', value: 'v', effect: 'NoSchedule' }
  test.each<[Toleration, boolean]>([
    [{ operator: 'Exists' }, true],
    [{}, false],
    [{ key: 'k', operator: 'Exists' }, true],
    [{ key: 'k', value: 'v' }, true],
    [{ key: 'k', value: 'w' }, false],
    [{ key: 'k', operator: 'Exists', effect: 'NoExecute' }, false],
    [{ key: 'k', operator: 'Equal', value: 'v', effect: 'NoSchedule' }, true],
    [{ key: 'j', operator: 'Exists' }, false],
  ])('%j tolerates k=v:NoSchedule: %s', (toleration, expected) => {
    expect(toleratesTaint(toleration, taint)).toBe(expected)
  })

  test('preferences keep nobody out', () => {
    const pod: Pod = { spec: { containers: [] } }
    expect(keptOutBy(pod, node({}, [{ ...taint, effect: 'PreferNoSchedule' }]))).toBeUndefined()
    expect(keptOutBy(pod, node({}, [taint]))).toEqual(taint)
  })
})
