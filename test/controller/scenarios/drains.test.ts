/** What a RolloutPolicy makes of drains, told on a small cluster. */
import { describe, expect } from '@jest/globals'
import { agents, blocked, HOUR, MINUTE, SECOND, story, type Story } from './story.ts'

const AGENTS = ['agent-1', 'agent-2', 'agent-3']
const PDB = '/apis/policy/v1/namespaces/default/poddisruptionbudgets/web'
/** As `blocked`, with no budget. */
const free = { ...blocked, workloads: [{ name: 'web', replicas: 3, spread: true }] }
const policy = (drain: object, more: object = {}) => ({
  apiVersion: 'drover.io/v1alpha1',
  kind: 'RolloutPolicy',
  metadata: { name: 'careful', namespace: 'system-upgrade' },
  spec: { planNames: ['agents'], drain, ...more },
})
const atRest = (s: Story) =>
  expect(AGENTS.map((node) => [node, s.cordoned(node), s.record(node)])).toEqual(AGENTS.map((node) => [node, false, {}]))
const cordons = (s: Story) => AGENTS.map((node) => s.cordons(node)).toSorted((a, b) => a - b)

describe('drain.onTimeout', () => {
  story(
    'Release: let go, others come, and stopped at maxBlockedNodes; all are done once the budget allows it',
    { cluster: blocked },
    async (s) => {
      await s.begin()
      await s.apply(policy({ timeout: '2m', onTimeout: 'Release' }, { failure: { backoff: { base: '30m', cap: '1h' } } }))
      await s.apply(agents({ drain: { force: true } }))
      await s.until('two were let go', () => s.condition('agents', 'Complete').startsWith('False TooManyBlockedNodes'), 15 * MINUTE)
      expect([cordons(s), s.applying(), AGENTS.some((node) => s.cordoned(node))]).toEqual([[0, 1, 1], [], false])
      expect(s.condition('agents', 'Stalled')).toMatch(/^False/)
      const putOff = AGENTS.filter((node) => s.cordons(node) === 1)
      expect(s.nodeStatus('agents', putOff[0]!)?.message).toMatch(/could not be drained \(try 1, .*left: default\/web-.*the next begins at/)
      // It does not spin: one try each in half an hour, then in an hour.
      await s.wait(90 * MINUTE)
      expect(cordons(s)[0]).toBe(0)
      expect(Math.max(...cordons(s))).toBeLessThanOrEqual(3)
      expect(
        s.events('DrainTimeout').some(({ on, message }) => on === 'Plan/agents' && /given back, to be tried again/.test(message)),
      ).toBe(true)
      await s.remove(PDB)
      await s.until('all is done', () => s.complete('agents'), 2 * HOUR)
      atRest(s)
    },
  )

  story('Quarantine: cordoned, its slot goes on, and a person’s retry ends it', { cluster: blocked }, async (s) => {
    await s.begin()
    await s.apply(policy({ timeout: '2m', onTimeout: 'Quarantine', maxBlockedNodes: 3 }))
    await s.apply(agents({ drain: { force: true } }))
    await s.until('all are quarantined', () => AGENTS.every((node) => s.cordoned(node)) && s.applying().length === 0, 20 * MINUTE)
    await s.until('stalled', () => s.condition('agents', 'Stalled').startsWith('True Quarantined'), MINUTE)
    s.crash()
    await s.begin('drover-2')
    await s.remove(PDB)
    await s.wait(3 * HOUR)
    expect([AGENTS.map((node) => s.cordoned(node)), cordons(s), AGENTS.map((node) => s.runs(node))]).toEqual([
      [true, true, true],
      [1, 1, 1],
      [0, 0, 0],
    ])
    await s.annotatePlan('agents', { 'drover.io/retry': '1' })
    await s.until('all is done', () => s.complete('agents'))
    atRest(s)
    expect(cordons(s)).toEqual([1, 1, 1])
  })

  /** What keeps every eviction from happening, until told otherwise. */
  const guard = (no: { webhook: string; code: number; message: string }) => {
    const state = { up: true }
    const admit = (_user: string, asked: { subresource: string }) => (state.up && asked.subresource === 'eviction' ? no : undefined)
    return { state, sandbox: { admit } }
  }
  const forbids = { webhook: 'guard.example.com', code: 403, message: 'the database is busy' }
  const saysSo = /pod default\/web-.* cannot be evicted: .*admission webhook "guard\.example\.com" denied the request: the database is busy/
  const says = (s: Story, what: RegExp) => AGENTS.some((node) => what.test(s.nodeStatus('agents', node)?.message ?? ''))

  const patient = guard(forbids)
  story(
    'a webhook that denies evictions with 403 is named, asked again, and waited for',
    { cluster: free, sandbox: patient.sandbox },
    async (s) => {
      await s.begin()
      await s.apply(agents({ drain: { force: true } }))
      await s.until('told', () => says(s, saysSo), 5 * MINUTE)
      const asked = () => s.sandbox.history.filter(({ ref, dryRun }) => ref.subresource === 'eviction' && !dryRun).length
      const before = asked()
      await s.wait(10 * MINUTE)
      expect(asked()).toBeGreaterThan(before + 60)
      expect(s.applying()).toHaveLength(1)
      patient.state.up = false
      await s.until('all is done', () => s.complete('agents'))
      atRest(s)
    },
  )

  story('Proceed: a webhook that denies evictions with 403 is passed', { cluster: free, sandbox: guard(forbids).sandbox }, async (s) => {
    await s.begin()
    await s.apply(policy({ timeout: '2m', onTimeout: 'Proceed' }))
    await s.apply(agents({ drain: { force: true } }))
    await s.until('all is done', () => s.complete('agents'))
    expect(s.events('DrainIncomplete').length).toBeGreaterThan(0)
    atRest(s)
  })

  story('Fail: one whose drain a webhook denies fails', { cluster: free, sandbox: guard(forbids).sandbox }, async (s) => {
    await s.begin()
    await s.apply(agents({ drain: { force: true, timeout: 120_000_000_000 } }))
    await s.until('failed', () => s.condition('agents', 'Complete').startsWith('False JobFailed: Node agent-'), 15 * MINUTE)
    expect(s.condition('agents', 'Complete')).toMatch(/DrainTimeout: drain\.timeout is over; left: default\/web-/)
  })

  const lacking = { allow: (_user: string, asked: { subresource: string }) => asked.subresource !== 'eviction' }
  story('Proceed: a permission that is missing is not passed', { cluster: free, sandbox: lacking }, async (s) => {
    await s.begin()
    await s.apply(policy({ timeout: '2m', onTimeout: 'Proceed' }))
    await s.apply(agents({ drain: { force: true } }))
    await s.until('told', () => says(s, /cannot be evicted: .*cannot create resource "pods\/eviction"/), 15 * MINUTE)
    await s.wait(HOUR)
    expect(AGENTS.map((node) => s.runs(node))).toEqual([0, 0, 0])
  })

  story('Quarantine ends with the Plan', { cluster: blocked }, async (s) => {
    await s.begin()
    await s.apply(policy({ timeout: '2m', onTimeout: 'Quarantine', maxBlockedNodes: 0 }))
    await s.apply(agents({ drain: { force: true } }))
    await s.until('stopped', () => s.condition('agents', 'Stalled').startsWith('True TooManyBlockedNodes'), 20 * MINUTE)
    expect(AGENTS.filter((node) => s.cordoned(node))).toHaveLength(1)
    await s.remove('/apis/upgrade.cattle.io/v1/namespaces/system-upgrade/plans/agents')
    await s.until('let go', () => !AGENTS.some((node) => s.cordoned(node)), MINUTE)
    await s.wait(10 * SECOND)
    atRest(s)
  })

  story('Proceed: the upgrade goes on with pods that were refused, and an event names them', { cluster: blocked }, async (s) => {
    await s.begin()
    await s.apply(policy({ timeout: '2m', onTimeout: 'Proceed' }))
    await s.apply(agents({ drain: { force: true } }))
    await s.until('all is done', () => s.complete('agents'))
    atRest(s)
    const told = s.events('DrainIncomplete').filter(({ on }) => on === 'Plan/agents')
    expect(
      AGENTS.filter((node) => told.some(({ message }) => message.startsWith(`Node ${node}: `) && /default\/web-/.test(message))),
    ).toEqual(AGENTS)
    const gone = s.sandbox.history.filter((write) => write.ref.subresource === 'eviction' && write.status < 300 && !write.dryRun)
    expect(gone).toEqual([])
  })
})

describe('drain.forecast', () => {
  story('Enforce: the node is not cordoned before its pods may go, and says what it waits for', { cluster: blocked }, async (s) => {
    await s.begin()
    await s.apply(policy({ forecast: 'Enforce' }))
    await s.apply(agents({ drain: { force: true } }))
    await s.until('told', () => s.condition('agents', 'Complete').startsWith('False DrainForecastBlocked'), 5 * MINUTE)
    await s.wait(HOUR)
    expect([cordons(s), s.applying()]).toEqual([[0, 0, 0], []])
    expect(s.condition('agents', 'Complete')).toMatch(
      /is not cordoned: pod default\/web-.*PodDisruptionBudget default\/web allows no disruption/,
    )
    await s.remove(PDB)
    await s.until('all is done', () => s.complete('agents'))
    const tries = s.sandbox.history.filter((write) => write.ref.subresource === 'eviction' && write.dryRun)
    expect(tries.length).toBeGreaterThanOrEqual(3)
    atRest(s)
  })

  let denied = true
  const guarded = { allow: (_user: string, asked: { subresource: string }) => !(denied && asked.subresource === 'eviction') }
  story('Enforce: a refusal that no budget tells of holds the node, too', { cluster: free, sandbox: guarded }, async (s) => {
    await s.begin()
    await s.apply(policy({ forecast: 'Enforce' }))
    await s.apply(agents({ drain: { force: true } }))
    await s.until(
      'told',
      () => /DrainForecastBlocked: .*could not be evicted: .*eviction/.test(s.condition('agents', 'Complete')),
      5 * MINUTE,
    )
    await s.wait(10 * MINUTE)
    expect(cordons(s)).toEqual([0, 0, 0])
    denied = false
    await s.until('all is done', () => s.complete('agents'))
    atRest(s)
  })

  story('Off: nothing is told before the cordon', { cluster: blocked }, async (s) => {
    await s.begin()
    await s.apply(policy({ forecast: 'Off' }))
    await s.apply(agents({ drain: { force: true } }))
    await s.until('draining', () => AGENTS.some((node) => s.nodeStatus('agents', node)?.phase === 'Draining'), 10 * MINUTE)
    expect(s.events('DrainForecast')).toEqual([])
    await s.remove(PDB)
    await s.until('all is done', () => s.complete('agents'))
  })
})

describe('drain.rules', () => {
  const workloads = ['web', 'db', 'log'].map((name) => ({ name, replicas: 3, spread: true, graceSeconds: 5 }))
  story(
    'a batch pod comes to its own end, then the others go in their order, and what is skipped stays',
    { cluster: { ...blocked, workloads } },
    async (s) => {
      s.sandbox.programs.set('registry.example/batch', async (_pod, _machine, io) => {
        await io.clock.sleep(20 * MINUTE, io.killed)
        return 0
      })
      await s.apply({
        apiVersion: 'batch/v1',
        kind: 'Job',
        metadata: { name: 'batch', namespace: 'default' },
        spec: {
          backoffLimit: 0,
          template: {
            metadata: { labels: { app: 'batch' } },
            spec: {
              restartPolicy: 'Never',
              nodeSelector: { 'kubernetes.io/hostname': 'agent-1' },
              containers: [{ name: 'main', image: 'registry.example/batch:1' }],
            },
          },
        },
      })
      const phase = () =>
        (s.sandbox.server.peekAll('pods') as unknown as { metadata: { labels?: { app?: string } }; status: { phase: string } }[]).find(
          ({ metadata }) => metadata.labels?.app === 'batch',
        )?.status.phase
      await s.until('the batch runs', () => phase() === 'Running', 5 * MINUTE)
      await s.begin()
      const rule = (app: string, more: object) => ({ podSelector: { matchLabels: { app } }, ...more })
      await s.apply(
        policy({
          rules: [
            rule('batch', { behavior: 'WaitCompleted', timeout: '1h', order: -1 }),
            rule('log', { behavior: 'Skip' }),
            rule('db', { order: 10 }),
          ],
        }),
      )
      await s.apply(agents({ nodeSelector: { matchLabels: { 'kubernetes.io/hostname': 'agent-1' } }, drain: { force: true } }))
      await s.until(
        'it is waited for',
        () => /pod default\/batch.*may come to its own end/.test(s.nodeStatus('agents', 'agent-1')?.message ?? ''),
        10 * MINUTE,
      )
      const evictions = () =>
        s.sandbox.history
          .filter((write) => write.ref.subresource === 'eviction' && write.status < 300 && !write.dryRun)
          .map(({ ref }) => ref.name?.split('-')[0])
      expect([evictions(), phase()]).toEqual([[], 'Running'])
      await s.until('all is done', () => s.complete('agents'))
      expect(evictions()).toEqual(['batch', 'web', 'db'])
      expect(s.sandbox.server.peekAll('jobs').find(({ metadata }) => metadata.name === 'batch')).toMatchObject({ status: { succeeded: 1 } })
      atRest(s)
    },
  )
})

describe('drain.volumeDetachTimeout', () => {
  const attachment = (name: string, node: string) => ({
    apiVersion: 'storage.k8s.io/v1',
    kind: 'VolumeAttachment',
    metadata: { name },
    spec: { attacher: 'csi.example.com', nodeName: node, source: { persistentVolumeName: `pv-${name}` } },
  })
  const path = '/apis/storage.k8s.io/v1/volumeattachments'
  const only = (node: string) => agents({ nodeSelector: { matchLabels: { 'kubernetes.io/hostname': node } }, drain: { force: true } })

  story('the upgrade waits until the volumes are gone, also across a new leader', {}, async (s) => {
    await s.apply(attachment('mine', 'agent-1'))
    await s.apply(attachment('other', 'agent-2'))
    await s.begin()
    await s.apply(policy({ volumeDetachTimeout: '1h' }))
    await s.apply(only('agent-1'))
    await s.until(
      'it waits',
      () => /volumes are still attached to it: pv-mine;/.test(s.nodeStatus('agents', 'agent-1')?.message ?? ''),
      10 * MINUTE,
    )
    await s.wait(5 * MINUTE)
    s.crash()
    await s.begin('drover-2')
    await s.wait(5 * MINUTE)
    expect([s.cordoned('agent-1'), s.runs('agent-1')]).toEqual([true, 0])
    await s.remove(`${path}/mine`)
    await s.until('all is done', () => s.complete('agents'), 10 * MINUTE)
    expect(s.events('VolumesAttached')).toEqual([])
    atRest(s)
  })

  story('but not for longer than it says, and an event names what was left', {}, async (s) => {
    await s.apply(attachment('mine', 'agent-1'))
    await s.begin()
    await s.apply(policy({ volumeDetachTimeout: '5m' }))
    await s.apply(only('agent-1'))
    await s.until('all is done', () => s.complete('agents'))
    expect(
      s
        .events('VolumesAttached')
        .map(({ on, type, count }) => `${on} ${type} ${count}`)
        .toSorted(),
    ).toEqual(['Node/agent-1 Warning 1', 'Plan/agents Warning 1'])
    atRest(s)
  })
})

describe('drain.engine', () => {
  story('Job: kubectl drains in the upgrade Job, and the node is verified and uncordoned as ever', { cluster: free }, async (s) => {
    await s.begin()
    await s.apply(policy({ engine: 'Job' }))
    await s.apply(agents({ drain: { force: true } }))
    await s.until('all is done', () => s.complete('agents'))
    atRest(s)
    expect(cordons(s)).toEqual([1, 1, 1])
    const evictions = s.sandbox.history.filter((write) => write.ref.subresource === 'eviction' && write.status < 300 && !write.dryRun)
    expect(evictions.length).toBeGreaterThanOrEqual(3)
    expect(new Set(evictions.map(({ user }) => user))).toEqual(new Set(['system:serviceaccount:system-upgrade:system-upgrade']))
  })

  story('Job: a drain that does not end fails the node with its Job, and it stays cordoned', { cluster: blocked }, async (s) => {
    await s.begin()
    await s.apply(policy({ engine: 'Job' }))
    await s.apply(agents({ drain: { force: true }, jobActiveDeadlineSecs: 300 }))
    await s.until('judged', () => s.condition('agents', 'Complete').startsWith('False JobFailed'), HOUR)
    const [node] = s.applying()
    expect([s.cordoned(node!), s.runs(node!)]).toEqual([true, 0])
    await s.remove('/apis/upgrade.cattle.io/v1/namespaces/system-upgrade/plans/agents')
    await s.until('let go', () => !AGENTS.some((name) => s.cordoned(name)), 5 * MINUTE)
    await s.wait(10 * SECOND)
    atRest(s)
  })
})
