/** Evaluates what a gate checks: requests with deadlines and bounds. What cannot be evaluated throws, and the gate holds. */
import type { Pod } from 'kubernetes-types/core/v1.d.ts'
import type { GateCheck, ObjectCheck, PodsAbsentCheck, PrometheusCheck, SecretKey } from '../api/gate.ts'
import type { JsonObject } from '../base/json.ts'
import type { Process } from '../base/process.ts'
import { isNotFound } from '../kube/client/api-error.ts'
import type { Client, ReadOptions } from '../kube/client/client.ts'
import { createDiscovery } from '../kube/client/discovery.ts'
import { compileLabelSelector, formatSelector } from '../kube/objects/selector.ts'
import { judgeObjects } from '../rollout/policy/expect.ts'
import { queryURL, readAnswer } from '../rollout/policy/prometheus.ts'
import type { GateSeen } from '../rollout/world.ts'
import { readSecretKey } from './read-secret-key.ts'

/** For each request. It is asked again soon enough, so none is repeated at once. */
const READ: ReadOptions = { timeoutMs: 10_000, retries: 0 }
/** Most objects or pods that a selector may match. */
const MAX_OBJECTS = 500

/** `namespace`: of the Secrets that the check names. */
export type EvaluateGate = (check: GateCheck, namespace: string) => Promise<GateSeen>

export function createEvaluateGate(process: Process, client: Client): EvaluateGate {
  const discovery = createDiscovery(client, process.clock)
  const never = new AbortController().signal

  async function ofObjects(check: ObjectCheck): Promise<GateSeen> {
    const { apiVersion, of, namespace, name } = check
    const { prefix, plural, namespaced } = await discovery.find(apiVersion, of, READ)
    if (!namespaced && namespace !== undefined) throw new Error(`${of} has no namespace; leave object.namespace out`)
    if (namespaced && namespace === undefined && name !== undefined) throw new Error(`${of} needs object.namespace`)
    const where = namespace === undefined ? '' : `/namespaces/${encodeURIComponent(namespace)}`
    const path = `${prefix}${where}/${plural}`
    if (name === undefined) return judgeObjects(check, await matching<JsonObject>(path, check.selector))
    try {
      return judgeObjects(check, [await client.get<JsonObject>(`${path}/${encodeURIComponent(name)}`, READ)])
    } catch (error) {
      if (isNotFound(error)) throw new Error(`${of} ${where === '' ? '' : `${namespace}/`}${name} does not exist`, { cause: error })
      throw error
    }
  }

  async function ofPods({ namespace, selector }: PodsAbsentCheck): Promise<GateSeen> {
    const path = namespace === undefined ? '/api/v1/pods' : `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods`
    const pods = await matching<Pod>(path, selector)
    const there = pods.filter(({ status }) => status?.phase !== 'Succeeded' && status?.phase !== 'Failed')
    return {
      kind: 'pods',
      pods: there.map(({ metadata, spec }) => ({
        namespace: metadata?.namespace ?? '',
        name: metadata?.name ?? '',
        node: spec?.nodeName ?? '',
      })),
    }
  }

  async function matching<T>(path: string, selector: ObjectCheck['selector']): Promise<readonly T[]> {
    const compiled = compileLabelSelector(selector)
    if (!compiled.ok) throw new Error(compiled.error)
    const labelSelector = formatSelector(compiled.selector)
    const query = labelSelector === '' ? {} : { labelSelector }
    for await (const page of client.pages<T>(path, { ...READ, query, pageSize: MAX_OBJECTS })) {
      if (!page.last) throw new Error(`more than ${MAX_OBJECTS} objects match; narrow the selector`)
      return page.items
    }
    return []
  }

  async function ofPrometheus(check: PrometheusCheck, namespace: string): Promise<GateSeen> {
    const { tokenSecretRef, caSecretRef } = check
    const token = tokenSecretRef === undefined ? undefined : (await secretValue(namespace, tokenSecretRef)).trim()
    // Anything else would break out of the header.
    if (token !== undefined && !/^[\x21-\x7e]+$/.test(token))
      throw new Error(`key ${tokenSecretRef?.key} of Secret ${tokenSecretRef?.name} holds no token`)
    const ca = caSecretRef === undefined ? check.caBundle : await secretValue(namespace, caSecretRef)
    const headers = { accept: 'application/json', ...(token === undefined ? {} : { authorization: `Bearer ${token}` }) }
    const answer = readAnswer(check, await process.outside.get(queryURL(check), headers, READ.timeoutMs ?? 0, never, ca))
    if (!answer.ok) throw new Error(answer.error)
    return answer.seen
  }

  async function secretValue(namespace: string, { name, key }: SecretKey): Promise<string> {
    let value: string | undefined
    try {
      value = await readSecretKey(client, namespace, { name, key }, READ)
    } catch (error) {
      if (isNotFound(error)) throw new Error(`Secret ${name} does not exist`, { cause: error })
      throw error
    }
    if (value === undefined) throw new Error(`Secret ${name} has no key ${key}`)
    return value
  }

  return (check, namespace) => {
    switch (check.kind) {
      case 'object':
        return ofObjects(check)
      case 'podsAbsent':
        return ofPods(check)
      case 'prometheus':
        return ofPrometheus(check, namespace)
    }
  }
}
