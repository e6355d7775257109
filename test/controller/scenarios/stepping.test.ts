/** From v1.30 to v1.33 minor by minor: servers, then agents, at each step. */
import { expect } from '@jest/globals'
import type { Outside } from '../../../src/base/process.ts'
import { agentPlan, serverPlan } from '../harness.ts'
import { HOUR, MINUTE, SECOND, story, type Story } from './story.ts'

const FROM = 'v1.30.5+rke2r1'
const TARGET = 'v1.33.4+rke2r1'
const STEPS: Readonly<Record<string, string>> = { 'v1.31': 'v1.31.14+rke2r1', 'v1.32': 'v1.32.9+rke2r1' }
const SERVERS = ['server-1', 'server-2', 'server-3']
const AGENTS = ['agent-1', 'agent-2']

const policy = {
  apiVersion: 'drover.io/v1alpha1',
  kind: 'RolloutPolicy',
  metadata: { name: 'default', namespace: 'system-upgrade' },
  spec: { versionPath: { stepThroughMinors: true } },
}

/** A channel server; `stable` is the target. */
function channelServer(steps: Record<string, string | undefined> = { ...STEPS }) {
  const asked: string[] = []
  const outside: Pick<Outside, 'get'> = {
    async get(url) {
      asked.push(url)
      const name = url.slice(url.lastIndexOf('/') + 1)
      const version = name === 'stable' ? TARGET : steps[name]
      if (version === undefined) return { status: 404, statusLine: 'HTTP/1.1 404 Not Found', headers: {}, body: '' }
      const location = `https://github.com/rancher/rke2/releases/tag/${version}`
      return { status: 302, statusLine: 'HTTP/1.1 302 Found', headers: { location }, body: '' }
    },
  }
  return { asked, steps, outside: outside as Outside }
}

/** The versions that a node ran, in their order. */
function versions(s: Story, name: string): string[] {
  const seen: string[] = []
  for (const write of s.sandbox.history) {
    if (write.ref.resource !== 'nodes' || write.ref.name !== name || write.status >= 300) continue
    const version = (write.after as { status?: { nodeInfo?: { kubeletVersion?: string } } } | undefined)?.status?.nodeInfo?.kubeletVersion
    if (version !== undefined && version !== '' && version !== seen.at(-1)) seen.push(version)
  }
  return seen
}

const minorOf = (s: Story, name: string): number => Number(/^v1\.(\d+)\./.exec(s.node(name).status.nodeInfo.kubeletVersion)?.[1])
const cluster = { servers: 3, agents: 2, version: FROM }

const byChannel = channelServer()
story(
  'servers and agents go minor by minor, through the channels beside their own, and no kubelet is ahead',
  { cluster, outside: byChannel.outside },
  async (s) => {
    const channel = 'https://channels.example.com/v1-release/channels/stable'
    await s.begin()
    await s.apply(policy)
    await s.apply(serverPlan({ version: undefined, channel }))
    await s.apply(agentPlan({ version: undefined, channel, drain: undefined }))
    let completeEarly = false
    let ahead = false
    await s.until(
      'all are at the target',
      () => {
        const servers = SERVERS.map((name) => minorOf(s, name))
        const agents = AGENTS.map((name) => minorOf(s, name))
        ahead ||= Math.max(...agents) > Math.min(...servers) || Math.max(...servers) > Math.min(...servers, ...agents) + 1
        const arrived = SERVERS.every((name) => s.node(name).status.nodeInfo.kubeletVersion === TARGET)
        completeEarly ||= s.complete('server-plan') && !arrived
        return s.complete('server-plan') && s.complete('agent-plan') && arrived
      },
      3 * HOUR,
    )
    expect([completeEarly, ahead]).toEqual([false, false])
    for (const name of [...SERVERS, ...AGENTS])
      expect([name, versions(s, name)]).toEqual([name, [FROM, STEPS['v1.31'], STEPS['v1.32'], TARGET]])
    expect(SERVERS.map((name) => s.label(name, 'server-plan'))).toEqual(SERVERS.map(() => s.hash('server-plan')))
    expect([...new Set(byChannel.asked)].map((url) => url.replace('https://channels.example.com/v1-release/channels/', ''))).toEqual([
      'stable',
      'v1.31',
      'v1.32',
    ])
    // Nothing of a step is remembered once it is over.
    const annotations = (s.plan('server-plan') as unknown as { metadata: { annotations: Record<string, string> } }).metadata.annotations
    expect(JSON.parse(annotations['drover.io/rollout'] ?? '')).not.toHaveProperty('step')
  },
)

const restarted = channelServer()
story(
  'a step is finished after a crash although its channel has moved on; one that cannot be resolved holds',
  { cluster, outside: restarted.outside },
  async (s) => {
    await s.begin()
    await s.apply(policy)
    await s.apply(serverPlan({ version: TARGET }))
    await s.until('one server has taken the first step', () => SERVERS.some((name) => minorOf(s, name) === 31), 20 * MINUTE)
    s.crash()
    restarted.steps['v1.31'] = 'v1.31.15+rke2r1'
    delete restarted.steps['v1.32']
    await s.begin('drover-2')
    await s.until('held', () => s.condition('server-plan', 'Complete').includes('404 Not Found'), HOUR)
    expect(s.condition('server-plan', 'Complete')).toBe(
      'False Stepping: step v1.31.14-rke2r1 on the way to v1.33.4-rke2r1 is done: cannot resolve channel https://update.rke2.io/v1-release/channels/v1.32 for the step to v1.32: unexpected response: HTTP/1.1 404 Not Found',
    )
    expect(s.condition('server-plan', 'Reconciling')).toMatch(/^True/)
    expect(s.condition('server-plan', 'Stalled')).toMatch(/^False/)
    expect(s.plan('server-plan')?.status).toMatchObject({ latestVersion: 'v1.31.14-rke2r1', applying: [] })
    await s.wait(HOUR)
    for (const name of SERVERS) expect(versions(s, name)).toEqual([FROM, STEPS['v1.31']])
    restarted.steps['v1.32'] = STEPS['v1.32']
    await s.until('it goes on by itself', () => s.complete('server-plan'), 2 * HOUR)
    for (const name of SERVERS) expect(versions(s, name)).toEqual([FROM, STEPS['v1.31'], STEPS['v1.32'], TARGET])
  },
)

const removed = channelServer()
story(
  'a policy that is removed half-way leaves the step as it is, and holds the Plan',
  { cluster, outside: removed.outside },
  async (s) => {
    await s.begin()
    await s.apply(policy)
    await s.apply(serverPlan({ version: TARGET }))
    await s.until('the first step is under way', () => s.applying('server-plan').length > 0, 20 * MINUTE)
    await s.remove('/apis/drover.io/v1alpha1/namespaces/system-upgrade/rolloutpolicies/default')
    await s.until('held', () => s.condition('server-plan', 'Stalled').startsWith('True PolicyGone'), 20 * MINUTE)
    expect(s.plan('server-plan')?.status).toMatchObject({ latestVersion: 'v1.31.14-rke2r1' })
    await s.wait(10 * SECOND)
    expect(Math.max(...SERVERS.map((name) => minorOf(s, name)))).toBeLessThanOrEqual(31)
  },
)
