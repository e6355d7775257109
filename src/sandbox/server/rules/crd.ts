import type { JsonObject } from '../../../base/json.ts'
import { arrayOf, asText, isObject, objectOf } from '../json.ts'
import { CelError, compile } from '../cel.ts'
import type { Cause } from '../status.ts'
import { immutable, required, wrong } from './causes.ts'

/** What the real server refuses of a CustomResourceDefinition, as far as a hand-written one is likely to get it wrong. */
export function validateCrd(object: JsonObject, old: JsonObject | undefined): readonly Cause[] {
  const causes: Cause[] = []
  const spec = objectOf(object['spec'])
  const names = objectOf(spec['names'])
  const name = objectOf(object['metadata'])['name']
  for (const field of ['plural', 'kind'] as const)
    if (typeof names[field] !== 'string' || names[field] === '') causes.push(required(`spec.names.${field}`))
  if (typeof spec['group'] !== 'string' || spec['group'] === '') causes.push(required('spec.group'))
  if (causes.length === 0 && name !== `${asText(names['plural'])}.${asText(spec['group'])}`)
    causes.push(wrong('metadata.name', name, 'must be spec.names.plural+"."+spec.group'))
  if (spec['scope'] !== 'Namespaced' && spec['scope'] !== 'Cluster')
    causes.push({
      reason: 'FieldValueNotSupported',
      message: `Unsupported value: "${asText(spec['scope'])}": supported values: "Cluster", "Namespaced"`,
      field: 'spec.scope',
    })
  if (old !== undefined)
    for (const field of ['scope', 'group'] as const)
      if (spec[field] !== objectOf(old['spec'])[field]) causes.push(immutable(`spec.${field}`, spec[field]))
  const versions = arrayOf(spec['versions']).map(objectOf)
  if (versions.filter((version) => version['storage'] === true).length !== 1)
    causes.push(
      wrong('spec.versions', spec['versions'], 'must have exactly one version marked as storage version'),
      wrong('status.storedVersions', null, 'must have at least one stored version'),
    )
  versions.forEach((version, index) => {
    const field = `spec.versions[${index}].schema.openAPIV3Schema`
    const schema = objectOf(version['schema'])['openAPIV3Schema']
    if (!isObject(schema)) causes.push(required(field, 'schemas are required'))
    // Of a single version the server speaks as it did before there were several.
    else causes.push(...validateStructure(schema, versions.length === 1 ? 'spec.validation.openAPIV3Schema' : field, true))
  })
  return causes
}

/** Structural schema: every place has a type, unless it is an int-or-string or keeps what it does not know. */
function validateStructure(schema: JsonObject, field: string, root: boolean): readonly Cause[] {
  const causes: Cause[] = []
  const free = schema['x-kubernetes-int-or-string'] === true || schema['x-kubernetes-preserve-unknown-fields'] === true
  if (root && schema['type'] !== 'object') causes.push(wrong(`${field}.type`, schema['type'], 'must be object at the root'))
  if (schema['properties'] !== undefined && schema['additionalProperties'] !== undefined)
    causes.push({
      reason: 'FieldValueForbidden',
      message: 'Forbidden: additionalProperties and properties are mutual exclusive',
      field: `${field}.additionalProperties`,
    })
  for (const [key, child] of Object.entries(objectOf(schema['properties'])))
    causes.push(...validateStructure(objectOf(child), `${field}.properties[${key}]`, false))
  if (schema['type'] === 'array' && !isObject(schema['items'])) causes.push(required(`${field}.items`, 'must be specified'))
  if (isObject(schema['items'])) causes.push(...validateStructure(schema['items'], `${field}.items`, false))
  if (isObject(schema['additionalProperties']))
    causes.push(...validateStructure(schema['additionalProperties'], `${field}.additionalProperties`, false))
  if (typeof schema['type'] !== 'string' && !free) causes.push(required(`${field}.type`, 'must not be empty for specified object fields'))
  arrayOf(schema['x-kubernetes-validations']).forEach((each, index) => {
    try {
      compile(asText(objectOf(each)['rule']))
    } catch (error) {
      if (!(error instanceof CelError)) throw error
      causes.push(wrong(`${field}.x-kubernetes-validations[${index}].rule`, each, `compilation failed: ${error.message}`))
    }
  })
  return causes
}
