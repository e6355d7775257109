/** The CRDs, created or updated at start: Rancher's chart and SUC's users expect the controller to bring them (suc-contract, settings). */
import { planCRD } from '../api/crd.ts'
import { policyCRD } from '../api/crd-policy.ts'
import { FIELD_MANAGER } from '../api/names.ts'
import { messageOf } from '../base/errors.ts'
import type { JsonObject } from '../base/json.ts'
import type { Process } from '../base/process.ts'
import { isConflict, isForbidden, isNotFound } from '../kube/client/api-error.ts'
import type { Client } from '../kube/client/client.ts'

const PATH = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions'
const RETRY_MS = 5_000
/** A permission comes when somebody grants it. */
const REFUSED_RETRY_MS = 60_000
const ESTABLISH_POLL_MS = 500

/**
 * Returns when the CRDs are served as we need them. Retries until then: an API server that is down at start is normal.
 * @param refused called when we may not look at a CRD or write it. Nobody has to wait for that: nothing that decides depends on ours, and
 * with SUC's the Plan's status only says less.
 */
export async function installCRDs(process: Process, client: Client, signal: AbortSignal, refused: () => void): Promise<void> {
  await Promise.all([planCRD, policyCRD].map((crd) => install(crd as unknown as CRD, process, client, signal, refused)))
}

type CRD = JsonObject & { readonly metadata: { readonly name: string }; readonly spec: JsonObject }

async function install(crd: CRD, process: Process, client: Client, signal: AbortSignal, refused: () => void): Promise<void> {
  const path = `${PATH}/${crd.metadata.name}`
  while (!signal.aborted) {
    try {
      const current = await client.get<JsonObject>(path, { signal }).catch((error: unknown) => {
        if (isNotFound(error)) return undefined
        throw error
      })
      if (current === undefined) await client.create(PATH, crd, { signal })
      else if (deleting(current)) process.log.info('the CRD is being deleted, waiting until it is gone', { crd: crd.metadata.name })
      else if (!covers(current['spec'], crd.spec)) {
        process.log.info('the CRD is not ours, bringing it up to date', { crd: crd.metadata.name })
        // Not over what a second replica does at the same time.
        const { resourceVersion } = current['metadata'] as { resourceVersion: string }
        await client.mergePatch(path, { metadata: { resourceVersion }, spec: crd.spec }, { signal, fieldManager: FIELD_MANAGER })
      } else if (established(current)) return
      await process.clock.sleep(ESTABLISH_POLL_MS, signal)
    } catch (error) {
      if (signal.aborted) return
      if (isConflict(error)) continue
      if (isForbidden(error)) refused()
      const waitMs = isForbidden(error) ? REFUSED_RETRY_MS : RETRY_MS
      process.log.warn('CRD cannot be installed yet, trying again', { error: messageOf(error), waitMs })
      await process.clock.sleep(waitMs, signal).catch(() => undefined)
    }
  }
}

const deleting = (crd: JsonObject): boolean => (crd['metadata'] as { deletionTimestamp?: string }).deletionTimestamp !== undefined

function established(crd: JsonObject): boolean {
  const status = crd['status'] as { conditions?: readonly { type: string; status: string }[] } | undefined
  return status?.conditions?.some((condition) => condition.type === 'Established' && condition.status === 'True') === true
}

/** Everything that we ask for is there; defaults that the server adds do not count as a difference. */
export function covers(have: unknown, want: unknown): boolean {
  if (Array.isArray(want))
    return Array.isArray(have) && have.length === want.length && want.every((item, index) => covers(have[index], item))
  if (typeof want === 'object' && want !== null) {
    if (typeof have !== 'object' || have === null) return false
    return Object.entries(want).every(([key, value]) => covers((have as Record<string, unknown>)[key], value))
  }
  return have === want
}
