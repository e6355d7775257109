/** Volumes of pods that are gone may stay attached for a while, and a node that stops then keeps them from starting elsewhere (policy `drain.volumeDetachTimeout`). */
import { type Hold, hold } from '../../api/reasons.ts'
import type { Work } from '../../api/record.ts'
import { formatTime } from '../../base/clock.ts'
import { warnings } from '../events.ts'
import type { Pass } from '../pass.ts'
import type { PlanState } from '../plan-state.ts'
import { patchNode, recordOf } from '../verdict.ts'
import type { NodeView } from '../world.ts'
import { upToFive } from './some-names.ts'

const POLL_MS = 5000

/** The node is drained. True = no VolumeAttachment names it any more, or the time for that is over, or nobody asks. Says of the node why not. */
export function volumesDetached({ state, node }: { readonly state: PlanState; readonly node: NodeView }, work: Work, pass: Pass): boolean {
  const limitMs = state.rules.drain.volumeDetachMs
  if (limitMs === 0) return true
  const say = (found: Hold) => pass.node(state.key, node.name, 'Draining', found)
  const about = `${node.uid} ${work.claimedAt} ${work.attempt}`
  const since = pass.fact(`drained ${about}`).mono
  const seen = pass.world.observed.attachments.get(node.name)
  const fresh = seen !== undefined && seen.at >= since ? seen : undefined
  pass.need({ kind: 'attachments', node: node.name, maxAgeMs: fresh === undefined ? 0 : POLL_MS })
  if (work.drainedAt === undefined) {
    // From then on the time counts, whoever leads.
    pass.step(node.name, [patchNode(node, { ...recordOf(node), work: { ...work, drainedAt: formatTime(pass.now.wall) } })])
  }
  if (work.drainedAt === undefined || fresh === undefined) {
    say(hold('VolumesAttached', `node ${node.name} is drained; the volumes attached to it are being read`))
    return false
  }
  if (!fresh.ok) {
    say(
      hold(
        fresh.refused === true ? 'Refused' : 'VolumesAttached',
        `the volumes attached to node ${node.name} cannot be read: ${fresh.error}`,
      ),
    )
    return false
  }
  const volumes = fresh.value
  if (volumes.length === 0) return true
  const named = upToFive(volumes)
  const endMs = Date.parse(work.drainedAt) + limitMs
  if (pass.now.wall < endMs) {
    pass.lookAtWall(endMs)
    const message = `node ${node.name} is drained, and volumes are still attached to it: ${named}; the upgrade goes on at ${formatTime(endMs)} at the latest`
    say(hold('VolumesAttached', message, { retryAt: endMs }))
    return false
  }
  if (pass.isNew(`attached ${about}`)) {
    const message = `volumes are still attached after drain.volumeDetachTimeout, and the upgrade goes on: ${named}`
    pass.step(`attached ${node.name}`, warnings(node, state, 'VolumesAttached', message))
  }
  return true
}
