/** Claims as `World.confirmed` names them: `<planUID>/<hash>/<node UID>`. */
import type { PlanState } from './plan-state.ts'
import type { NodeView, World } from './world.ts'

export const claimKey = ({ ref, hash }: Pick<PlanState, 'ref' | 'hash'>, node: NodeView): string => `${ref.uid}/${hash}/${node.uid}`

/** A claim of any Plan on the node is confirmed. */
export const isClaimed = ({ uid }: NodeView, { confirmed }: Pick<World, 'confirmed'>): boolean =>
  [...confirmed].some((claim) => claim.endsWith(`/${uid}`))
