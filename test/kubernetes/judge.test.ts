/** The judge must pass an honest log and catch each kind of falsified one. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from '@jest/globals'
import { judgeLog, type JudgeOptions, type Verdict } from './judge.ts'

const folder = mkdtempSync(join(tmpdir(), 'drover-judge-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

interface Write {
  readonly what: string
  readonly verb: string
  readonly resource: string
  readonly subresource?: string
  readonly name: string
  readonly body: { readonly metadata: object; readonly spec?: object; readonly status?: object }
  /** Microseconds from the request to its answer. */
  readonly takes?: number
  /** Default: one more than the write before. */
  readonly version?: string
}

const label = (plan: string) => `plan.upgrade.cattle.io/${plan}`
const plan = (what: string, applying: readonly string[], name = 'p', concurrency = 1): Write => ({
  what,
  verb: 'patch',
  resource: 'plans',
  subresource: 'status',
  name,
  body: { metadata: { name }, spec: { concurrency }, status: { applying } },
})
const node = (what: string, name: string, { cordoned = false, ready = true, done = false } = {}): Write => ({
  what,
  verb: 'patch',
  resource: 'nodes',
  name,
  body: {
    metadata: { name, labels: { 'kubernetes.io/hostname': `${name}.lan`, ...(done ? { [label('p')]: 'hash' } : {}) } },
    spec: cordoned ? { unschedulable: true } : {},
    status: { conditions: [{ type: 'Ready', status: ready ? 'True' : 'Unknown' }] },
  },
})
const job = (what: string, on: string, parallelism: number, uid = `uid-${on}`): Write => ({
  what,
  verb: parallelism === 0 ? 'create' : 'patch',
  resource: 'jobs',
  name: `apply-${on}`,
  body: { metadata: { uid, labels: { 'upgrade.cattle.io/node': on, 'upgrade.cattle.io/plan': 'p' } }, spec: { parallelism } },
})

const turn = (on: string): readonly Write[] => [
  plan(`claim ${on}`, [`${on}.lan`]),
  node(`cordon ${on}`, on, { cordoned: true }),
  job(`make ${on}`, on, 0),
  job(`start ${on}`, on, 1),
  node(`done ${on}`, on, { done: true }),
  plan(`release ${on}`, []),
]
/** Two nodes, one after the other. */
const honest: readonly Write[] = [node('register a', 'a'), node('register b', 'b'), plan('plan', []), ...turn('a'), ...turn('b')]

/** The log of these writes, a millisecond apart, each answered before the next is asked. */
async function judged(writes: readonly Write[], options: Partial<JudgeOptions> = {}): Promise<Verdict> {
  const at = (micros: number): string => `2026-01-01T00:00:${String(micros / 1e6).padStart(9, '0')}Z`
  const lines = writes.map(({ verb, resource, subresource, name, body, takes = 500, version }, i) => ({
    stage: 'ResponseComplete',
    verb,
    requestURI: `/apis/x/${resource}/${name}`,
    user: { username: 'drover' },
    objectRef: { resource, name, ...(subresource === undefined ? {} : { subresource }) },
    responseStatus: { code: 200 },
    requestReceivedTimestamp: at(10_000_001 + i * 1000),
    stageTimestamp: at(10_000_001 + i * 1000 + takes),
    responseObject: { ...body, metadata: { ...body.metadata, resourceVersion: version ?? String(100 + i) } },
  }))
  const file = join(folder, 'audit.log')
  // The judge must not depend on the order of the lines: answers come as they come.
  writeFileSync(
    file,
    lines
      .toReversed()
      .map((line) => `${JSON.stringify(line)}\n`)
      .join(''),
  )
  return judgeLog(file, { maxUnavailable: 1, ...options })
}

const without = (what: string): readonly Write[] => honest.filter((write) => write.what !== what)
const replaced = (what: string, ...by: readonly Write[]): readonly Write[] =>
  honest.flatMap((write) => (write.what === what ? by : [write]))
/** `what` is put in front of `before`. */
function moved(what: string, before: string): readonly Write[] {
  const write = honest.filter((one) => one.what === what)
  return without(what).flatMap((one) => (one.what === before ? [...write, one] : [one]))
}

test('an honest log', async () => {
  expect(await judged(honest)).toEqual({
    broken: [],
    admitted: 2,
    mostInFlight: 1,
    mostUnavailable: 1,
    started: new Map([
      ['a', 1],
      ['b', 1],
    ]),
    left: [],
  })
})

test.each<[string, readonly Write[], string]>([
  ['a node that nobody claimed', without('claim b'), 'no Plan had claimed b'],
  ['a cordon before the claim', moved('cordon b', 'claim b'), 'cordon of b (write 109): no Plan had claimed b'],
  ['a Job before the claim', moved('make b', 'claim b'), 'Plan p had not claimed b'],
  [
    'a cordon asked for before the claim was answered',
    replaced('claim b', { ...plan('claim b', ['b.lan']), takes: 1200 }),
    '-200 µs after the answer to the claim',
  ],
  ['a claim too many', replaced('claim a', plan('claim', ['a.lan', 'b.lan'])), '2 nodes in flight, concurrency 1'],
  ['a slot given away before its node was done', moved('done a', 'make b'), '2 nodes in flight, concurrency 1: a.lan, b.lan'],
  [
    'a second Plan on the node',
    replaced('cordon a', plan('other', ['a.lan'], 'q'), node('cordon', 'a', { cordoned: true })),
    '2 Plans claim a',
  ],
  [
    'an upgrade that ran twice',
    replaced('done a', job('again', 'a', 0, 'other'), job('start', 'a', 1, 'other'), node('done', 'a', { done: true })),
    'the 2. that was started there',
  ],
])('%s is caught', async (_what, writes, sentence) => {
  const { broken } = await judged(writes)
  expect(broken.join('\n')).toContain(sentence)
})

test('a node taken while another is down is caught', async () => {
  const lost = replaced('claim b', node('lost', 'a', { ready: false, done: true }), plan('claim b', ['b.lan']))
  expect((await judged(lost)).broken.join('\n')).toContain('2 nodes unavailable, allowed 1: a, b')
  expect((await judged(lost, { maxUnavailable: 2 })).broken).toEqual([])
})

test('a node that is down counts when there was time to notice it, and not before', async () => {
  const lost = replaced('claim b', node('lost', 'a', { ready: false, done: true }), plan('claim b', ['b.lan']))
  expect((await judged(lost, { noticedAfterMs: 1 })).broken.join('\n')).toContain('2 nodes unavailable, allowed 1: a, b')
  expect((await judged(lost, { noticedAfterMs: 5 })).broken).toEqual([])
  // Down since then, whatever is written to it meanwhile.
  const written = [
    ...replaced(
      'claim b',
      node('lost', 'a', { ready: false, done: true }),
      ...Array.from({ length: 9 }, () => node('a write', 'a', { ready: false, done: true })),
      plan('claim b', ['b.lan']),
    ),
  ]
  expect((await judged(written, { noticedAfterMs: 5 })).broken.join('\n')).toContain('2 nodes unavailable, allowed 1: a, b')
})

test.each([
  ['a cordon', replaced('done b', { ...node('done', 'b', { done: true, cordoned: true }) }), 'b is cordoned'],
  ['a claim', without('release b'), 'Plan p holds b.lan'],
  ['a node that is not done', without('done b'), 'b is not done'],
])('what is left is told: %s', async (_what, writes, sentence) => {
  expect((await judged(writes)).left).toContain(sentence)
})

test('a claim that the log of a killed API server lacks is believed when the next write of the Plan shows it', async () => {
  const cordoned = without('release b').filter(({ what }) => what !== 'claim b')
  const killedAt = [Date.parse('2026-01-01T00:00:10Z') + 9]
  const shown = cordoned.flatMap((write) => (write.what === 'make b' ? [plan('later', ['b.lan']), write] : [write]))
  expect((await judged(shown, { killedAt })).broken).toEqual([])
  expect((await judged(cordoned, { killedAt })).broken).toEqual([expect.stringContaining('no later write shows the claim')])
  const denied = cordoned.flatMap((write) => (write.what === 'make b' ? [plan('later', []), write] : [write]))
  expect((await judged(denied, { killedAt })).broken.join('\n')).toContain('Plan p had not claimed b')
  expect((await judged(shown, { killedAt: [0] })).broken.join('\n')).toContain('no Plan had claimed b')
})

test('a log that does not show what the judge has to know is refused', async () => {
  await expect(judged(replaced('done a', { ...node('gone', 'a'), verb: 'delete' }))).rejects.toThrow('the log deletes from nodes')
  await expect(judged([{ ...plan('plan', []), version: 'none' }])).rejects.toThrow('the log lacks the answer to patch')
})
