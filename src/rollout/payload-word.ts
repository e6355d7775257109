/** What Drover's own payload says of an attempt, so that a refusal or a roll back is known at once, and not when the Job has run out of tries. */
import type { PayloadResult } from '../api/payload-result.ts'
import type { PodView } from './world.ts'

const SUCCESSES = ['Upgraded', 'AlreadyThere', 'Prepared']

/** Why the attempt failed, if further pods of the Job cannot change it. `AlreadyTried` only repeats what an earlier pod said better. */
export function finalRefusal(pods: readonly PodView[]): PayloadResult | undefined {
  const words = [...pods].sort((a, b) => b.createdAt - a.createdAt).map(({ said }) => said)
  const refusals = words.filter((said): said is PayloadResult => said !== undefined && said.final && !SUCCESSES.includes(said.result))
  return refusals.find(({ result }) => result !== 'AlreadyTried') ?? refusals[0]
}

export const refusalText = ({ result, message }: PayloadResult): string => `the payload ended with ${result}: ${message}`

/** Name of the etcd snapshot that a prepare pod took; undefined where none was asked for, or another image prepared. */
export const snapshotOf = (pods: readonly PodView[]): string | undefined =>
  pods.map(({ said }) => said?.snapshot).find((name) => name !== undefined)
