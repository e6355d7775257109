import type { Dice } from './dice.ts'
import type { PlanDraft } from './plans.ts'
import { type Action, type ChannelAnswer, type Happening, STRIKES } from './scenario.ts'
import type { Draft } from './world.ts'

const MINUTE = 60_000

/** Kinds of trouble that a world has or has not; each world draws from a few, so that each is seen apart from the others. */
const THEMES = ['controllers', 'network', 'machines', 'programs', 'people', 'plans', 'channels'] as const
type Theme = (typeof THEMES)[number] | 'ambushes'

/** What goes wrong, is repaired, and is changed by people, until the calm. Early moments are likelier: that is where the rollout is. */
export function makeHappenings(d: Dice, draft: Draft, plans: PlanDraft): readonly Happening[] {
  const themes = d.some(THEMES, 0.45)
  const ambushes = d.chance(0.6) ? d.int(1, 8) : 0
  const happenings: Happening[] = []
  for (const theme of themes) {
    const count = d.int(1, theme === 'plans' || theme === 'channels' ? 3 : 6)
    for (let i = 0; i < count; i += 1) {
      const action = MAKERS[theme](d, draft, plans)
      if (action === undefined) continue
      const atMs = action.do === 'crashAroundWrite' ? 0 : Math.floor(draft.calmMs * 0.9 * d.random() ** 2)
      happenings.push({ atMs, action })
    }
  }
  for (let i = 0; i < ambushes; i += 1) {
    const action = MAKERS.ambushes(d, draft, plans)
    if (action !== undefined) happenings.push({ atMs: i === 0 ? 0 : Math.floor(draft.calmMs * 0.9 * d.random() ** 2), action })
  }
  if (themes.includes('programs') && d.chance(0.15))
    happenings.push({ atMs: 0, action: { do: 'badRelease', version: plans.target, how: d.pick(['crash', 'hang']) } })
  return happenings.sort((a, b) => a.atMs - b.atMs)
}

const MAKERS: Readonly<Record<Theme, (d: Dice, draft: Draft, plans: PlanDraft) => Action | undefined>> = {
  ambushes(d) {
    const ambush = {
      on: d.pick(['dryRun', 'claim', 'work', 'cordon', 'cordon', 'begin', 'run'] as const),
      delayMs: d.pick([0, 0, 5, 15, 40, 500, 10_000]),
      strike: d.pick(STRIKES),
      late: d.chance(0.5),
      other: d.int(0, 6),
    }
    return { do: 'ambush', ambush }
  },
  controllers(d) {
    const controller = d.int(0, 2)
    const backAfterMs = d.pick([0, 1_000, 20_000, 5 * MINUTE])
    return d.pick<() => Action>([
      () => ({ do: 'crashController', controller, backAfterMs }),
      () => ({ do: 'crashAroundWrite', controller, write: d.int(1, 120), side: d.pick(['crashBefore', 'crashAfter']), backAfterMs }),
      () => ({ do: 'crashAroundWrite', controller, write: d.int(1, 120), side: d.pick(['crashBefore', 'crashAfter']), backAfterMs }),
      () => ({ do: 'stallController', controller, ms: d.pick([5_000, 40_000, 3 * MINUTE]) }),
    ])()
  },
  network(d) {
    return d.pick<() => Action>([
      () => ({ do: 'apiOutage', ms: d.pick([2_000, 30_000, 4 * MINUTE]) }),
      () => ({ do: 'compact' }),
      () => ({ do: 'silentWatches' }),
    ])()
  },
  machines(d, { machines }) {
    const machine = d.int(0, machines.length - 1)
    const agent = machines[machine]?.role === 'agent'
    return d.pick<() => Action>([
      () => ({ do: 'powerCut', machine, ms: d.pick([30_000, 3 * MINUTE, 15 * MINUTE]) }),
      () => ({ do: 'reboot', machine }),
      () => ({ do: 'flap', machine, times: d.int(1, 4) }),
      () => ({ do: 'notReady', machine, ms: d.pick([30_000, 4 * MINUTE]) }),
      () => (agent ? { do: 'removeMachine', machine, deleteNodeAfterMs: d.pick([0, 2 * MINUTE, 10 * MINUTE]) } : { do: 'reboot', machine }),
      () => (agent ? { do: 'recreateMachine', machine } : { do: 'flap', machine, times: 1 }),
      () => ({ do: 'slowKubelet', machine, ms: d.pick([20_000, 90_000, 4 * MINUTE]) }),
    ])()
  },
  programs(d, { machines, distro }, { target }) {
    const machine = d.int(0, machines.length - 1)
    return d.pick<() => Action>([
      () => ({ do: 'failProgram', machine, times: d.pick([1, 4, 20, 20]) }),
      () => ({ do: 'dieAfterReplace', machine, times: d.int(1, 3) }),
      () => ({ do: 'hangProgram', machine }),
      () => ({ do: 'imageMissing', image: `rancher/${distro}-upgrade:${target.replace('+', '-')}`, ms: d.int(1, 10) * MINUTE }),
    ])()
  },
  people(d, { machines }, { plans }) {
    const machine = d.int(0, machines.length - 1)
    const plan = d.pick(plans).metadata.name
    const undoAfterMs = d.pick([20_000, 3 * MINUTE, 10 * MINUTE])
    return d.pick<() => Action>([
      () => ({ do: 'annotatePlan', plan, annotation: 'paused', value: 'true', undoAfterMs }),
      () => ({ do: 'annotatePlan', plan, annotation: 'retry', value: String(d.int(1, 9)) }),
      () => ({ do: 'abortPlan', plan, undoAfterMs }),
      () => ({ do: 'holdNode', machine, undoAfterMs }),
      () => ({ do: 'holdNamespace', undoAfterMs }),
      () => ({ do: 'cordon', machine, ...(d.chance(0.8) ? { undoAfterMs } : {}) }),
      () => ({ do: 'uncordon', machine }),
      () => ({ do: 'recordon', machine }),
      () => ({ do: 'taint', machine, ...(d.chance(0.8) ? { undoAfterMs } : {}) }),
      () => ({ do: 'disableNode', machine, plan, ...(d.chance(0.6) ? { undoAfterMs } : {}) }),
      () => ({ do: 'deleteJob' }),
    ])()
  },
  plans(d, draft, { plans, target, secrets }) {
    const chosen = d.pick(plans)
    const plan = chosen.metadata.name
    const suffix = target.slice(target.indexOf('+'))
    return d.pick<() => Action | undefined>([
      () =>
        chosen.spec['version'] === target
          ? { do: 'editPlan', plan, spec: { version: `${d.pick(['v1.33.4', 'v1.33.5', 'v1.33.3'])}${suffix}` } }
          : undefined,
      () => ({ do: 'editPlan', plan, spec: { concurrency: d.int(1, 4) } }),
      () => ({ do: 'editPlan', plan, spec: d.pick([{ cordon: true }, { cordon: false }]) }),
      () => ({ do: 'editPlan', plan, spec: { nodeSelector: d.pick([{}, chosen.spec['nodeSelector']]) } }),
      () => ({ do: 'deletePlan', plan, ...(d.chance(0.7) ? { againAfterMs: d.pick([0, 1_000, 5 * MINUTE]) } : {}) }),
      () => (secrets[0] === undefined ? undefined : { do: 'rotateSecret', name: secrets[0] }),
    ])()
  },
  channels(d, draft, { channels, target }) {
    const url = Object.keys(channels)[0]
    if (url === undefined) return undefined
    const suffix = target.slice(target.indexOf('+'))
    const to = (version: string): ChannelAnswer => ({
      redirect: `https://github.example.org/releases/tag/${version}${suffix.replace('+', '%2B')}`,
    })
    return {
      do: 'moveChannel',
      url,
      answer: d.pick<ChannelAnswer>([
        to('v1.33.5'),
        to('v1.33.4'),
        to('v1.26.3'),
        { status: 200, body: '<html></html>' },
        { status: 503, body: '' },
        'down',
      ]),
    }
  },
}
