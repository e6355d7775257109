/** `drover release`: kured's lock, which would keep kured from its work until it ends by itself. */
import { messageOf } from '../base/errors.ts'
import { isConflict } from '../kube/client/api-error.ts'
import type { Client } from '../kube/client/client.ts'
import { KURED_TTL_MS, holdersOf } from '../rollout/kured.ts'
import { readKured, writeKured } from './kured-lock.ts'

/** What became of it, a line each; nothing = it was not ours. */
export type ReleasedLock = { readonly done?: string; readonly left?: string }

const LOCK = "kured's lock"
const OTHERWISE = `or it ends by itself within ${KURED_TTL_MS / 60_000} minutes`
const TIMEOUT_MS = 15_000

/**
 * Given back only if nobody but us stands in it, at the version of the DaemonSet at which that was read. `busy`: names of nodes whose upgrade
 * goes on, or may: kured must not reboot those, and the lock is kept.
 */
export async function releaseKured(
  client: Client,
  settings: { readonly namespace: string; readonly name: string },
  busy: readonly string[],
  tries: number,
): Promise<ReleasedLock> {
  try {
    for (let tried = 1; ; tried++) {
      const seen = await readKured(client)
      if (seen === null) return {}
      const { ours, others } = holdersOf(seen.lock, settings)
      if (!ours) return {}
      if (others.length > 0) return { left: `${LOCK}: ${others.join(', ')} holds it, too; run it again, ${OTHERWISE}` }
      if (busy.length > 0)
        return { left: `${LOCK}: kept for node ${busy.join(', ')}; run it again when its upgrade has ended, ${OTHERWISE}` }
      try {
        await writeKured(client, { ...seen, value: null }, TIMEOUT_MS)
        return { done: `${LOCK}: given back` }
      } catch (error) {
        if (!isConflict(error) || tried >= tries) throw error
      }
    }
  } catch (error) {
    return { left: `${LOCK}: ${messageOf(error)}; run it again, ${OTHERWISE}` }
  }
}
