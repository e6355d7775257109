/** While not all that is decided upon can be read, the one thing left to do: to say so on the Plans (design §2, promise 8). */
import { type Hold, hold } from '../api/reasons.ts'
import { isComplete } from './complete.ts'
import { stoppedStatus } from './status.ts'
import type { Refusal, Step, World } from './world.ts'

/** What a Plan is told of it. */
export const cannotRead = ({ message, endedBy }: Refusal): Hold => hold('Refused', `the cluster cannot be read: ${message}`, { endedBy })

export function tellBlindness({ plans, refusal, settings, now }: Pick<World, 'plans' | 'refusal' | 'settings' | 'now'>): readonly Step[] {
  if (refusal === undefined) return []
  const steps: Step[] = []
  for (const view of plans) {
    if (view.namespace !== settings.namespace) continue
    if (isComplete(view)) continue
    const known = view.plan === undefined ? view : { ...view.plan.status, generation: view.plan.metadata.generation }
    const status = stoppedStatus(known, cannotRead(refusal), settings, now)
    if (status === undefined) continue
    const plan = { namespace: view.namespace, name: view.name, uid: view.uid }
    steps.push({
      about: `plan ${view.key}`,
      actions: [{ do: 'writeStatus', plan, resourceVersion: view.resourceVersion, status, confirm: [] }],
    })
  }
  return steps
}
