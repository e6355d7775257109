import { seededRandom } from '../base/random.ts'
import { BATCH_LABELS } from './batches.ts'
import { type Dice, dice } from './dice.ts'
import type { PolicyDraft } from './policies.ts'
import type { Happening, PolicyObject, Surroundings } from './scenario.ts'
import type { Draft } from './world.ts'

const MINUTE = 60_000
export const OPS = 'ops'
export const ACK_BEFORE = 'example.com/ready-for-upgrade'
export const ACK_AFTER = 'example.com/smoke-test-passed'
/** Each of the worlds with policies; more than one in the same world is rare, so that each is seen apart from the others. */
const PARTS = {
  gates: { part: 0.4, salt: 0x11cb3961 },
  hooks: { part: 0.25, salt: 0x11df9c09 },
  kured: { part: 0.25, salt: 0x120ca740 },
  snapshots: { part: 0.3, salt: 0xbc61fb08 },
} as const

/** What a policy has its eye on outside of Drover: gates, hooks, kured's lock and etcd snapshots. Each kind has dice of its own. */
export function withSurroundings(draft: Draft, before: PolicyDraft, chaos: boolean): PolicyDraft {
  return [withGates, withHooks, withKured, withSnapshots].reduce((made, add) => add(draft, made, chaos), before)
}

function diceFor(seed: number, what: keyof typeof PARTS): Dice | undefined {
  const { part, salt } = PARTS[what]
  const d = dice(seededRandom(seed ^ salt))
  return d.chance(part) ? d : undefined
}

const add = (draft: PolicyDraft, policy: (one: PolicyObject) => object, more: Partial<Surroundings>, happenings: readonly Happening[]) => ({
  ...draft,
  policies: draft.policies.map((one) => ({ ...one, spec: { ...one.spec, ...policy(one) } })),
  surroundings: { ...draft.surroundings, ...more },
  happenings: [...draft.happenings, ...happenings],
})

const early = (d: Dice, { calmMs }: Draft) => Math.floor(calmMs * 0.9 * d.random() ** 2)

/** Objects that turn red and green again; now and then batch pods that have to be gone. */
function withGates(draft: Draft, before: PolicyDraft, chaos: boolean): PolicyDraft {
  const d = diceFor(draft.seed, 'gates')
  if (d === undefined) return before
  const names = ['first', 'second'].slice(0, d.int(1, 2))
  const gates = names.map((name) => ({
    name,
    at: d.pick([
      ['PlanStart'],
      ['PlanStart', 'NodeEnd'],
      ['NodeStart'],
      ['NodeStart'],
      ['NodeEnd'],
      ['NodeEnd'],
      ['WaveEnd'],
      ['NodeStart', 'NodeEnd'],
      ['PlanStart', 'WaveEnd'],
    ]),
    object: {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      namespace: OPS,
      name,
      expect: [{ path: '.data.state', operator: 'in', values: ['green'] }],
    },
    ...(d.chance(0.5) ? { stableFor: d.pick(['20s', '1m']) } : {}),
    ...(d.chance(0.3) ? { timeout: d.pick(['1m', '5m']), onTimeout: d.pick(['Pause', 'Continue']) } : {}),
  }))
  const absent = {
    name: 'no-batch',
    at: ['NodeStart'],
    podsAbsent: { namespace: 'default', selector: { matchLabels: BATCH_LABELS }, onNode: true },
  }
  const batches = d.chance(0.4)
  const happenings = names.flatMap((name) =>
    Array.from(
      { length: chaos ? d.int(2, 5) : 0 },
      (_, i): Happening => ({
        atMs: i === 0 ? d.int(0, 2) * 20_000 : early(d, draft),
        action: { do: 'gateRed', object: name, undoAfterMs: d.pick([70_000, 3 * MINUTE, 8 * MINUTE]) },
      }),
    ),
  )
  const waves = gates.some(({ at }) => at.includes('WaveEnd'))
    ? {
        waves: [
          { name: 'canary', size: 1 },
          { name: 'some', size: '30%' },
        ],
      }
    : {}
  const made = add(before, () => ({ ...waves, gates: batches ? [...gates, absent] : gates }), { gateObjects: names }, happenings)
  return { ...made, batches: batches ? [...new Set([...made.batches, 'batch-1'])] : made.batches }
}

function withHooks(draft: Draft, before: PolicyDraft): PolicyDraft {
  const d = diceFor(draft.seed, 'hooks')
  if (d === undefined) return before
  const limit = () => (d.chance(0.5) ? { timeout: d.pick(['30s', '2m']) } : {})
  const which = d.pick(['before', 'after', 'both'] as const)
  const hooks = {
    ...(which === 'after' ? {} : { before: [{ name: 'cmdb', ackAnnotation: ACK_BEFORE, ...limit() }] }),
    ...(which === 'before' ? {} : { after: [{ name: 'smoke-test', ackAnnotation: ACK_AFTER, ...limit() }] }),
  }
  return add(before, () => ({ hooks }), { hooks: true }, [])
}

function withKured(draft: Draft, before: PolicyDraft, chaos: boolean): PolicyDraft {
  const d = diceFor(draft.seed, 'kured')
  if (d === undefined) return before
  const happenings = Array.from(
    { length: chaos ? d.int(3, 7) : 0 },
    (_, i): Happening => ({
      atMs: i === 0 ? d.int(0, 1) * 10_000 : early(d, draft),
      action: { do: 'kuredLock', holder: d.pick(draft.machines).name, undoAfterMs: d.pick([40_000, 2 * MINUTE, 6 * MINUTE]) },
    }),
  )
  const made = add(before, () => ({ coordinate: { kured: true } }), { kured: true }, happenings)
  // kured itself is a DaemonSet.
  const plans = made.plans.map((plan) => {
    const { drain } = plan.spec
    return drain === undefined ? plan : { ...plan, spec: { ...plan.spec, drain: { ...(drain as object), ignoreDaemonSets: true } } }
  })
  return { ...made, plans }
}

function withSnapshots(draft: Draft, before: PolicyDraft, chaos: boolean): PolicyDraft {
  const d = diceFor(draft.seed, 'snapshots')
  if (d === undefined) return before
  const spec = { policy: d.pick(['Require', 'Require', 'Require', 'Warn']), maxAge: d.pick(['20m', '1h']) }
  const happenings = Array.from(
    { length: chaos ? d.int(1, 4) : 0 },
    (): Happening => ({
      atMs: early(d, draft),
      action: { do: 'etcdSnapshot', usable: d.chance(0.6) },
    }),
  )
  return add(before, () => ({ etcdSnapshot: spec }), { snapshots: true }, happenings)
}
