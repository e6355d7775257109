/** Gates and hooks told as stories: what stands outside of Drover changes while Plans roll out. */
import { expect } from '@jest/globals'
import type { Outside } from '../../../src/base/process.ts'
import { nowhere } from '../../../src/base/nowhere.ts'
import { agents, calm, HOUR, MINUTE, SECOND, type Story, story } from './story.ts'

const NODES = ['agent-1', 'agent-2', 'agent-3']
const MAP = '/api/v1/namespaces/ops/configmaps/health'

const policy = (spec: object) => ({
  apiVersion: 'drover.io/v1alpha1',
  kind: 'RolloutPolicy',
  metadata: { name: 'careful', namespace: 'system-upgrade' },
  spec: { planNames: ['agents'], ...spec },
})
const healthy = {
  apiVersion: 'v1',
  kind: 'ConfigMap',
  namespace: 'ops',
  name: 'health',
  expect: [{ path: '.data.state', operator: 'in', values: ['green'] }],
}

async function health(s: Story, state: string): Promise<void> {
  if (s.sandbox.server.peek('configmaps', 'health', 'ops') !== undefined) return s.patch(MAP, { data: { state } })
  await s.apply({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'health', namespace: 'ops' }, data: { state } })
}
const operations = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'ops' } }
const done = (s: Story) => NODES.filter((node) => s.hash() !== '' && s.label(node) === s.hash()).length
const complete = (s: Story) => () => s.condition('agents', 'Complete').startsWith('True')

story(
  'object gates: nothing begins while the object is missing or red, a red one stops the next node, and green lets it go on',
  {},
  async (s) => {
    await s.apply(operations)
    await s.begin()
    await s.apply(policy({ gates: [{ name: 'health', at: ['PlanStart', 'NodeStart'], object: healthy, stableFor: '1m' }] }))
    await s.apply(agents())
    await s.until('told', () => s.condition('agents', 'Complete').includes('ConfigMap ops/health does not exist'), 30 * SECOND)
    expect(s.condition('agents', 'Complete')).toMatch(/^False GatePending: gate health of RolloutPolicy careful: it cannot be evaluated: /)
    await health(s, 'red')
    await s.until('red', () => s.condition('agents', 'Complete').includes('.data.state is red, not one of green'), 2 * MINUTE)
    await s.wait(15 * MINUTE)
    expect([NODES.map((node) => s.cordons(node)), s.applying()]).toEqual([[0, 0, 0], []])
    await health(s, 'green')
    await s.until('the first is under way', () => s.applying().length === 1, 5 * MINUTE)
    await health(s, 'red')
    // It was met for a minute when the node was taken; what is under way ends all the same.
    await s.until('the first is done', () => done(s) === 1)
    await s.wait(15 * MINUTE)
    expect([done(s), s.applying(), NODES.some((node) => s.cordoned(node))]).toEqual([1, [], false])
    await health(s, 'green')
    await s.until('complete', complete(s))
  },
)

story('a gate at NodeEnd keeps a proven node out of service until it is met, and its slot from the next', { sandbox: calm }, async (s) => {
  await s.apply(operations)
  await health(s, 'green')
  await s.begin()
  await s.apply(policy({ gates: [{ name: 'health', at: ['NodeEnd'], object: healthy }] }))
  await s.apply(agents())
  await s.until('one is under way', () => s.applying().length === 1)
  await health(s, 'red')
  const [node = ''] = s.applying()
  await s.until('it waits', () => s.nodeStatus('agents', node)?.message?.includes('gate health') === true)
  const runs = s.runs(node)
  await s.wait(65 * MINUTE)
  expect([s.applying(), s.cordoned(node), s.runs(node), done(s)]).toEqual([[node], true, runs, 0])
  await health(s, 'green')
  await s.until('complete', complete(s))
  expect(s.runs(node)).toBe(runs)
})

story('a gate at NodeEnd that fails a node stops the Plan, and is made good without another run', { sandbox: calm }, async (s) => {
  await s.apply(operations)
  await health(s, 'red')
  await s.begin()
  await s.apply(policy({ gates: [{ name: 'health', at: ['NodeEnd'], object: healthy, timeout: '10m', onTimeout: 'Fail' }] }))
  await s.apply(agents())
  await s.until('failed', () => s.condition('agents', 'Stalled').startsWith('True'), HOUR)
  const [node = ''] = s.applying()
  expect(s.record(node).past?.['system-upgrade/agents']).toMatchObject({ reason: 'GateFailed', attempts: 1 })
  const runs = s.runs(node)
  await s.wait(15 * MINUTE)
  expect([s.cordoned(node), s.runs(node), done(s)]).toEqual([true, runs, 0])
  await health(s, 'green')
  await s.until('complete', complete(s), HOUR)
  expect([s.cordoned(node), s.runs(node)]).toEqual([false, runs])
})

story('podsAbsent on the node: nodes without such pods go first, the others when theirs are gone', {}, async (s) => {
  await s.apply(operations)
  await s.wait(5 * SECOND)
  const pod = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'long', namespace: 'ops', labels: { runtime: 'long' } },
    spec: { nodeName: 'agent-2', containers: [{ name: 'a', image: 'batch' }] },
  }
  await s.apply(pod)
  await s.begin()
  const podsAbsent = { selector: { matchLabels: { runtime: 'long' } }, onNode: true }
  await s.apply(policy({ gates: [{ name: 'batch', at: ['NodeStart'], podsAbsent }] }))
  await s.apply(agents())
  await s.until('the others are done', () => done(s) === 2)
  await s.wait(15 * MINUTE)
  expect([s.cordons('agent-2'), s.nodeStatus('agents', 'agent-2')?.message]).toEqual([
    0,
    'gate batch of RolloutPolicy careful: pod ops/long should be absent, and is there on node agent-2',
  ])
  await s.remove('/api/v1/namespaces/ops/pods/long')
  await s.until('complete', complete(s))
})

/** A Prometheus that says how many alerts fire. */
function prometheus(): { outside: Outside; alerts: number; asked: number } {
  const self = {
    alerts: 0,
    asked: 0,
    outside: {
      ...nowhere,
      get: (url: string) => {
        if (!url.startsWith('https://prometheus.monitoring:9090/api/v1/query?'))
          return nowhere.get(url, {}, 0, new AbortController().signal)
        self.asked++
        const body = JSON.stringify({
          status: 'success',
          data: { resultType: 'vector', result: [{ metric: {}, value: [1, String(self.alerts)] }] },
        })
        return Promise.resolve({ status: 200, statusLine: 'HTTP/1.1 200 OK', headers: {}, body })
      },
    },
  }
  return self
}
const monitor = prometheus()

story(
  'prometheus: alerts hold the next wave at the end of the first; it is asked only while something waits',
  { outside: monitor.outside },
  async (s) => {
    const query = { url: 'https://prometheus.monitoring:9090', query: 'count(ALERTS) or vector(0)', expect: { operator: 'lt', value: 1 } }
    await s.begin()
    await s.apply(policy({ waves: [{ name: 'canary', size: 1 }], gates: [{ name: 'alerts', at: ['WaveEnd'], prometheus: query }] }))
    monitor.alerts = 2
    await s.apply(agents({ concurrency: 2 }))
    await s.until('the canary is done', () => done(s) === 1)
    await s.until('told', () => s.condition('agents', 'Complete').includes('the query gives 2, not lt 1'), 2 * MINUTE)
    const before = monitor.asked
    await s.wait(10 * MINUTE)
    expect(done(s)).toBe(1)
    expect(monitor.asked - before).toBeGreaterThan(50)
    expect(monitor.asked - before).toBeLessThan(70)
    monitor.alerts = 0
    await s.until('going on', () => s.applying().length > 0, 2 * MINUTE)
    // It was met: alerts that come later are not its business.
    monitor.alerts = 3
    const asked = monitor.asked
    await s.until('complete', complete(s))
    await s.wait(15 * MINUTE)
    expect(monitor.asked).toBe(asked)
  },
)

story('hooks: a node is cordoned when the agent has acknowledged just this attempt, and done when the other has', {}, async (s) => {
  await s.begin()
  const [READY, OK] = ['example.com/ready', 'example.com/ok']
  await s.apply(
    policy({
      hooks: { before: [{ name: 'cmdb', ackAnnotation: READY, timeout: '30m' }], after: [{ name: 'smoke', ackAnnotation: OK }] },
    }),
  )
  // What somebody wrote once for all.
  for (const node of NODES) await s.annotateNode(node, { [READY]: 'yes', [OK]: 'yes' })
  await s.apply(agents())
  const request = (node: string) => s.node(node).metadata.annotations?.['drover.io/hook-request'] ?? ''
  for (let n = 0; n < NODES.length; n++) {
    await s.until('a node asks', () => NODES.some((node) => request(node).startsWith('before/')))
    const node = NODES.find((name) => request(name) !== '') ?? ''
    if (n === 0) {
      await s.until('overdue', () => s.condition('agents', 'Stalled').startsWith('True HookOverdue: hook cmdb'), HOUR)
      // A controller that comes anew asks for the same.
      const token = request(node)
      s.crash()
      await s.begin('drover-2')
      await s.wait(5 * MINUTE)
      expect(request(node)).toBe(token)
    }
    expect([s.cordoned(node), s.runs(node)]).toEqual([false, 0])
    await s.annotateNode(node, { [READY]: request(node) })
    await s.until('it asks again', () => request(node).startsWith('after/'))
    const runs = s.runs(node)
    await s.wait(5 * MINUTE)
    expect([s.cordoned(node), s.runs(node), s.label(node)]).toEqual([true, runs, undefined])
    await s.annotateNode(node, { [OK]: request(node) })
    await s.until('it is done', () => s.label(node) === s.hash())
    expect([s.cordoned(node), request(node)]).toEqual([false, ''])
  }
  await s.until('complete', complete(s))
})

story('hooks: a Plan that is aborted while a node waits takes its request back, untouched', {}, async (s) => {
  await s.begin()
  await s.apply(policy({ hooks: { before: [{ name: 'cmdb', ackAnnotation: 'example.com/ready' }] } }))
  await s.apply(agents())
  const asks = () => NODES.filter((node) => s.node(node).metadata.annotations?.['drover.io/hook-request'] !== undefined)
  await s.until('a node asks', () => asks().length === 1)
  await s.annotatePlan('agents', { 'drover.io/abort': s.hash().slice(0, 8) })
  await s.until('given back', () => asks().length === 0 && s.applying().length === 0, 5 * MINUTE)
  expect(NODES.map((node) => [s.cordons(node), s.record(node).work])).toEqual(NODES.map(() => [0, undefined]))
})
