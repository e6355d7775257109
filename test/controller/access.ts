/** Requests and permissions as the API server's authorizer compares them. */
import type { Request } from '../../src/base/process.ts'
import type { Permission, Verb } from '../../src/controller/permissions.ts'

/** What a request asks for. */
export interface Access {
  readonly verb: Verb
  readonly group: string
  readonly resource: string
  readonly namespace?: string
  readonly name?: string
}

/** The access that a request needs; undefined when it is about no resource (`/version`). */
export function accessOf(request: Pick<Request, 'method' | 'path' | 'query'>): Access | undefined {
  const parts = request.path.split('/').filter((part) => part !== '')
  const core = parts[0] === 'api'
  if (!core && parts[0] !== 'apis') return undefined
  const group = core ? '' : (parts[1] ?? '')
  const rest = parts.slice(core ? 2 : 3)
  const namespaced = rest[0] === 'namespaces' && rest.length > 2
  const [plural, name, subresource] = namespaced ? rest.slice(2) : rest
  if (plural === undefined) return undefined
  return {
    verb: verbOf(request, name),
    group,
    resource: subresource === undefined ? plural : `${plural}/${subresource}`,
    ...(namespaced ? { namespace: rest[1] ?? '' } : {}),
    ...(name === undefined ? {} : { name }),
  }
}

function verbOf(request: Pick<Request, 'method' | 'query'>, name: string | undefined): Verb {
  switch (request.method) {
    case 'GET':
      if (request.query?.['watch'] === 'true' || request.query?.['watch'] === '1') return 'watch'
      return name === undefined ? 'list' : 'get'
    case 'POST':
      return 'create'
    case 'PUT':
      return 'update'
    case 'PATCH':
      return 'patch'
    case 'DELETE':
      return 'delete'
  }
}

/** Whether the permissions cover an access. */
export function permits(permissions: readonly Permission[], access: Access): boolean {
  return permissions.some(
    (permission) =>
      permission.group === access.group &&
      permission.resource === access.resource &&
      permission.verbs.includes(access.verb) &&
      (permission.namespace === undefined || permission.namespace === access.namespace) &&
      (permission.names === undefined || (access.name !== undefined && permission.names.includes(access.name))),
  )
}
