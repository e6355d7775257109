import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding } from 'kubernetes-types/rbac/v1.d.ts'
import { parseAllDocuments } from 'yaml'

export interface Manifest {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: { readonly name: string; readonly namespace?: string }
}

/** Every object of the YAML files in a folder, its kustomization aside. */
export function manifestsOf(folder: string): readonly Manifest[] {
  return readdirSync(folder)
    .filter((name) => name.endsWith('.yaml') && name !== 'kustomization.yaml')
    .flatMap((name) => parseManifests(readFileSync(join(folder, name), 'utf8'), name))
}

export function parseManifests(text: string, source: string): readonly Manifest[] {
  return parseAllDocuments(text, { strict: true, uniqueKeys: true }).map((document) => {
    const problem = document.errors[0] ?? document.warnings[0]
    if (problem !== undefined) throw new Error(`${source}: ${problem.message}`)
    return document.toJS() as Manifest
  })
}

export function only<T>(objects: readonly Manifest[], kind: string, name?: string): T {
  const found = objects.filter((object) => object.kind === kind && (name === undefined || object.metadata.name === name))
  if (found.length !== 1) throw new Error(`${found.length} objects of kind ${kind} ${name ?? ''}`)
  return found[0] as T
}

/** All that the bindings grant to a service account, one line for each verb: `verb group/resource name @namespace`. */
export function grants(objects: readonly Manifest[], account: string): readonly string[] {
  const lines: string[] = []
  for (const object of objects) {
    if (object.kind !== 'ClusterRoleBinding' && object.kind !== 'RoleBinding') continue
    const binding = object as ClusterRoleBinding | RoleBinding
    if (
      !binding.subjects?.some(
        (subject) => subject.kind === 'ServiceAccount' && subject.name === account && subject.namespace === 'system-upgrade',
      )
    )
      continue
    const namespace = object.kind === 'RoleBinding' ? object.metadata.namespace : undefined
    const role = objects.find(
      (candidate) =>
        candidate.kind === binding.roleRef.kind &&
        candidate.metadata.name === binding.roleRef.name &&
        (candidate.kind === 'ClusterRole' || candidate.metadata.namespace === namespace),
    ) as ClusterRole | Role | undefined
    if (role === undefined) throw new Error(`${object.metadata.name} binds a role that does not exist`)
    for (const rule of role.rules ?? []) lines.push(...linesOf(rule, namespace))
  }
  return lines.toSorted()
}

function linesOf(rule: PolicyRule, namespace: string | undefined): string[] {
  const lines: string[] = []
  for (const group of rule.apiGroups ?? [])
    for (const resource of rule.resources ?? [])
      for (const name of rule.resourceNames ?? [undefined])
        for (const verb of rule.verbs) lines.push(grantLine(verb, group, resource, name, namespace))
  return lines
}

export function grantLine(verb: string, group: string, resource: string, name?: string, namespace?: string): string {
  return `${verb} ${group}/${resource}${name === undefined ? '' : ` ${name}`}${namespace === undefined ? '' : ` @${namespace}`}`
}
