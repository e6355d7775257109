import type { Dice } from './dice.ts'
import { type ChannelAnswer, NAMESPACE, type PlanObject } from './scenario.ts'
import type { Draft } from './world.ts'

export interface PlanDraft {
  readonly plans: readonly PlanObject[]
  readonly secrets: readonly string[]
  readonly channels: Readonly<Record<string, ChannelAnswer>>
  /** The version that the Kubernetes Plans ask for. */
  readonly target: string
}

const CHANNEL = 'https://update.example.org/v1-release/channels/stable'
export const OS_PATCH = 'registry.example.org/os-patch'
export const REBOOT = 'registry.example.org/reboot'

/** The documents' pair, a pair that a script or a reboot joins, or one Plan over all nodes. */
export function makePlans(d: Dice, draft: Draft): PlanDraft {
  const suffix = draft.distro === 'rke2' ? 'rke2r1' : 'k3s1'
  const base = d.pick(['v1.33.4', 'v1.33.4', 'v1.33.4', 'v1.34.1', 'v1.33.3', 'v1.33.2', 'v1.35.0'])
  const target = `${base}+${suffix}`
  const useChannel = d.chance(0.25)
  const image = `rancher/${draft.distro}-upgrade`
  const shared = { ...(useChannel ? { channel: CHANNEL } : { version: target }), serviceAccountName: 'system-upgrade', upgrade: { image } }
  const makers: Readonly<Record<string, () => readonly PlanObject[]>> = {
    pair: () => [serverPlan(d, shared), agentPlan(d, shared, image)],
    all: () => [plan(d, 'all-plan', { ...shared, nodeSelector: {} })],
    script: () => [scriptPlan(d, 'os-patch', OS_PATCH)],
    reboot: () => [scriptPlan(d, 'reboot', REBOOT)],
    both: () => [serverPlan(d, shared), agentPlan(d, shared, image), scriptPlan(d, 'os-patch', OS_PATCH)],
    twice: () => [plan(d, 'first-plan', { ...shared, nodeSelector: {} }), plan(d, 'second-plan', { ...shared, nodeSelector: {} })],
    pinned: () => [
      plan(d, 'pinned-plan', { ...shared, upgrade: { image: `${image}:v1.33.0-${suffix}` }, nodeSelector: {} }),
      scriptPlan(d, 'os-patch', OS_PATCH),
    ],
  }
  const kind = d.pick([
    'pair',
    'pair',
    'pair',
    'pair',
    'all',
    'script',
    'reboot',
    'both',
    'both',
    'twice',
    ...(d.chance(0.2) ? ['pinned'] : []),
  ])
  const plans = makers[kind]?.() ?? []
  const secrets = plans.some((made) => made.spec['secrets'] !== undefined) ? ['patch-settings'] : []
  return {
    plans,
    secrets,
    channels: useChannel ? { [CHANNEL]: { redirect: `https://github.example.org/releases/tag/${target.replace('+', '%2B')}` } } : {},
    target,
  }
}

const SERVERS = { matchExpressions: [{ key: 'node-role.kubernetes.io/control-plane', operator: 'In', values: ['true'] }] }
const AGENTS = { matchExpressions: [{ key: 'node-role.kubernetes.io/control-plane', operator: 'DoesNotExist' }] }

function serverPlan(d: Dice, shared: Readonly<Record<string, unknown>>): PlanObject {
  return plan(d, 'server-plan', { ...shared, nodeSelector: SERVERS })
}

function agentPlan(d: Dice, shared: Readonly<Record<string, unknown>>, image: string): PlanObject {
  return plan(d, 'agent-plan', {
    ...shared,
    nodeSelector: AGENTS,
    ...(d.chance(0.8) ? { prepare: { image, args: ['prepare', 'server-plan'] } } : {}),
  })
}

function scriptPlan(d: Dice, name: string, image: string): PlanObject {
  return plan(d, name, {
    version: d.pick(['bookworm', '2026-01']),
    upgrade: { image, command: ['sh', '-c', 'run'] },
    nodeSelector: d.pick([{}, {}, SERVERS, AGENTS]),
    ...(d.chance(0.4)
      ? { secrets: [{ name: 'patch-settings', path: '/host/run/patch', ...(d.chance(0.2) ? { ignoreUpdates: true } : {}) }] }
      : {}),
    ...(d.chance(0.3) ? { exclusive: true } : {}),
    ...(d.chance(0.2) ? { prepare: { image, args: ['check'] } } : {}),
  })
}

function plan(d: Dice, name: string, spec: Readonly<Record<string, unknown>>): PlanObject {
  const quiet = d.pick(['cordon', 'cordon', 'drain', 'drain', 'neither'] as const)
  const drain = {
    force: d.chance(0.7),
    ignoreDaemonSets: d.chance(0.9) ? undefined : false,
    deleteEmptydirData: true,
    ...(d.chance(0.2) ? { timeout: d.pick(['2m', 600_000_000_000]) } : {}),
    ...(d.chance(0.2) ? { disableEviction: true } : {}),
    ...(d.chance(0.3) ? { skipWaitForDeleteTimeout: 60 } : {}),
    ...(d.chance(0.2) ? { gracePeriod: d.int(0, 30) } : {}),
  }
  return {
    apiVersion: 'upgrade.cattle.io/v1',
    kind: 'Plan',
    metadata: { name, namespace: NAMESPACE },
    spec: JSON.parse(
      JSON.stringify({
        concurrency: d.chance(0.03) ? 0 : d.pick([1, 1, 2, 3, 5]),
        tolerations: d.chance(0.8) ? [{ operator: 'Exists' }] : undefined,
        ...(quiet === 'cordon' ? { cordon: true } : quiet === 'drain' ? { drain } : {}),
        ...(d.chance(0.1) ? { postCompleteDelay: d.pick(['10s', '2m']) } : {}),
        ...(d.chance(0.1) ? { window: openSoon(d) } : {}),
        ...(d.chance(0.1) ? { jobActiveDeadlineSecs: d.pick([120, 0, 900]) } : {}),
        ...spec,
      }),
    ),
  }
}

/** Worlds start at midnight UTC. Opens within 40 minutes and stays open for most of the day. */
function openSoon(d: Dice): object {
  const minutes = d.int(0, 40)
  const time = `${String(Math.floor(minutes / 60)).padStart(2, '0')}:${String(minutes % 60).padStart(2, '0')}`
  return { days: ['su', 'mo', 'tu', 'we', 'th', 'fr', 'sa'], startTime: time, endTime: '23:59', timeZone: 'UTC' }
}
