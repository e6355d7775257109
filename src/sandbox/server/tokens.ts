import { formatTime } from '../../base/clock.ts'
import type { Json, JsonObject } from '../../base/json.ts'
import { arrayOf, asText, at, objectOf } from './json.ts'
import { wrong } from './rules/causes.ts'
import { forbidden, invalid } from './status.ts'
import type { Store } from './store.ts'
import type { ApiObject, Resource } from './types.ts'

const shortestSeconds = 600
const usualSeconds = 3600

/** POST serviceaccounts/token. Whoever has the token is whom it names: there is nothing to sign in a sandbox. */
export function issueToken(account: ApiObject, body: Json | undefined, now: number): JsonObject {
  const spec = objectOf(at(body, 'spec'))
  const seconds = Number(spec['expirationSeconds'] ?? usualSeconds)
  if (seconds < shortestSeconds)
    throw invalid({ group: 'authentication.k8s.io', plural: 'tokenrequests', kind: 'TokenRequest' }, '', [
      wrong('spec.expirationSeconds', seconds, 'may not specify a duration less than 10 minutes'),
    ])
  const { name, namespace = '', uid } = account.metadata
  return {
    kind: 'TokenRequest',
    apiVersion: 'authentication.k8s.io/v1',
    metadata: { name, namespace, uid, creationTimestamp: formatTime(now) },
    spec: { audiences: ['https://kubernetes.default.svc'], expirationSeconds: seconds, boundObjectRef: null, ...spec },
    status: { token: `system:serviceaccount:${namespace}:${name}`, expirationTimestamp: formatTime(now + seconds * 1000) },
  }
}

const tokenPath = '/var/run/secrets/kubernetes.io/serviceaccount'

/** What admission does for a pod's service account: it must exist, and its token is mounted unless pod or account say no. */
export function withAccount(store: Store, pods: Resource, pod: JsonObject, suffix: () => string): JsonObject {
  const { name, namespace = '' } = objectOf(pod['metadata']) as { name: string; namespace?: string }
  const spec = objectOf(pod['spec'])
  const accountName = asText(spec['serviceAccountName'] ?? spec['serviceAccount']) || 'default'
  const account = store.get('serviceaccounts', namespace, accountName)
  if (account === undefined)
    throw forbidden(pods, name, `error looking up service account ${namespace}/${accountName}: serviceaccount "${accountName}" not found`)
  if ((spec['automountServiceAccountToken'] ?? account['automountServiceAccountToken']) === false) return pod
  const volume = `kube-api-access-${suffix()}`
  let mounted = false
  const withMount = (container: Json): Json => {
    const mounts = arrayOf(objectOf(container)['volumeMounts'])
    if (mounts.some((mount) => objectOf(mount)['mountPath'] === tokenPath)) return container
    mounted = true
    return { ...objectOf(container), volumeMounts: [...mounts, { name: volume, readOnly: true, mountPath: tokenPath }] }
  }
  const containers = arrayOf(spec['containers']).map(withMount)
  const init = spec['initContainers'] === undefined ? {} : { initContainers: arrayOf(spec['initContainers']).map(withMount) }
  if (!mounted) return pod
  return { ...pod, spec: { ...spec, ...init, containers, volumes: [...arrayOf(spec['volumes']), { name: volume, ...projected }] } }
}

const projected: JsonObject = {
  projected: {
    sources: [
      { serviceAccountToken: { expirationSeconds: 3607, path: 'token' } },
      { configMap: { items: [{ key: 'ca.crt', path: 'ca.crt' }], name: 'kube-root-ca.crt' } },
      { downwardAPI: { items: [{ fieldRef: { apiVersion: 'v1', fieldPath: 'metadata.namespace' }, path: 'namespace' }] } },
    ],
    defaultMode: 420,
  },
}
