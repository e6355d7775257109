import { describe, expect, test } from '@jest/globals'
import type { JsonObject } from '../../src/base/json.ts'
import { type HistoryWrite, judge } from '../../src/cli/demo/judge.ts'
import { HASH, NEW, node, OLD, plan } from './fixtures.ts'

const input = {
  planNames: { server: 'server-plan', agent: 'agent-plan' },
  target: NEW,
  blocker: { namespace: 'default', budget: 'ledger', podPrefix: 'ledger-' },
  controller: 'drover',
}

type Change = Partial<HistoryWrite> & Pick<HistoryWrite, 'ref'>

function write(change: Change): HistoryWrite {
  return { user: 'drover', verb: 'patch', status: 200, dryRun: false, ...change }
}

function nodeWrite(before: JsonObject | undefined, after: JsonObject): HistoryWrite {
  return write({ ref: { resource: 'nodes', name: (after['metadata'] as { name: string }).name }, before, after })
}

function planWrite(name: string, status: JsonObject): HistoryWrite {
  return write({ ref: { resource: 'plans', subresource: 'status', namespace: 'system-upgrade', name }, after: plan(name, status) })
}

function podWrite(name: string, ready = true): HistoryWrite {
  const after = {
    metadata: { name, namespace: 'default', labels: { app: 'ledger' } },
    status: { conditions: [{ type: 'Ready', status: ready ? 'True' : 'False' }] },
  }
  return write({ user: 'kubelet', ref: { resource: 'pods', namespace: 'default', name }, after })
}

function evict(name: string, status = 201): HistoryWrite {
  return write({ verb: 'create', ref: { resource: 'pods', subresource: 'eviction', namespace: 'default', name }, status })
}

const budget = write({
  user: 'admin',
  ref: { resource: 'poddisruptionbudgets', namespace: 'default', name: 'ledger' },
  after: { metadata: { name: 'ledger', namespace: 'default' }, spec: { minAvailable: 1, selector: { matchLabels: { app: 'ledger' } } } },
})

const server = (name: string) => ({
  fresh: node(name, 'server'),
  cordoned: node(name, 'server', { cordoned: true }),
  done: node(name, 'server', { version: NEW, done: HASH }),
})
const s1 = server('s1')
const s2 = server('s2')
const s3 = server('s3')
const agent = node('a1', 'agent')
const agentCordoned = node('a1', 'agent', { cordoned: true })
const agentDone = node('a1', 'agent', { version: NEW, done: HASH })

/** A small rollout in which everything is as it should be. */
const good: HistoryWrite[] = [
  ...[s1, s2, s3].map((one) => nodeWrite(undefined, one.fresh)),
  nodeWrite(undefined, agent),
  budget,
  podWrite('ledger-1'),
  planWrite('server-plan', { applying: ['s1'] }),
  planWrite('agent-plan', {}),
  ...[s1, s2, s3].flatMap((one) => [nodeWrite(one.fresh, one.cordoned), nodeWrite(one.cordoned, one.done)]),
  planWrite('server-plan', { applying: [] }),
  planWrite('agent-plan', { applying: ['a1'] }),
  nodeWrite(agent, agentCordoned),
  evict('ledger-1', 429),
  planWrite('agent-plan', {
    applying: ['a1'],
    nodeStatuses: [{ name: 'a1', message: 'pod default/ledger-1, PodDisruptionBudget default/ledger' }],
  }),
  podWrite('ledger-2'),
  evict('ledger-1'),
  nodeWrite(agentCordoned, agentDone),
  planWrite('agent-plan', { applying: [] }),
]

function failing(history: readonly HistoryWrite[]): string[] {
  return judge({ ...input, history }).verdicts.flatMap((verdict) => (verdict.ok ? [] : [verdict.what]))
}

/** The good rollout with `extra` put in right after `position` of its writes. */
function inserted(position: number, ...extra: HistoryWrite[]): HistoryWrite[] {
  return [...good.slice(0, position), ...extra, ...good.slice(position)]
}

const without = (unwanted: (one: HistoryWrite) => boolean): HistoryWrite[] => good.filter((one) => !unwanted(one))

describe('judge', () => {
  test('a good rollout passes, and its numbers are counted', () => {
    const judgement = judge({ ...input, history: good })
    expect(judgement.verdicts.filter((verdict) => !verdict.ok)).toEqual([])
    expect(judgement.evictions).toEqual({ accepted: 1, refused: 1 })
    expect(judgement.nodes).toBe(4)
  })

  test('an empty history proves nothing: every verdict fails', () => {
    expect(judge({ ...input, history: [] }).verdicts.filter((verdict) => verdict.ok)).toEqual([])
  })

  test('more nodes in flight than allowed', () => {
    expect(failing(inserted(8, planWrite('server-plan', { applying: ['s1', 's2'] }), planWrite('server-plan', { applying: [] })))).toEqual([
      'concurrency kept',
    ])
  })

  test('two of three servers away, whoever took them', () => {
    const down = node('s3', 'server', { ready: false })
    expect(
      failing(
        inserted(
          9,
          write({ user: 'kube', ref: { resource: 'nodes', name: 's3' }, before: s3.fresh, after: down }),
          write({ user: 'kube', ref: { resource: 'nodes', name: 's3' }, before: down, after: s3.fresh }),
        ),
      ),
    ).toEqual(['etcd quorum kept'])
  })

  test('an agent cordoned before the last server is done', () => {
    const early = [nodeWrite(agent, agentCordoned), nodeWrite(agentCordoned, agent)]
    expect(failing(inserted(8, ...early))).toEqual(['agents waited for the servers', 'no node disrupted twice'])
  })

  test('an eviction that leaves too few healthy pods', () => {
    const history = good.map((one) => (one.ref.name === 'ledger-2' ? podWrite('ledger-2', false) : one))
    expect(failing(history)).toEqual(['PodDisruptionBudgets kept'])
  })

  test('a drain that was never held, or held without naming the budget', () => {
    const what = 'drain held by budget ledger, and named'
    expect(failing(without((one) => one.status === 429))).toEqual([what])
    expect(failing(without((one) => JSON.stringify(one.after ?? '').includes('PodDisruptionBudget')))).toEqual([what])
  })

  test('a node that is not finished', () => {
    const what = 'every node upgraded, Ready, uncordoned, labelled'
    const last = (after: JsonObject) => [...good, write({ user: 'kube', ref: { resource: 'nodes', name: 'a1' }, before: agentDone, after })]
    expect(failing(last(node('a1', 'agent', { version: OLD, done: HASH })))).toEqual([what])
    expect(failing(last(node('a1', 'agent', { version: NEW, done: 'other' })))).toEqual([what])
    expect(failing(last(node('a1', 'agent', { version: NEW, done: HASH, cordoned: true })))).toEqual([what])
    expect(failing(last(node('a1', 'agent', { version: NEW, done: HASH, ready: false })))).toEqual([what])
    expect(failing([...good, planWrite('agent-plan', { applying: ['a1'] })])).toEqual([what])
  })

  test('refused and dry-run writes change nothing', () => {
    const refused = { ...planWrite('server-plan', { applying: ['s1', 's2'] }), status: 409 }
    const dry = { ...planWrite('server-plan', { applying: ['s1', 's2'] }), dryRun: true }
    expect(failing(inserted(8, refused, dry))).toEqual([])
  })
})
