import { noTrouble } from '../sandbox/machines/machine.ts'
import type { Mirror } from './checkers/mirror.ts'
import { keyOf, recordOf } from './checkers/seen.ts'
import { person, powerOn, type Stage } from './act.ts'
import { NAMESPACE } from './scenario.ts'

/** Ends all trouble: what people would repair when they find the cluster in this state. Taints, cordons and labels that a world keeps for good stay. */
export function mend(stage: Stage): void {
  const { sandbox, scenario } = stage
  sandbox.faults.rates = {}
  sandbox.releases.clear()
  sandbox.images.missing.clear()
  for (const machine of sandbox.machines.values()) {
    // A reboot that is due stays due.
    Object.assign(machine.trouble, noTrouble, { rebootRequired: machine.trouble.rebootRequired })
    if (removed(stage, machine.name)) continue
    powerOn(machine)
    if (machine.service === 'down' || machine.running !== machine.onDisk) machine.restartService()
  }
  for (const [url, answer] of stage.channels) {
    if (typeof answer === 'string' || 'status' in answer) stage.channels.set(url, scenario.channels[url] ?? answer)
  }
  // On a small cluster even a mild budget may leave no room: people lift what blocks.
  for (const { name, minAvailable } of scenario.workloads) {
    person(stage, {
      method: 'PATCH',
      path: `/apis/policy/v1/namespaces/default/poddisruptionbudgets/${name}`,
      body: { spec: minAvailable === undefined ? { maxUnavailable: '100%' } : { minAvailable: 0 } },
      contentType: 'application/merge-patch+json',
    })
  }
}

function removed(stage: Stage, name: string): boolean {
  return stage.sandbox.server.peek('nodes', name) === undefined
}

/** Plans with a node that failed, or is in quarantine: what a person asks to be tried again. */
export function failedPlans(mirror: Mirror): readonly string[] {
  const failed = new Set<string>()
  for (const node of mirror.nodes.values()) {
    const { past = {}, blocked = {} } = recordOf(node) ?? {}
    for (const [key, outcome] of Object.entries(past)) if (outcome.result === 'Failed') failed.add(key)
    for (const [key, { how }] of Object.entries(blocked)) if (how === 'Quarantine') failed.add(key)
  }
  return [...mirror.plans.values()]
    .filter(
      (plan) => failed.has(keyOf(plan.metadata)) && plan.metadata.namespace === NAMESPACE && stillFailed(mirror, keyOf(plan.metadata)),
    )
    .map((plan) => plan.metadata.name)
}

function stillFailed(mirror: Mirror, key: string): boolean {
  const hash = mirror.plans.get(key)?.status?.latestHash
  return [...mirror.nodes.values()].some((node) => {
    const record = recordOf(node)
    const outcome = record?.past?.[key]
    if (record?.blocked?.[key]?.how === 'Quarantine' && record.blocked[key].hash === hash && record.work === undefined) return true
    const label = node.metadata.labels?.[`plan.upgrade.cattle.io/${key.slice(key.indexOf('/') + 1)}`]
    return outcome?.result === 'Failed' && outcome.hash === hash && label !== hash && recordOf(node)?.work === undefined
  })
}

/** Before they ask for a retry, people look at the machines: a binary that was replaced but never started is started. */
export function restartStale({ sandbox }: Stage): void {
  for (const machine of sandbox.machines.values()) {
    if (machine.power === 'on' && machine.service === 'up' && machine.running !== machine.onDisk) machine.restartService()
  }
}

export function askRetry(stage: Stage, plan: string, round: number): void {
  person(stage, {
    method: 'PATCH',
    path: `/apis/upgrade.cattle.io/v1/namespaces/${NAMESPACE}/plans/${plan}`,
    body: { metadata: { annotations: { 'drover.io/retry': `again-${round}` } } },
    contentType: 'application/merge-patch+json',
  })
}

/** Waves that wait for somebody's word, as the Plans' status tells people: the value that it asks for, by Plan. */
export function awaited(mirror: Mirror): readonly { readonly plan: string; readonly value: string }[] {
  return [...mirror.plans.values()].flatMap(({ metadata, status }) => {
    const said = [...(status?.conditions ?? []), ...(status?.nodeStatuses ?? [])].map(({ message }) => message ?? '')
    const wanted = said.map((message) => /drover\.io\/approve: (\S+)/.exec(message)?.[1]).find((value) => value !== undefined)
    const approved = metadata.annotations?.['drover.io/approve']?.split(',') ?? []
    if (wanted === undefined || approved.includes(wanted)) return []
    return [{ plan: metadata.name, value: [...approved, wanted].join(',') }]
  })
}

export function approve(stage: Stage, plan: string, value: string): void {
  person(stage, {
    method: 'PATCH',
    path: `/apis/upgrade.cattle.io/v1/namespaces/${NAMESPACE}/plans/${plan}`,
    body: { metadata: { annotations: { 'drover.io/approve': value } } },
    contentType: 'application/merge-patch+json',
  })
}
