/**
 * The path of a Kubernetes API request with its names replaced, so that it can be a metric's label:
 * `/api/v1/namespaces/a/pods/b/eviction` → `/api/v1/namespaces/{namespace}/pods/{name}/eviction`.
 * Paths that are no resources (`/version`, `/readyz`) keep their first two parts.
 */
export function pathTemplate(path: string): string {
  const parts = path.split('/').filter((part) => part !== '')
  const prefix = parts[0] === 'api' ? 2 : parts[0] === 'apis' ? 3 : undefined
  if (prefix === undefined) return `/${parts.slice(0, 2).join('/')}`
  const root = parts.slice(0, prefix)
  const rest = parts.slice(prefix)
  // `namespaces/a` alone is the Namespace itself; with more behind it, it is where that lives.
  const namespaced = rest[0] === 'namespaces' && rest.length > 2
  const resource = namespaced ? rest.slice(2) : rest
  const templated = resource.map((part, index) => (index === 1 ? '{name}' : part)).slice(0, 3)
  return `/${[...root, ...(namespaced ? ['namespaces', '{namespace}'] : []), ...templated].join('/')}`
}
