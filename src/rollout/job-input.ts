import { LABEL_HOSTNAME, LABEL_OS } from '../api/names.ts'
import type { Plan } from '../api/plan.ts'
import type { Work } from '../api/record.ts'
import type { JobSettings } from '../base/settings.ts'
import type { Pass } from './pass.ts'
import type { PlanState } from './plan-state.ts'
import type { NodeView } from './world.ts'

/** What a Job or pod for one node is made from. Version and hash are those of the run, which the Plan's status may no longer show. */
export interface JobInput {
  readonly plan: Plan
  readonly latestVersion: string
  readonly latestHash: string
  readonly node: JobNode
  readonly settings: { readonly name: string; readonly job: JobSettings }
}

export interface JobNode {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
}

/** For the work that was claimed on the node, or for the first that would be. */
export function jobInputOf(state: PlanState, node: NodeView, pass: Pass, work?: Work): JobInput {
  const { plan, version, hash } = state
  return { plan, latestVersion: work?.target ?? version, latestHash: work?.hash ?? hash, node, settings: pass.world.settings }
}

/** The hostname label, and the node's name where there is none. */
export function jobHostname(node: JobNode): string {
  return node.labels[LABEL_HOSTNAME] ?? node.name
}

export function isWindowsNode(node: JobNode): boolean {
  return node.labels[LABEL_OS] === 'windows'
}
