/** SUC's choice of nodes, made by what strict mode runs on: the slots that are held, and who is admitted beside them. */
import type { Json, JsonObject } from '../../src/base/json.ts'
import { parseSettings } from '../../src/controller/settings.ts'
import { nodeView, planView } from '../../src/controller/views.ts'
import { createContext } from '../../src/rollout/decide.ts'
import { createPass } from '../../src/rollout/pass.ts'
import { slotName } from '../../src/rollout/slot-name.ts'
import { driveSlots } from '../../src/rollout/slots.ts'
import { admitAsSUC } from '../../src/rollout/strict/admit.ts'
import { aWorld } from '../rollout/build.ts'
import { type Case, listAt, objectAt } from './case.ts'
import { selectNodes } from './suc-choice.ts'

export function replaySelectNodes({ input }: Pick<Case, 'input'>): Json {
  const plan = planView(stored(objectAt(input['plan'], 'plan')))
  if (plan?.plan === undefined) throw new Error('the Plan does not decode')
  // What the Plans of the cases were resolved to stands in their status; most have neither version nor channel.
  const { latestVersion: version, latestHash: hash } = plan.plan.status
  const nodes = listAt(input['nodes']).flatMap((node) => nodeView(stored(objectAt(node, 'node'))) ?? [])
  const hostnames = nodes.flatMap(({ hostname }) => hostname ?? [])
  // We hold nodes that share a hostname, in strict mode, too: SUC would run two of them in one slot. What is left to compare is the rule.
  if (new Set(hostnames).size < hostnames.length) return answer(selectNodes(plan.plan, hash, nodes))

  const required = { SYSTEM_UPGRADE_CONTROLLER_NAME: 'suc', SYSTEM_UPGRADE_CONTROLLER_NAMESPACE: plan.namespace }
  const { settings } = parseSettings({ ...required, DROVER_COMPATIBILITY: 'strict' }, [])
  const world = aWorld({ plans: [plan], nodes, settings })
  const pass = createPass(world)
  const { context } = createContext(world, pass)
  const read = context.states.get(plan.key)
  if (read === undefined) throw new Error('the Plan is not read')
  const state = { ...read, invalid: undefined, pending: false, version, hash }
  const slots = driveSlots(state, context, pass)
  const { claims, fault } = admitAsSUC(state, slots, [], context, pass)
  if (fault !== undefined) return { error: fault.message.replace(/^Failed to select Nodes: /, '') }
  const chosen = nodes.filter((node) => claims.includes(node) || slots.kept.includes(slotName(node)))
  chosen.sort((a, b) => (a.name < b.name ? -1 : 1))
  return { hostnames: chosen.map(slotName), nodes: chosen.map(({ name }) => name) }
}

/** With what the API server adds to every object. */
const stored = (object: JsonObject): JsonObject => ({
  ...object,
  metadata: { resourceVersion: '1', generation: 1, ...objectAt(object['metadata'], 'metadata') },
})

/** As a case expects it. */
export function answer(chosen: ReturnType<typeof selectNodes>): JsonObject {
  return chosen.ok ? { hostnames: chosen.hostnames, nodes: chosen.nodes.map(({ name }) => name) } : { error: chosen.error }
}
