/**
 * Hooks of a policy: others who have their word on each node. What they are asked for stands on the node as a token that is bound to the
 * attempt; who writes the same value into an annotation of its own has acknowledged just this attempt.
 */
import type { HookSpec } from '../../api/gate.ts'
import { ANNOTATION_HOOK } from '../../api/names.ts'
import { type Hold, hold } from '../../api/reasons.ts'
import type { NodeRecord, Work } from '../../api/record.ts'
import { formatMs } from '../../kube/objects/duration.ts'
import type { Pass } from '../pass.ts'
import { patchNode } from '../verdict.ts'
import type { NodeView } from '../world.ts'

/** What makes an attempt one that never comes again. */
interface HookedAttempt {
  readonly hash: string
  readonly attempt: number
  /** When it began, as `metav1.Time` is written. */
  readonly since: string
}

/** The attempt that is under way. */
export const hookedAttempt = ({ hash, attempt, claimedAt }: Work): HookedAttempt => ({ hash, attempt, since: claimedAt })

/** Such as `before/1f2e3d4c/1/20260302T120000Z`. */
export const hookToken = (when: 'before' | 'after', { hash, attempt, since }: HookedAttempt): string =>
  `${when}/${hash.slice(0, 8)}/${attempt}/${since.replaceAll(/[-:]/g, '')}`

/** One hold for each hook that has not acknowledged; none = all have. */
export function hookHolds(hooks: readonly HookSpec[], node: NodeView, token: string, pass: Pass): readonly Hold[] {
  const acks = node.hook?.request === token ? node.hook.acks : []
  const missing = hooks.filter(({ ackAnnotation }) => !acks.includes(ackAnnotation))
  if (missing.length === 0) return []
  const since = pass.fact(`hooks ${node.uid} ${token}`).mono
  return missing.map(({ name, ackAnnotation, timeoutMs }) => {
    const wanted = `annotation ${ackAnnotation}: ${token} on node ${node.name}`
    if (timeoutMs === undefined) return hold('HookPending', `hook ${name} has not set ${wanted} yet`)
    const end = since + timeoutMs
    if (pass.now.mono >= end) return hold('HookOverdue', `hook ${name} has not set ${wanted} within ${formatMs(timeoutMs)}`)
    pass.lookAt(end)
    return hold('HookPending', `hook ${name} has not set ${wanted} yet`)
  })
}

/** The request stands on the node, or is written. */
export function requestHooks(node: NodeView, record: NodeRecord, token: string, pass: Pass): void {
  if (node.hook?.request !== token) pass.step(node.name, [{ ...patchNode(node, record), hook: token }])
}

/** What of a node's annotations a decision looks at. */
export function hookView(annotations: Readonly<Record<string, string>> | undefined): NodeView['hook'] {
  const request = annotations?.[ANNOTATION_HOOK]
  if (annotations === undefined || request === undefined) return undefined
  const acks = Object.keys(annotations).filter((key) => key !== ANNOTATION_HOOK && annotations[key] === request)
  return { request, acks: acks.toSorted() }
}
