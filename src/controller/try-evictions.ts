/** Dry runs of evictions: what budgets and admission would say to a drain, before anything is cordoned. */
import pLimit from 'p-limit'
import type { JsonObject } from '../base/json.ts'
import { ApiError } from '../kube/client/api-error.ts'
import type { Client } from '../kube/client/client.ts'
import type { EvictionTries, Ref } from '../rollout/world.ts'

/** Of one node at once. */
const AT_ONCE = 4
/** Most pods of a node; kubelets run 110 by default, and 250 are the most that is supported. */
const MAX_PODS = 500

/** The body of an eviction of exactly that pod. */
export function evictionOf(pod: Ref, graceSeconds: number | undefined): JsonObject {
  return {
    apiVersion: 'policy/v1',
    kind: 'Eviction',
    metadata: { name: pod.name, namespace: pod.namespace },
    deleteOptions: { preconditions: { uid: pod.uid }, ...(graceSeconds === undefined ? {} : { gracePeriodSeconds: graceSeconds }) },
  }
}

/** Path of the Eviction API of a pod. */
export const evictionPath = (pod: Ref): string => `/api/v1/namespaces/${pod.namespace}/pods/${pod.name}/eviction`

/** @throws where the API server gives no answer to one of them, or lacks a permission for itself (401). A pod that is gone is in nobody's way. */
export async function tryEvictions(client: Client, pods: readonly Ref[], graceSeconds: number | undefined): Promise<EvictionTries> {
  const limit = pLimit(AT_ONCE)
  const refused = new Map<string, string>()
  const asked = pods.slice(0, MAX_PODS)
  await Promise.all(
    asked.map((pod) =>
      limit(async () => {
        try {
          await client.create(evictionPath(pod), evictionOf(pod, graceSeconds), { dryRun: true })
        } catch (error) {
          if (!(error instanceof ApiError) || error.status === 401) throw error
          if (error.status !== 404 && error.status !== 409) refused.set(pod.uid, error.message)
        }
      }),
    ),
  )
  return { asked: new Set(pods.map(({ uid }) => uid)), refused }
}
