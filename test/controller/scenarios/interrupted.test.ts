/** While a watch is broken off nobody knows what it would tell, so nothing is decided; and the Plans say so. */
import { expect } from '@jest/globals'
import { linkedController } from '../../../src/base/abort.ts'
import type { Clock } from '../../../src/base/clock.ts'
import { TransportError } from '../../../src/base/errors.ts'
import { runController } from '../../../src/controller/run.ts'
import { CONTROLLER, settingsFor } from '../harness.ts'
import { agents, agentsOnly, MINUTE, SECOND, story, type Story } from './story.ts'

const AGENTS = ['agent-1', 'agent-2', 'agent-3']

interface Cut {
  /** From now on this resource's watches break off and are answered with 500. */
  broken: boolean
  /** Nor do they answer at all. */
  silent?: boolean
  /** Nor do lists. */
  mute?: boolean
  readonly open: Set<AbortController>
}

/** Whether the Plan calls itself Stalled and Reconciling, and who it says ends that. */
const healing = (s: Story) => [
  ...['Stalled', 'Reconciling'].map((type) => s.condition('agents', type).split(' ')[0]),
  (s.plan('agents') as { status?: { leadingHold?: { endedBy?: string } } } | undefined)?.status?.leadingHold?.endedBy,
]

async function begin(s: Story, path: string): Promise<Cut> {
  const cut: Cut = { broken: false, open: new Set() }
  const nothing = async (clock: Clock, stop: AbortSignal): Promise<never> => {
    await clock.sleep(30 * SECOND, stop)
    throw new TransportError('Timeout', 'no answer within 30000 ms')
  }
  s.sandbox.spawn(
    (process, signal) => {
      const { transport } = process
      const watch: typeof transport.watch = async (request, stop) => {
        if (request.path !== path) return transport.watch(request, stop)
        if (cut.silent === true) return nothing(process.clock, stop)
        if (cut.broken) return { status: 500, headers: {}, body: { kind: 'Status', message: 'etcdserver: no leader' } } as never
        const { controller } = linkedController(stop)
        cut.open.add(controller)
        return transport.watch(request, controller.signal)
      }
      const send: typeof transport.send = (request, stop) =>
        cut.mute === true && request.path === path ? nothing(process.clock, stop) : transport.send(request, stop)
      return runController(
        { ...process, transport: { ...transport, send, watch } },
        settingsFor({ DROVER_CLUSTER_MAX_UNAVAILABLE: '1' }),
        signal,
      )
    },
    { name: 'drover-1', user: CONTROLLER },
  )
  await s.until('the CRD is there', () => s.sandbox.server.peek('customresourcedefinitions', 'plans.upgrade.cattle.io') !== undefined)
  await s.wait(30 * SECOND)
  return cut
}

function breakOff(cut: Cut): void {
  cut.broken = true
  for (const controller of cut.open) controller.abort(new Error('connection reset'))
}

story(
  'the watch of nodes: no node is taken on old news, the Plan says why, and it goes on by itself',
  { cluster: agentsOnly },
  async (s) => {
    const cut = await begin(s, '/api/v1/nodes')
    breakOff(cut)
    // Unseen by the controller, which has them all Ready in its cache.
    s.sandbox.machines.get('agent-1')?.powerOff()
    await s.wait(5 * MINUTE)
    await s.apply(agents())
    await s.wait(5 * MINUTE)
    expect(AGENTS.map((node) => s.cordons(node))).toEqual([0, 0, 0])
    expect(s.applying('agents')).toEqual([])
    expect(s.condition('agents', 'Complete')).toMatch(/^False Refused: .*the watch of nodes broke off: .*etcdserver: no leader/)
    expect(healing(s)).toEqual(['False', 'True', 'cluster'])
    cut.broken = false
    await s.until(
      'the node that is down is seen',
      () => (s.nodeStatus('agents', 'agent-2')?.message ?? '').includes('the cluster allows 1'),
      5 * MINUTE,
    )
    expect(AGENTS.map((node) => s.cordons(node))).toEqual([0, 0, 0])
    s.sandbox.machines.get('agent-1')?.powerOn()
    await s.until('all is done', () => s.complete('agents'))
    expect(AGENTS.map((node) => s.cordons(node))).toEqual([1, 1, 1])
  },
)

story('a watch that has just broken off: not even at once', { cluster: agentsOnly }, async (s) => {
  const cut = await begin(s, '/api/v1/nodes')
  const down = (): boolean =>
    s.node('agent-1').status.conditions?.some(({ type, status }) => type === 'Ready' && status !== 'True') === true
  s.sandbox.machines.get('agent-1')?.powerOff()
  // A moment before the cluster takes the node for lost.
  await s.wait(30 * SECOND)
  expect(down()).toBe(false)
  breakOff(cut)
  await s.until('the node is lost', down, MINUTE)
  await s.apply(agents())
  await s.wait(8 * SECOND)
  expect(s.applying('agents')).toEqual([])
  expect(AGENTS.map((node) => s.cordons(node))).toEqual([0, 0, 0])
})

story('the watch of policies: what is under way is finished, and no other node is taken', { cluster: agentsOnly }, async (s) => {
  const cut = await begin(s, '/apis/drover.io/v1alpha1/namespaces/system-upgrade/rolloutpolicies')
  await s.apply(agents())
  const under = (): string[] => AGENTS.filter((node) => s.record(node).work?.startedAt !== undefined)
  await s.until('a node is under way', () => under().length === 1, 5 * MINUTE)
  const [node = ''] = under()
  breakOff(cut)
  await s.until('it is done', () => s.label(node) !== undefined && !s.cordoned(node), 5 * MINUTE)
  await s.wait(10 * MINUTE)
  expect(AGENTS.filter((other) => s.cordons(other) > 0)).toEqual([node])
  expect(s.condition('agents', 'Complete')).toMatch(/^False Refused: .*the watch of rolloutpolicies broke off/)
  expect(healing(s)).toEqual(['False', 'True', 'cluster'])
  cut.broken = false
  await s.until('all is done', () => s.complete('agents'))
})

story(
  'a watch of which nothing comes back, as behind a proxy that waits for the first event: the rollout goes on',
  { cluster: agentsOnly },
  async (s) => {
    const cut = await begin(s, '/api/v1/nodes')
    await s.apply(agents())
    await s.until('a node is under way', () => AGENTS.some((node) => s.record(node).work?.startedAt !== undefined), 5 * MINUTE)
    cut.silent = true
    breakOff(cut)
    await s.until('all is done', () => s.complete('agents'), 120 * MINUTE)
  },
)

story(
  'an API server that sends no bookmarks, when nothing happens for an hour: it is listed often enough',
  { cluster: agentsOnly },
  async (s) => {
    const warnings: string[] = []
    s.sandbox.spawn(
      (process, signal) => {
        const { transport, log } = process
        const watch: typeof transport.watch = (request, stop) => {
          const { allowWatchBookmarks: _, ...query } = request.query ?? {}
          return transport.watch({ ...request, query }, stop)
        }
        const warn: typeof log.warn = (message, fields) => {
          warnings.push(message)
          log.warn(message, fields)
        }
        const send: typeof transport.send = (request, stop) => transport.send(request, stop)
        return runController({ ...process, transport: { ...transport, send, watch }, log: { ...log, warn } }, settingsFor(), signal)
      },
      { name: 'drover-1', user: CONTROLLER },
    )
    await s.wait(60 * MINUTE)
    expect(warnings.filter((warning) => warning.includes('no line') || warning === 'Watch interrupted').length).toBeGreaterThan(50)
    expect(warnings).not.toContain('caches are stale, deciding nothing')
    await s.apply(agents())
    await s.until('all is done', () => s.complete('agents'))
  },
)

story('nodes that can neither be watched nor listed: no node is taken, and the Plan says so', { cluster: agentsOnly }, async (s) => {
  const cut = await begin(s, '/api/v1/nodes')
  cut.silent = cut.mute = true
  breakOff(cut)
  await s.wait(5 * MINUTE)
  await s.apply(agents())
  await s.wait(MINUTE)
  expect(AGENTS.map((node) => s.cordons(node))).toEqual([0, 0, 0])
  expect(s.condition('agents', 'Complete')).toMatch(/^False Refused: .*no sign of life from the watch of nodes/)
  expect(healing(s)).toEqual(['False', 'True', 'cluster'])
  cut.silent = cut.mute = cut.broken = false
  await s.until('all is done', () => s.complete('agents'))
})

story(
  'an API server that was away for a while, as when the only server is upgraded: no Plan is called stuck, and it goes on soon',
  { cluster: agentsOnly },
  async (s) => {
    await s.begin()
    await s.apply(agents())
    const under = () => AGENTS.filter((node) => s.record(node).work?.startedAt !== undefined)
    await s.until('a node is under way', () => under().length === 1, 5 * MINUTE)
    const [node = ''] = under()
    s.sandbox.faults.outage(50 * SECOND)
    await s.wait(51 * SECOND)
    const back = s.sandbox.clock.mono()
    const said = new Set<string>()
    await s.until('it goes on', () => {
      said.add(s.condition('agents', 'Stalled'))
      return s.label(node) !== undefined
    })
    expect([...said].filter((text) => !text.startsWith('False'))).toEqual([])
    expect(s.sandbox.clock.mono() - back).toBeLessThan(MINUTE)
  },
)
