import type { JsonObject } from '../base/json.ts'
import type { Request } from '../base/process.ts'
import type { Machine } from '../sandbox/machines/machine.ts'
import type { Sandbox } from '../sandbox/cluster.ts'
import type { Controllers } from './fleet-of-controllers.ts'
import { policyAct } from './act-policy.ts'
import { whoIs } from './checkers/fact.ts'
import { type SurroundingAction, surroundingAct } from './surroundings.ts'
import { type Action, type Ambush, type ChannelAnswer, NAMESPACE, type PlanObject, type Scenario } from './scenario.ts'

/** What the actions of a schedule work on. */
export interface Stage {
  readonly sandbox: Sandbox
  readonly scenario: Scenario
  readonly channels: Map<string, ChannelAnswer>
  /** The end of what people have sent so far: they do one thing after the other. */
  readonly people: { last: Promise<void> }
  /** Armed, not yet sprung. */
  readonly ambushes: Ambush[]
  readonly controllers: Pick<Controllers, 'crash' | 'stall' | 'crashAroundWrite'>
  /** Runs `what` after `ms`, or when the calm begins, whichever is first. */
  readonly later: (ms: number, what: () => void) => void
  /** Runs `what` after `ms`, and nobody takes it for a change from outside. */
  readonly soon: (ms: number, what: () => void) => void
  /** Nothing goes wrong any more. */
  readonly calm: () => boolean
}

/** Carries out one action. A person's requests are sent and not waited for. */
export function act(stage: Stage, action: Action): void {
  const { sandbox, controllers, later } = stage
  switch (action.do) {
    case 'crashController':
      return controllers.crash(action.controller, action.backAfterMs)
    case 'crashAroundWrite':
      return controllers.crashAroundWrite(action)
    case 'stallController':
      return controllers.stall(action.controller, action.ms)
    case 'apiOutage':
      return sandbox.faults.outage(action.ms)
    case 'compact':
      return sandbox.server.compact()
    case 'silentWatches':
      for (const resource of ['nodes', 'plans'])
        sandbox.faults.once('watchSilent', (call) => call.resource === resource && whoIs(call.user) === 'drover')
      return
    case 'badRelease': {
      sandbox.releases.set(action.version, action.how)
      return
    }
    case 'imageMissing':
      sandbox.images.missing.add(action.image)
      return later(action.ms, () => sandbox.images.missing.delete(action.image))
    case 'ambush':
      stage.ambushes.push(action.ambush)
      return
    case 'gateRed':
    case 'kuredLock':
    case 'etcdSnapshot':
      return surroundingAct(stage, action)
    case 'moveChannel':
      stage.channels.set(action.url, action.answer)
      return
    default:
      if ('policy' in action) return policyAct(stage, action)
      return 'machine' in action ? machineAct(stage, action) : planAct(stage, action)
  }
}

type MachineAction = Extract<Action, { machine: number }>
type PlanAction = Exclude<
  Action,
  | MachineAction
  | { controller: number }
  | { policy: unknown }
  | SurroundingAction
  | { do: 'apiOutage' | 'compact' | 'silentWatches' | 'badRelease' | 'imageMissing' | 'moveChannel' | 'ambush' }
>

function machineAct(stage: Stage, action: MachineAction): void {
  const name = stage.scenario.machines[action.machine]?.name ?? ''
  const machine = stage.sandbox.machines.get(name)
  if (machine === undefined) return
  switch (action.do) {
    case 'powerCut':
      machine.powerOff()
      return stage.later(action.ms, () => powerOn(machine))
    case 'reboot':
      return machine.reboot()
    case 'flap':
      return machine.flap({ times: action.times, everyMs: 15_000 })
    case 'notReady':
      machine.trouble.notReady = true
      return stage.later(action.ms, () => {
        machine.trouble.notReady = false
      })
    case 'removeMachine':
      machine.remove()
      return stage.later(action.deleteNodeAfterMs, () => person(stage, { method: 'DELETE', path: `/api/v1/nodes/${name}` }))
    case 'recreateMachine':
      void machine.recreate().catch(() => undefined)
      return
    case 'slowKubelet':
      machine.trouble.kubeletStartMs = action.ms
      return
    case 'failProgram':
      machine.trouble.programFailures += action.times
      return
    case 'dieAfterReplace':
      machine.trouble.dieAfterReplace += action.times
      return
    case 'hangProgram':
      machine.trouble.hangs = true
      return
    default:
      return nodeAct(stage, action, name)
  }
}

function nodeAct(
  stage: Stage,
  action: Extract<MachineAction, { do: 'holdNode' | 'cordon' | 'uncordon' | 'recordon' | 'taint' | 'disableNode' }>,
  name: string,
): void {
  const patch = (body: JsonObject) =>
    person(stage, { method: 'PATCH', path: `/api/v1/nodes/${name}`, body, contentType: 'application/merge-patch+json' })
  const undo = (body: JsonObject) => {
    if ('undoAfterMs' in action && action.undoAfterMs !== undefined) stage.later(action.undoAfterMs, () => patch(body))
  }
  switch (action.do) {
    case 'holdNode':
      patch({ metadata: { annotations: { 'drover.io/hold': 'true' } } })
      return undo({ metadata: { annotations: { 'drover.io/hold': null } } })
    case 'cordon':
      patch({ spec: { unschedulable: true } })
      return undo({ spec: { unschedulable: null } })
    case 'recordon':
      // Off and on again by hand: from here on the cordon is theirs.
      patch({ spec: { unschedulable: null } })
      return patch({ spec: { unschedulable: true } })
    case 'uncordon':
      return patch({ spec: { unschedulable: null } })
    case 'taint':
      patch({ spec: { taints: [{ key: 'maintenance', value: 'yes', effect: 'NoSchedule' }] } })
      return undo({ spec: { taints: null } })
    case 'disableNode': {
      const label = `plan.upgrade.cattle.io/${action.plan}`
      patch({ metadata: { labels: { [label]: 'disabled' } } })
      return undo({ metadata: { labels: { [label]: null } } })
    }
  }
}

function planAct(stage: Stage, action: PlanAction): void {
  const planPath = (name: string) => `/apis/upgrade.cattle.io/v1/namespaces/${NAMESPACE}/plans/${name}`
  const patchPlan = (name: string, body: JsonObject) =>
    person(stage, { method: 'PATCH', path: planPath(name), body, contentType: 'application/merge-patch+json' })
  switch (action.do) {
    case 'editPlan':
      return patchPlan(action.plan, { spec: action.spec as JsonObject })
    case 'deletePlan': {
      person(stage, { method: 'DELETE', path: planPath(action.plan) })
      const again = stage.scenario.plans.find((plan) => plan.metadata.name === action.plan)
      if (action.againAfterMs !== undefined && again !== undefined) stage.later(action.againAfterMs, () => createPlan(stage, again))
      return
    }
    case 'annotatePlan': {
      const key = `drover.io/${action.annotation}`
      patchPlan(action.plan, { metadata: { annotations: { [key]: action.value } } })
      if (action.undoAfterMs !== undefined)
        stage.later(action.undoAfterMs, () => patchPlan(action.plan, { metadata: { annotations: { [key]: null } } }))
      return
    }
    case 'abortPlan': {
      const plan = stage.sandbox.server.peek('plans.upgrade.cattle.io', action.plan, NAMESPACE) as
        | { status?: { latestHash?: string } }
        | undefined
      const hash = plan?.status?.latestHash ?? ''
      if (hash === '') return
      patchPlan(action.plan, { metadata: { annotations: { 'drover.io/abort': hash.slice(0, 8) } } })
      return stage.later(action.undoAfterMs, () => patchPlan(action.plan, { metadata: { annotations: { 'drover.io/abort': null } } }))
    }
    case 'holdNamespace': {
      const patch = (value: string | null) =>
        person(stage, {
          method: 'PATCH',
          path: `/api/v1/namespaces/${NAMESPACE}`,
          body: { metadata: { annotations: { 'drover.io/hold': value } } },
          contentType: 'application/merge-patch+json',
        })
      patch('true')
      return stage.later(action.undoAfterMs, () => patch(null))
    }
    case 'rotateSecret':
      return person(stage, {
        method: 'PATCH',
        path: `/api/v1/namespaces/${NAMESPACE}/secrets/${action.name}`,
        body: { data: { token: Buffer.from(String(stage.sandbox.clock.mono())).toString('base64') } },
        contentType: 'application/merge-patch+json',
      })
    case 'deleteJob': {
      const jobs = stage.sandbox.server.peekAll('jobs.batch', NAMESPACE)
      const job = jobs[Math.floor(stage.sandbox.random() * jobs.length)]
      if (job !== undefined)
        person(stage, {
          method: 'DELETE',
          path: `/apis/batch/v1/namespaces/${NAMESPACE}/jobs/${job.metadata.name}`,
          query: { propagationPolicy: 'Background' },
        })
      return
    }
  }
}

export function createPlan(stage: Pick<Stage, 'sandbox' | 'people'>, plan: PlanObject): void {
  person(stage, { method: 'POST', path: `/apis/upgrade.cattle.io/v1/namespaces/${NAMESPACE}/plans`, body: plan as unknown as JsonObject })
}

export function powerOn(machine: Machine): void {
  if (machine.power === 'off') machine.powerOn()
}

/**
 * A person's request, after all their earlier ones. One that is lost in an outage is sent again every ten seconds: people are stubborn. Nobody waits
 * for it.
 */
export function person(stage: Pick<Stage, 'sandbox' | 'people'>, request: Request): void {
  const { sandbox } = stage
  stage.people.last = stage.people.last.then(async () => {
    for (let attempt = 0; attempt < 60; attempt += 1) {
      try {
        await sandbox.as('person').send(request, new AbortController().signal)
        return
      } catch {
        await sandbox.clock.sleep(10_000)
      }
    }
  })
}
