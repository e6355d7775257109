/** Tests that a cluster of somebody's own cannot serve are skipped there, and the run says which and why. */
import { test } from '@jest/globals'
import { GIVEN } from './given.ts'
import { OTHER_NODES } from './releases.ts'

const NEEDS = {
  'api-server': 'it starts, stops or configures the API server',
  'audit-log': "it reads the API server's audit log",
  kubelet: "the API server would have to reach simulated kubelets on this machine's loopback interface",
  'all-nodes': 'its Plans would select the nodes that the cluster has',
} as const

export type Need = keyof typeof NEEDS

/** Whether the given cluster lacks one of them; if so, it is printed that the test is skipped, and why. */
export function lacking(what: string, needs: readonly Need[]): boolean {
  if (GIVEN === undefined) return false
  const unmet = needs.filter((need) => need !== 'all-nodes' || OTHER_NODES)
  if (unmet.length === 0) return false
  process.stderr.write(`skipped: ${what}: ${unmet.map((need) => NEEDS[need]).join('; ')}\n`)
  return true
}

/** `test`, or `test.skip` where the given cluster lacks what is needed. */
export function testNeeding(...needs: readonly Need[]): (what: string, tell: () => Promise<void>, ms?: number) => void {
  return (what, tell, ms) => {
    if (lacking(what, needs)) test.skip(what, tell, ms)
    else test(what, tell, ms)
  }
}
