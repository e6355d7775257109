/** The cordoned node is drained as its Plan and the policy ask for; what becomes of it when that does not end in time. */
import type { Work } from '../../api/record.ts'
import { formatTime } from '../../base/clock.ts'
import type { Taken } from '../before-start.ts'
import { warnings } from '../events.ts'
import type { Pass } from '../pass.ts'
import { fail, recordOf } from '../verdict.ts'
import type { JobView } from '../world.ts'
import { giveBack } from './blocked.ts'
import { drainNode } from './node.ts'
import { volumesDetached } from './volumes.ts'

/** True = nothing that is to go is left on the node. `job` is the apply Job, should it have been made already. */
export function clearNode(taken: Taken, work: Work, job: JobView | undefined, pass: Pass): boolean {
  const { state, node } = taken
  const attempt = `${node.uid} ${work.claimedAt} ${work.attempt}`
  const since = pass.fact(`cordoned ${attempt}`).mono
  const startedAtMs = Math.max(
    Date.parse(recordOf(node).cordon?.at ?? work.claimedAt),
    Date.parse(work.claimedAt),
    Date.parse(work.preparedAt ?? work.claimedAt),
  )
  const drain = drainNode({ state, node, since, startedAtMs }, pass)
  if (drain.timedOut !== undefined) {
    overdue(taken, work, drain.timedOut, job, pass)
    return false
  }
  if (!drain.done) return false
  if (drain.left === undefined) return volumesDetached({ state, node }, work, pass)
  if (pass.isNew(`proceeds ${attempt}`)) {
    const message = `drain.timeout is over; the upgrade goes on with pods whose eviction was refused: ${drain.left}`
    pass.step(`proceeds ${node.name}`, warnings(node, state, 'DrainIncomplete', message))
  }
  return volumesDetached({ state, node }, work, pass)
}

function overdue({ state, node }: Taken, work: Work, message: string, job: JobView | undefined, pass: Pass): void {
  const { onTimeout } = state.rules.drain
  if (onTimeout === 'Release' || onTimeout === 'Quarantine') {
    giveBack({ state, node }, work, onTimeout, message, pass)
    return pass.node(state.key, node.name, 'Pending')
  }
  const failing = { intact: true, plan: state.ref, clock: formatTime(pass.now.wall), ...(job === undefined ? {} : { job }) }
  fail(pass, node, work, { reason: 'DrainTimeout', message }, failing)
  pass.node(state.key, node.name, 'Failed')
}
