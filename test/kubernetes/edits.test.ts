/** Plans, Secrets and Jobs that change while nodes are on their way: backed out before the point of no return, driven to a verdict after it. */
import { expect } from '@jest/globals'
import { startChannelServer } from '../../src/cli/channel-server.ts'
import { NAMESPACE, NEW, OLD } from './cluster.ts'
import { freeDrain, hangInDrain, hangInUpgrade } from './hang.ts'
import { release } from './releases.ts'
import type { Scenario } from './scenario.ts'
import { shareCluster } from './shared.ts'

const NEWER = release(4)
const { scenario } = shareCluster({
  // The shortest that is allowed.
  env: { SYSTEM_UPGRADE_PLAN_POLLING_INTERVAL: '61s', DROVER_CHANNEL_AGREEMENT: '1s' },
})

const remove = (s: Scenario): Promise<string> => s.kubectl('--namespace', NAMESPACE, 'delete', 'plan', s.id)

scenario('deleted-in-drain', 'a Plan deleted in the middle of a drain gives the node back; made again, it goes through', async (s) => {
  const node = await hangInDrain(s)
  await remove(s)
  await s.until('the node is back in service', async () => !(await s.cordoned(node)) && (await s.record(node)).work === undefined)
  expect(s.nodes.map((name) => s.runs(name))).toEqual([0, 0])
  expect(await s.jobs()).toEqual([])
  await freeDrain(s)
  await s.apply({ drain: { force: true } })
  await s.done()
})

scenario(
  'remade-in-drain',
  'a Plan deleted and made again at once in the middle of a drain: taken anew, never upgraded twice',
  async (s) => {
    const node = await hangInDrain(s)
    await remove(s)
    await s.apply({ drain: { force: true } })
    const { uid } = (await s.plan()).metadata
    // Which node the new Plan begins with is its own affair; the other one is not left cordoned for it.
    await s.until('the new Plan drains a node', async () => {
      const [first = ''] = await s.applying()
      return (await s.status(first)).startsWith('Draining') && (first === node || !(await s.cordoned(node)))
    })
    await freeDrain(s)
    await s.done()
    expect((await s.plan()).metadata.uid).toBe(uid)
    expect(s.nodes.map((name) => s.replaced(name))).toEqual([[NEW], [NEW]])
  },
)

scenario(
  'deleted-in-upgrade',
  'a Plan deleted in the middle of an upgrade: the Job lives on, the node is driven to its verdict',
  async (s) => {
    const gate = s.gate()
    const node = await hangInUpgrade(s, gate)
    const other = s.nodes.find((name) => name !== node) as string
    const hash = await s.hash()
    const [before] = await s.jobs()
    await remove(s)
    // Longer than the garbage collector takes for what has an owner that is gone.
    await s.wait(5)
    expect((await s.jobs()).map(({ metadata, status }) => [metadata?.uid, status?.active])).toEqual([[before?.metadata?.uid, 1]])
    gate.open()
    await s.until('the node has its verdict', async () => (await s.record(node)).work === undefined && !(await s.cordoned(node)))
    expect([await s.label(node), await s.version(node), s.replaced(node)]).toEqual([hash, NEW, [NEW]])
    expect([await s.cordoned(other), s.runs(other), await s.version(other)]).toEqual([false, 0, OLD])
  },
)

scenario(
  'remade-in-upgrade',
  'a Plan deleted and made again in the middle of an upgrade: that upgrade counts, and is not run again',
  async (s) => {
    const gate = s.gate()
    const node = await hangInUpgrade(s, gate)
    await remove(s)
    await s.apply({ upgrade: { image: gate.image } })
    await s.wait(3)
    gate.open()
    await s.done()
    expect(s.nodes.map((name) => s.replaced(name))).toEqual([[NEW], [NEW]])
    expect((await s.jobs()).filter(({ metadata }) => metadata?.labels?.['upgrade.cattle.io/node'] === node)).toHaveLength(1)
  },
)

scenario('edited-in-drain', 'another version in the middle of a drain: backed out, and straight to the newer one', async (s) => {
  const node = await hangInDrain(s)
  const { work } = await s.record(node)
  await s.edit({ version: NEWER, drain: null })
  await s.until('backed out', async () => (await s.record(node)).work?.hash !== work?.hash)
  await s.done(NEWER)
  expect(s.nodes.map((name) => s.replaced(name))).toEqual([[NEWER], [NEWER]])
  expect((await s.events('BackedOut')).map(({ on }) => on)).toEqual([`Node/${node}`])
})

scenario(
  'edited-in-upgrade',
  'another version in the middle of an upgrade: a verdict under its own hash, then the newer one',
  async (s) => {
    const gate = s.gate()
    const node = await hangInUpgrade(s, gate)
    const hash = await s.hash()
    await s.edit({ version: NEWER })
    await s.until('the Plan has another hash', async () => (await s.hash()) !== hash)
    expect((await s.record(node)).work?.hash).toBe(hash)
    gate.open()
    await s.until('labelled with the hash of its record', async () => (await s.label(node)) === hash)
    await s.done(NEWER)
    for (const name of s.nodes) expect([name, s.replaced(name)]).toEqual([name, name === node ? [NEW, NEWER] : [NEWER]])
  },
)

scenario(
  'secret',
  'a Secret of the Plan changes in the middle of an upgrade: the hash follows, and every node gets it in the end',
  async (s) => {
    const secret = (value: string) => ({
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: s.id, namespace: NAMESPACE },
      stringData: { config: value },
    })
    await s.cluster.apply(secret('one'))
    const gate = s.gate()
    const node = await hangInUpgrade(s, gate, { secrets: [{ name: s.id, path: '/etc/config' }] })
    const hash = await s.hash()
    await s.cluster.apply(secret('two'))
    await s.until('the Plan has another hash', async () => (await s.hash()) !== hash)
    gate.open()
    await s.until('labelled with the hash of its record', async () => (await s.label(node)) === hash)
    await s.done()
    // The upgrade that was under way had mounted the old one.
    const jobs = (await s.jobs()).map(({ metadata }) => metadata?.labels?.['upgrade.cattle.io/node'])
    expect(jobs.filter((name) => name === node)).toHaveLength(2)
    expect(s.nodes.map((name) => s.replaced(name))).toEqual([[NEW], [NEW]])
  },
)

scenario('job-deleted', 'a Job deleted by hand in the middle of an upgrade: a second attempt, and the node is done', async (s) => {
  const gate = s.gate()
  const node = await hangInUpgrade(s, gate)
  const [before] = await s.jobs()
  await s.kubectl('--namespace', NAMESPACE, 'delete', 'job', before?.metadata?.name ?? '')
  await s.until('another attempt', async () => (await s.record(node)).work?.attempt === 2)
  gate.open()
  await s.done()
  const after = (await s.jobs()).find(({ metadata }) => metadata?.name === before?.metadata?.name)
  expect(after?.metadata?.uid).not.toBe(before?.metadata?.uid)
  expect(s.replaced(node)).toEqual([NEW])
})

scenario('channel', 'a channel that names another release in the middle: who is under way finishes, then all go there', async (s) => {
  const channel = await startChannelServer({ channels: { stable: NEW } })
  try {
    const gate = s.gate()
    const node = await hangInUpgrade(s, gate, { version: null, channel: `${channel.url}/stable` })
    const hash = await s.hash()
    const answer = await s.condition('LatestResolved')
    channel.set('stable', NEWER)
    await s.until('the Plan follows', async () => (await s.plan()).status?.latestVersion === NEWER.replace('+', '-'), 240)
    expect([answer, (await s.record(node)).work?.hash]).toEqual([expect.stringMatching(/^True Channel/), hash])
    gate.open()
    await s.until('labelled with the hash of its record', async () => (await s.label(node)) === hash)
    await s.done(NEWER)
    for (const name of s.nodes) expect([name, s.replaced(name)]).toEqual([name, name === node ? [NEW, NEWER] : [NEWER]])
    expect(channel.requests[0]).toMatchObject({
      method: 'GET',
      path: '/v1-release/channels/stable',
      clusterID: expect.stringMatching(/^[0-9a-f-]{36}$/),
    })
  } finally {
    await channel.close()
  }
})
