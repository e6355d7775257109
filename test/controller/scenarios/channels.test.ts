/** Release channels (SUC's 302 protocol, doubted: users-pains rows 3 and 18) and Secrets named in Plans. */
import { describe, expect } from '@jest/globals'
import { TransportError } from '../../../src/base/errors.ts'
import type { Outside, OutsideResponse } from '../../../src/base/process.ts'
import type { Clock } from '../../../src/base/clock.ts'
import { agents, agentsOnly, calm, HOUR, MINUTE, NEW, OLD, SECOND, story, type Story, type StoryOptions } from './story.ts'
import { nowhere } from '../../../src/base/nowhere.ts'

const AGENTS = ['agent-1', 'agent-2', 'agent-3']
const NEWER = 'v1.33.5+rke2r1'
const URL = 'https://channels.example.com/v1-release/channels/stable'
const roomy = { ...agentsOnly, machine: (spec: { role: string }) => (spec.role === 'server' ? { ...spec, version: NEWER } : spec) as never }

interface Asked {
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly at: number
}

/** What the channel answers, by how often it was asked before. `never` = no answer within the deadline. */
type Answer = (n: number) => Partial<OutsideResponse> | 'never'

/** A channel beside the cluster. Its clock is the sandbox's, as soon as there is one. */
interface Channel {
  readonly outside: Outside
  readonly asked: Asked[]
  answer: Answer
  clock: Clock | undefined
}

function channel(): Channel {
  const self: Channel = {
    asked: [],
    answer: () => 'never',
    clock: undefined,
    outside: {
      ...nowhere,
      async get(url, headers, timeoutMs, signal) {
        self.asked.push({ url, headers, at: self.clock?.mono() ?? 0 })
        const answer = self.answer(self.asked.length - 1)
        if (answer === 'never') {
          await self.clock?.sleep(timeoutMs, signal)
          throw new TransportError('Timeout', `no answer within ${timeoutMs} ms`)
        }
        return { status: 302, statusLine: 'HTTP/1.1 302 Found', headers: {}, body: '', ...answer }
      },
    },
  }
  return self
}

const to = (location: string): Partial<OutsideResponse> => ({ headers: { location } })
const release = (version: string) => to(`https://github.com/rancher/rke2/releases/tag/${version}`)

function channelStory(name: string, options: StoryOptions, tell: (s: Story, ch: Channel) => Promise<void>): void {
  const ch = channel()
  story(name, { ...options, outside: ch.outside }, async (s) => {
    ch.clock = s.sandbox.clock
    await tell(s, ch)
  })
}

const following = (spec: object = {}, name = 'agents') => agents({ version: undefined, channel: URL, ...spec }, {}, name)
const cordons = (s: Story) => AGENTS.map((node) => s.cordons(node))
const versions = (s: Story) => AGENTS.map((node) => s.node(node).status.nodeInfo.kubeletVersion)

describe('a channel', () => {
  for (const [name, location] of [
    ['an absolute Location with a plus', `https://github.com/rancher/rke2/releases/tag/${NEW}`],
    ['a relative, escaped Location', `/rancher/rke2/releases/tag/${encodeURIComponent(NEW)}`],
  ] as const) {
    channelStory(`${name} is followed, with SUC's headers`, {}, async (s, ch) => {
      ch.answer = () => to(location)
      await s.begin()
      await s.apply(following())
      await s.until('all is done', () => s.complete('agents'))
      expect(versions(s)).toEqual([NEW, NEW, NEW])
      expect(s.condition('agents', 'LatestResolved')).toMatch(/^True Channel/)
      const id = s.sandbox.server.peek('namespaces', 'kube-system')!.metadata.uid
      expect(ch.asked[0]).toMatchObject({ url: URL, headers: { 'X-SUC-Cluster-ID': id } })
      await s.wait(31 * MINUTE)
      expect(ch.asked.at(-1)?.headers['X-SUC-Latest-Version']).toBe('v1.33.4-rke2r1')
      // 15 minutes apart.
      expect(ch.asked.length).toBeLessThanOrEqual(4)
    })
  }

  channelStory('two Plans with one URL ask it once', {}, async (s, ch) => {
    ch.answer = () => release(NEW)
    await s.begin()
    await s.apply(following({ nodeSelector: { matchLabels: { 'kubernetes.io/hostname': 'agent-1' } } }, 'one'))
    await s.apply(following({ nodeSelector: { matchLabels: { 'kubernetes.io/hostname': 'agent-2' } } }, 'two'))
    await s.until('both are done', () => s.complete('one') && s.complete('two'), 14 * MINUTE)
    expect(ch.asked.length).toBe(1)
  })

  channelStory(
    'that flaps between two releases gives one rollout, and nothing goes backwards',
    { cluster: roomy, sandbox: calm },
    async (s, ch) => {
      ch.answer = (n) => release(n % 2 === 0 ? NEW : NEWER)
      await s.begin()
      await s.apply(following())
      await s.until('all is done', () => s.complete('agents'))
      await s.wait(2 * HOUR)
      expect(versions(s)).toEqual([NEW, NEW, NEW])
      expect(cordons(s)).toEqual([1, 1, 1])
      // Between two that are newer: neither is agreed on.
      ch.answer = (n) => release(n % 2 === 0 ? NEWER : 'v1.33.6+rke2r1')
      await s.wait(2 * HOUR)
      expect(cordons(s)).toEqual([1, 1, 1])
      // It settles on the newer one, and is believed after a minute of agreement.
      ch.answer = () => release(NEWER)
      await s.until('all is at the newer one', () => versions(s).every((version) => version === NEWER) && s.complete('agents'), 2 * HOUR)
      // And goes back: never followed.
      ch.answer = () => release(NEW)
      await s.wait(2 * HOUR)
      ch.answer = (n) => release(n % 2 === 0 ? NEW : NEWER)
      await s.wait(2 * HOUR)
      expect(versions(s)).toEqual([NEWER, NEWER, NEWER])
      expect(cordons(s)).toEqual([2, 2, 2])
      expect(s.plan('agents')?.status?.latestHash).toBe(s.label('agent-1'))
    },
  )

  channelStory('that names a lower version from the beginning is held, and no node is touched', {}, async (s, ch) => {
    ch.answer = () => release('v1.32.9+rke2r1')
    await s.begin()
    await s.apply(following())
    await s.until('held', () => /Downgrade/.test(s.condition('agents', 'Complete')), MINUTE)
    await s.wait(2 * HOUR)
    expect(cordons(s)).toEqual([0, 0, 0])
  })

  for (const [name, answer, says] of [
    ['5xx', { status: 502, statusLine: 'HTTP/1.1 502 Bad Gateway' }, /502 Bad Gateway/],
    [
      '200 with an HTML page',
      { status: 200, statusLine: 'HTTP/1.1 200 OK', headers: { 'content-type': 'text/html' }, body: '<!doctype html><p>Log in' },
      /200 OK.*HTML/,
    ],
    ['302 without a Location', { headers: {} }, /no Location header/],
    ['302 to a page that is no version', to('https://example.com/login'), /login.*no version/],
    ['404', { status: 404, statusLine: 'HTTP/1.1 404 Not Found' }, /404 Not Found/],
    ['never', 'never', /no answer within|did not answer/],
  ] as const) {
    channelStory(`that answers ${name}: the condition names the cause, no cordon, no hot loop`, {}, async (s, ch) => {
      ch.answer = () => answer
      await s.begin()
      await s.apply(following())
      await s.until('told', () => says.test(s.condition('agents', 'LatestResolved')), 30 * SECOND)
      expect(s.condition('agents', 'LatestResolved')).toMatch(/channels\.example\.com/)
      const before = { asked: ch.asked.length, writes: s.writes().length }
      await s.wait(HOUR)
      expect(ch.asked.length - before.asked).toBeLessThanOrEqual(20)
      expect(s.writes().length - before.writes).toBeLessThanOrEqual(2)
      expect(s.events('ResolveFailed').map((event) => [event.on, event.type, event.count])).toEqual([['Plan/agents', 'Warning', 1]])
      expect([cordons(s), s.applying(), s.complete('agents')]).toEqual([[0, 0, 0], [], false])
      ch.answer = () => release(NEW)
      await s.until('it goes on by itself', () => s.complete('agents'), HOUR)
    })
  }

  channelStory('that fails later: the version in force stands and the rollout goes on', {}, async (s, ch) => {
    ch.answer = (n) => (n === 0 ? release(NEW) : { status: 503, statusLine: 'HTTP/1.1 503 Service Unavailable' })
    s.sandbox.images.missing.add('rancher/rke2-upgrade:v1.33.4-rke2r1')
    await s.begin()
    await s.apply(following())
    await s.wait(40 * MINUTE)
    expect(s.condition('agents', 'LatestResolved')).toMatch(/503/)
    s.sandbox.images.missing.clear()
    await s.until('all is done', () => s.complete('agents'), HOUR)
    expect(versions(s)).toEqual([NEW, NEW, NEW])
  })

  channelStory(
    'is remembered over a restart of the controller: one that lost its way meanwhile is not believed',
    { cluster: roomy },
    async (s, ch) => {
      ch.answer = () => release(NEW)
      await s.begin()
      await s.apply(following())
      await s.until('all is done', () => s.complete('agents'))
      s.crash()
      ch.answer = () => release(OLD)
      await s.begin('drover-2')
      await s.wait(2 * HOUR)
      expect(s.plan('agents')?.status).toMatchObject({ latestVersion: 'v1.33.4-rke2r1' })
      expect(cordons(s)).toEqual([1, 1, 1])
      expect(s.complete('agents')).toBe(true)
    },
  )
})

const secret = (value: string) => ({
  apiVersion: 'v1',
  kind: 'Secret',
  metadata: { name: 'config', namespace: 'system-upgrade' },
  type: 'Opaque',
  data: { key: Buffer.from(value).toString('base64') },
})
const SECRET = '/api/v1/namespaces/system-upgrade/secrets/config'
const patching = (secrets: object) => agents({ upgrade: { image: 'os-patch' }, version: 'v7', cordon: false, ...secrets })

describe('a Secret', () => {
  story('that is rotated gives another hash and one more run a node', {}, async (s) => {
    s.sandbox.programs.set('os-patch', () => Promise.resolve(0))
    await s.begin()
    await s.apply(secret('a'))
    await s.apply(patching({ secrets: [{ name: 'config', path: '/x' }] }))
    await s.until('all is done', () => s.complete('agents'))
    const hash = s.hash()
    await s.patch(SECRET, { data: { key: Buffer.from('b').toString('base64') } })
    await s.until('all is done anew', () => s.hash() !== hash && s.complete('agents'))
    // Annotations of the Secret are no part of it.
    await s.patch(SECRET, { metadata: { annotations: { seen: 'yes' } } })
    await s.wait(30 * MINUTE)
    expect(AGENTS.map((node) => s.runs(node))).toEqual([2, 2, 2])
    expect(AGENTS.map((node) => s.label(node))).toEqual([s.hash(), s.hash(), s.hash()])
  })

  story('with ignoreUpdates re-runs nothing, and may be missing', {}, async (s) => {
    s.sandbox.programs.set('os-patch', () => Promise.resolve(0))
    await s.begin()
    await s.apply(patching({ secrets: [{ name: 'config', path: '/x', ignoreUpdates: true }] }))
    await s.until('all is done', () => s.complete('agents'))
    await s.apply(secret('a'))
    await s.wait(30 * MINUTE)
    expect(AGENTS.map((node) => s.runs(node))).toEqual([1, 1, 1])
    expect(s.condition('agents', 'Validated')).toMatch(/^True/)
  })

  story('that is missing holds its Plan, which goes on when it appears', {}, async (s) => {
    s.sandbox.programs.set('os-patch', () => Promise.resolve(0))
    await s.begin()
    await s.apply(patching({ secrets: [{ name: 'config', path: '/x' }] }))
    await s.until('told', () => /secrets "config" not found/.test(s.condition('agents', 'Validated')), 30 * SECOND)
    await s.wait(HOUR)
    expect(AGENTS.map((node) => s.runs(node))).toEqual([0, 0, 0])
    await s.apply(secret('a'))
    await s.until('all is done', () => s.complete('agents'), 10 * MINUTE)
  })

  story('that is deleted after the rollout: told, and nothing runs', {}, async (s) => {
    s.sandbox.programs.set('os-patch', () => Promise.resolve(0))
    await s.begin()
    await s.apply(secret('a'))
    await s.apply(patching({ secrets: [{ name: 'config', path: '/x' }] }))
    await s.until('all is done', () => s.complete('agents'))
    const hash = s.hash()
    await s.remove(SECRET)
    await s.until('told', () => /secrets "config" not found/.test(s.condition('agents', 'Validated')), MINUTE)
    await s.apply(secret('a'))
    await s.until('well again', () => s.complete('agents'), 10 * MINUTE)
    expect([s.hash(), AGENTS.map((node) => s.runs(node))]).toEqual([hash, [1, 1, 1]])
  })
})
