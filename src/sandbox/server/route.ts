import type { Registry } from './registry.ts'
import type { Resource } from './types.ts'

export type Route =
  | {
      readonly kind: 'object'
      readonly resource: Resource
      readonly namespace: string | undefined
      readonly name: string | undefined
      readonly subresource: string | undefined
    }
  | { readonly kind: 'other'; readonly path: string }

/** Reads `/api/v1/…` and `/apis/<group>/<version>/…`. */
export function route(registry: Registry, path: string): Route {
  const other: Route = { kind: 'other', path }
  const parts = path
    .split('/')
    .filter((part) => part !== '')
    .map(decodeURIComponent)
  const [root, ...rest] = parts
  const group = root === 'apis' ? rest.shift() : root === 'api' ? '' : undefined
  const version = rest.shift()
  if (group === undefined || version === undefined || rest.length === 0) return other

  // /namespaces/X/finalize is of the namespace itself, as /namespaces/X and /namespaces/X/status are.
  const [first, second, third, fourth, fifth] = rest
  if (first === 'namespaces' && second !== undefined && third !== undefined && third !== 'status' && third !== 'finalize') {
    const resource = registry.find(group, version, third)
    if (resource === undefined || !resource.namespaced) return other
    return { kind: 'object', resource, namespace: second, name: fourth, subresource: fifth }
  }
  const resource = registry.find(group, version, first ?? '')
  if (resource === undefined) return other
  return { kind: 'object', resource, namespace: undefined, name: second, subresource: third }
}
