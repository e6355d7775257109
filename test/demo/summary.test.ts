import { expect, test } from '@jest/globals'
import { countRequests, passed, summary } from '../../src/cli/demo/summary.ts'

const judgement = {
  verdicts: [{ what: 'concurrency kept', ok: true, seen: 'server-plan at most 1' }],
  evictions: { accepted: 9, refused: 4 },
  nodes: 8,
}
const etcd = { what: 'etcd had quorum', ok: false, seen: 'lost once' }

test('counts what the user asked, and not what a quiet cluster gets as well', () => {
  const row = (user: string, verb: string, resource: string, count: number) => ({ user, verb, resource, count })
  const rows = [
    row('drover', 'patch', 'nodes', 16),
    row('drover', 'create', 'pods/eviction', 5),
    row('drover', 'list', 'pods', 4),
    row('drover', 'create', 'pods', 2),
    row('drover', 'create', '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews', 40),
    row('drover', 'watch', 'nodes', 3),
    row('drover', 'update', 'leases', 9),
    row('drover', 'create', 'events', 7),
    row('kubectl', 'get', 'nodes', 100),
  ]
  expect(countRequests(rows, 'drover')).toEqual({ start: 40, draining: 9, rest: 18 })
})

test('one broken verdict, from either side, is a failure', () => {
  expect(passed({ judgement, others: [] })).toBe(true)
  expect(passed({ judgement, others: [etcd] })).toBe(false)
  expect(passed({ judgement: { ...judgement, verdicts: [{ ...judgement.verdicts[0]!, ok: false }] }, others: [] })).toBe(false)
})

test('the summary names every figure and verdict', () => {
  expect(
    summary({ judgement, others: [etcd], elapsedMs: 41_300, from: 'v1', target: 'v2', requests: { start: 40, draining: 30, rest: 84 } }),
  ).toEqual([
    'Summary',
    '  nodes      8, from v1 to v2',
    '  time       41s',
    '  evictions  9 made, 4 refused by a PodDisruptionBudget and tried again',
    '  requests   84 by the controller, 10.5 a node; 30 more to drain, 40 at its start',
    '             (watches, Leases and Events aside)',
    "  checked, from the API server's history and the machines' own:",
    '    ok      concurrency kept: server-plan at most 1',
    '    BROKEN  etcd had quorum: lost once',
  ])
})
