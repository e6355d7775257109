/** How scenarios stop a rollout at a point of their choice. */
import type { Gate, Scenario } from './scenario.ts'
import { deployment, neverDisrupt } from './workloads.ts'

/** A drain that hangs on a PodDisruptionBudget; says on which node. Ended by `freeDrain`. */
export async function hangInDrain(s: Scenario, spec: object = {}, metadata: object = {}): Promise<string> {
  await s.workload(deployment(s.id, s.nodes.length), neverDisrupt())
  await s.until('the workload is everywhere', async () => {
    const running = (await s.pods()).filter((pod) => pod.status?.phase === 'Running')
    return new Set(running.map((pod) => pod.spec?.nodeName)).size === s.nodes.length
  })
  await s.apply({ drain: { force: true }, ...spec }, metadata)
  const node = await s.taken()
  await s.until('the drain hangs', async () => /^Draining: .*allows no disruption/.test(await s.status(node)))
  return node
}

export async function freeDrain(s: Scenario): Promise<void> {
  await s.kubectl('--namespace', s.id, 'delete', 'poddisruptionbudget', '--all')
}

/** An upgrade that waits in its container until the gate is opened; says on which node. */
export async function hangInUpgrade(s: Scenario, gate: Gate, spec: object = {}): Promise<string> {
  await s.apply({ upgrade: { image: gate.image }, ...spec })
  await s.until('an upgrade runs', () => gate.entered.length > 0)
  return gate.entered[0] as string
}

/** All machines but one. */
export const without = (s: Scenario, node: string): readonly string[] => s.nodes.filter((name) => name !== node)
