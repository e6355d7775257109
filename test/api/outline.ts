export type Tree = { [key: string]: unknown }

/** `path: kinds of value`, one for each field, sorted. Integers stand for themselves and for bigints; null is left out. */
export function outline(node: Tree, path: string): string[] {
  const lines: string[] = []
  const kinds = new Set<string>()
  const visit = (schema: Tree): void => {
    for (const alternative of (schema['anyOf'] ?? []) as Tree[]) visit(alternative)
    for (const type of [schema['type']].flat()) if (typeof type === 'string' && type !== 'null') kinds.add(type)
    for (const [name, member] of Object.entries((schema['properties'] ?? {}) as Tree))
      lines.push(...outline(member as Tree, `${path}.${name}`))
    if (schema['items'] !== undefined) lines.push(...outline(schema['items'] as Tree, `${path}[]`))
    const values = schema['additionalProperties']
    if (typeof values === 'object' && values !== null) lines.push(...outline(values as Tree, `${path}{}`))
  }
  visit(node)
  return [...new Set([`${path}: ${[...kinds].sort().join('|')}`, ...lines])].sort()
}

/** Paths of the fields without a description. */
export function bareFields(schema: Tree, path = ''): string[] {
  return Object.entries((schema['properties'] ?? {}) as Tree).flatMap(([name, member]) => {
    const field = member as Tree
    const at = `${path}.${name}`
    const bare = typeof field['description'] !== 'string' && name !== 'metadata' ? [at] : []
    return [...bare, ...bareFields(field, at), ...(field['items'] === undefined ? [] : bareFields(field['items'] as Tree, `${at}[]`))]
  })
}
