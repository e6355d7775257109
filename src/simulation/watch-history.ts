import { createHash } from 'node:crypto'
import type { Sandbox } from '../sandbox/cluster.ts'
import { type HistoryWrite, whoIs } from './checkers/fact.ts'
import type { Judge } from './checkers/judge.ts'
import type { SeenPlan } from './checkers/seen.ts'
import { phasesOf } from './phases.ts'
import { traceWrite } from './trace.ts'

export interface Watching {
  /** When a controller last wrote anything but its Lease. */
  lastControllerWrite(): number
  /** Where the nodes are just now. */
  phases(): ReturnType<typeof phasesOf>
  hash(): string
}

/** Feeds the judge with every write, and with what the members of etcd did before it. */
export function watchHistory(
  sandbox: Sandbox,
  judge: Judge,
  add: (name: string) => void,
  trace: ((line: string) => void) | undefined,
  onControllerWrite: (write: HistoryWrite) => void,
): Watching {
  const hash = createHash('sha256')
  let etcdSeen = 0
  let last = 0
  let phases: ReturnType<typeof phasesOf> | undefined
  sandbox.server.onWrite((write) => {
    for (; etcdSeen < sandbox.etcd.timeline.length; etcdSeen += 1) {
      const event = sandbox.etcd.timeline[etcdSeen]
      if (event !== undefined) judge.see({ kind: 'etcd', mono: event.at, member: event.member, up: event.up })
    }
    const seen: HistoryWrite = write
    hash.update(
      `${write.n}|${write.mono}|${write.user}|${write.verb}|${write.ref.resource}|${write.ref.name}|${write.status}|${write.after?.metadata.resourceVersion}\n`,
    )
    const before = judge.violations.length
    judge.see({ kind: 'write', write: seen })
    const line = trace === undefined ? undefined : traceWrite(seen)
    if (line !== undefined) trace?.(line)
    for (const violation of judge.violations.slice(before)) trace?.(`!!!!!! promise ${violation.promise}: ${violation.message}`)
    if (whoIs(write.user) !== 'drover' || write.ref.resource === 'leases') return
    last = write.mono
    phases = undefined
    onControllerWrite(seen)
    if (write.ref.resource === 'plans' && write.ref.subresource === 'status')
      for (const shown of shownIn(write.after as unknown as SeenPlan | undefined)) add(shown)
  })
  return {
    lastControllerWrite: () => last,
    phases() {
      phases ??= phasesOf(judge.mirror)
      return phases
    },
    hash: () => hash.digest('hex'),
  }
}

/** What a Plan's status shows: the reasons of its conditions, and the phases of its nodes. */
function shownIn(plan: SeenPlan | undefined): readonly string[] {
  const status = plan?.status as
    | { readonly conditions?: readonly { readonly reason?: string }[]; readonly nodeStatuses?: readonly { readonly phase?: string }[] }
    | undefined
  const reasons = (status?.conditions ?? []).map(({ reason }) => `hold ${reason}`)
  const phases = (status?.nodeStatuses ?? []).map(({ phase }) => `phase ${phase}`)
  return [...new Set([...reasons, ...phases])]
}
