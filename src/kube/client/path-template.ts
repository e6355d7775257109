/** The path with its names taken out, so that it can label a metric: `/api/v1/namespaces/{namespace}/pods/{name}/log`. */
export function pathTemplate(path: string): string {
  const parts = path.split('/').filter((part) => part !== '')
  const versionEnd = parts[0] === 'api' ? 2 : parts[0] === 'apis' ? 3 : parts.length
  const rest = parts.slice(versionEnd)
  const scoped = rest[0] === 'namespaces' && rest.length > 2
  const head = scoped ? ['namespaces', '{namespace}'] : []
  const tail = rest.slice(head.length).map((part, index) => (index === 1 ? '{name}' : part))
  return `/${[...parts.slice(0, versionEnd), ...head, ...tail].join('/')}`
}
