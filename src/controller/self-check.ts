import pLimit from 'p-limit'
import { isObject, type JsonObject } from '../base/json.ts'
import type { Client } from '../kube/client/client.ts'
import type { Permission, Verb } from './permissions.ts'

const REVIEWS = '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews'
const AT_ONCE = 8

/** Something the controller may not do, and what will not work for it. */
export interface Missing {
  /** For example `patch nodes` or `create jobs.batch in namespace system-upgrade`. */
  readonly access: string
  readonly why: string
}

/**
 * Asks the API server, one review for each verb, which of the permissions are missing.
 * @throws ApiError or TransportError when the API server does not review: then nothing is known
 */
export async function missingPermissions(
  client: Client,
  permissions: readonly Permission[],
  signal: AbortSignal,
): Promise<readonly Missing[]> {
  const limit = pLimit(AT_ONCE)
  const reviews = permissions.flatMap((permission) =>
    (permission.names ?? [undefined]).flatMap((name) => permission.verbs.map((verb) => ({ permission, name, verb }))),
  )
  const answers = await Promise.all(
    reviews.map(({ permission, name, verb }) =>
      limit(async () => {
        const review = await client.create(REVIEWS, reviewOf(permission, verb, name), { signal })
        return isAllowed(review) ? [] : [{ access: describe(permission, verb, name), why: permission.why }]
      }),
    ),
  )
  return answers.flat()
}

function reviewOf(permission: Permission, verb: Verb, name: string | undefined): JsonObject {
  const [resource, subresource] = permission.resource.split('/')
  return {
    apiVersion: 'authorization.k8s.io/v1',
    kind: 'SelfSubjectAccessReview',
    spec: { resourceAttributes: { group: permission.group, resource, subresource, verb, namespace: permission.namespace, name } },
  }
}

function isAllowed(review: JsonObject): boolean {
  const status = review['status']
  return isObject(status) && status['allowed'] === true
}

function describe(permission: Permission, verb: Verb, name: string | undefined): string {
  const resource = permission.group === '' ? permission.resource : `${permission.resource}.${permission.group}`
  const where = permission.namespace === undefined ? '' : ` in namespace ${permission.namespace}`
  return `${verb} ${resource}${name === undefined ? '' : ` ${name}`}${where}`
}
