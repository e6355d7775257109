import { describe, expect, test } from '@jest/globals'
import type { Node } from 'kubernetes-types/core/v1.d.ts'
import { findLeftovers, type Seen } from './leftovers.ts'

const CLEAN: Seen = {
  nodes: [
    { metadata: { name: 'a', annotations: { 'drover.io/node-upgrade': '{"past":{}}' } }, spec: {} },
    { metadata: { name: 'b', managedFields: [cordonBy('kubectl-cordon')] }, spec: { unschedulable: true } },
  ],
  plans: [{ metadata: { name: 'p', uid: 'u' }, status: { applying: [] } }],
  jobs: [
    {
      metadata: { name: 'done', namespace: 'n', labels: labels() },
      spec: { template: {}, ttlSecondsAfterFinished: 900 },
      status: { conditions: [{ type: 'Complete', status: 'True' }] },
    },
    { metadata: { name: 'stopped', namespace: 'n', labels: labels() }, spec: { template: {}, suspend: true } },
    { metadata: { name: 'of-others', namespace: 'n' }, spec: { template: {} }, status: { active: 1 } },
  ],
  pods: [
    { metadata: { name: 'done', namespace: 'n', labels: labels() }, status: { phase: 'Succeeded' } },
    { metadata: { name: 'of-others', namespace: 'n' }, status: { phase: 'Running' } },
  ],
}

function labels(node = 'a'): Record<string, string> {
  return { 'upgrade.cattle.io/node': node, 'upgrade.cattle.io/plan': 'p' }
}

function cordonBy(manager: string) {
  return {
    manager,
    operation: 'Update',
    apiVersion: 'v1',
    fieldsType: 'FieldsV1',
    fieldsV1: { 'f:spec': { 'f:unschedulable': {} } } as object,
  }
}

const node = (more: Node): Partial<Seen> => ({ nodes: [more] })

describe('the checker of what is left behind', () => {
  test('finds nothing where there is nothing of ours, and nothing in what stays to be read', () => {
    expect(findLeftovers(CLEAN)).toEqual([])
  })

  test.each<[string, Partial<Seen>, RegExp]>([
    [
      'a cordon of ours',
      node({ metadata: { name: 'a', managedFields: [cordonBy('drover')] }, spec: { unschedulable: true } }),
      /cordon that drover/,
    ],
    [
      'a recorded cordon',
      node({ metadata: { name: 'a', annotations: { 'drover.io/node-upgrade': '{"cordon":{}}' } } }),
      /cordon in its record/,
    ],
    ['recorded work', node({ metadata: { name: 'a', annotations: { 'drover.io/node-upgrade': '{"work":{}}' } } }), /work in its record/],
    ['the label of nodes in flight', node({ metadata: { name: 'a', labels: { 'drover.io/in-flight': '' } } }), /in-flight/],
    ['a slot', { plans: [{ metadata: { name: 'p', uid: 'u' }, status: { applying: ['a'] } }] }, /^Plan p: a /],
    [
      'an active Job',
      { jobs: [{ metadata: { name: 'j', labels: labels() }, spec: { template: {}, suspend: true }, status: { active: 1 } }] },
      /active/,
    ],
    [
      'a Job that never started',
      { jobs: [{ metadata: { name: 'j', labels: labels() }, spec: { template: {}, parallelism: 0 } }] },
      /neither/,
    ],
    [
      'a finished Job for ever',
      {
        jobs: [
          {
            metadata: { name: 'j', labels: labels() },
            spec: { template: {} },
            status: { conditions: [{ type: 'Failed', status: 'True' }] },
          },
        ],
      },
      /ever remove/,
    ],
    [
      'a pull pod',
      {
        pods: [
          {
            metadata: { name: 'x', labels: { 'drover.io/role': 'pull', 'drover.io/node': 'a', 'drover.io/plan': 'p' } },
            status: { phase: 'Failed' },
          },
        ],
      },
      /pulled an image/,
    ],
    ['a running pod', { pods: [{ metadata: { name: 'x', labels: labels() }, status: { phase: 'Running' } }] }, /is Running/],
  ])('finds %s', (_what, seen, line) => {
    expect(findLeftovers({ ...CLEAN, ...seen })).toEqual([expect.stringMatching(line)])
  })

  test('looks at the named nodes and Plans only, when some are named', () => {
    const seen = { ...CLEAN, ...node({ metadata: { name: 'a', labels: { 'drover.io/in-flight': '' } } }) }
    expect(findLeftovers(seen, { nodes: ['a'], plans: [] })).toHaveLength(1)
    expect(findLeftovers(seen, { nodes: ['b'], plans: ['p'] })).toEqual([])
  })
})
