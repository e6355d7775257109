import type { JsonObject } from '../../../base/json.ts'
import { arrayOf, asText, equal, objectOf } from '../json.ts'
import type { Cause } from '../status.ts'
import { required, wrong } from './causes.ts'

export function validatePodSpec(spec: JsonObject, field: string): readonly Cause[] {
  const causes: Cause[] = []
  const containers = arrayOf(spec['containers'])
  if (containers.length === 0) causes.push(required(`${field}.containers`))
  const names = new Set<string>()
  const volumes = new Set(arrayOf(spec['volumes']).map((volume) => objectOf(volume)['name']))
  for (const list of ['initContainers', 'containers'] as const)
    arrayOf(spec[list]).forEach((each, index) => {
      const { name, image, volumeMounts } = objectOf(each)
      const where = `${field}.${list}[${index}]`
      if (typeof name !== 'string' || name === '') causes.push(required(`${where}.name`))
      else if (!/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/.test(name))
        causes.push(wrong(`${where}.name`, name, 'a lowercase RFC 1123 label must be no more than 63 characters'))
      else if (names.has(name))
        causes.push({ reason: 'FieldValueDuplicate', message: `Duplicate value: "${name}"`, field: `${where}.name` })
      names.add(asText(name))
      if (typeof image !== 'string' || image === '') causes.push(required(`${where}.image`))
      arrayOf(volumeMounts).forEach((mount, at) => {
        const volume = objectOf(mount)['name']
        if (!volumes.has(volume))
          causes.push({
            reason: 'FieldValueNotFound',
            message: `Not found: "${asText(volume)}"`,
            field: `${where}.volumeMounts[${at}].name`,
          })
      })
    })
  if (!['Always', 'OnFailure', 'Never'].includes(asText(spec['restartPolicy'])))
    causes.push({
      reason: 'FieldValueNotSupported',
      message: `Unsupported value: "${asText(spec['restartPolicy'])}": supported values: "Always", "OnFailure", "Never"`,
      field: `${field}.restartPolicy`,
    })
  return causes
}

const mutable = ['activeDeadlineSeconds', 'tolerations', 'terminationGracePeriodSeconds', 'schedulingGates', 'nodeName']

/** Of a pod's spec only images, deadlines and added tolerations may change. (The node comes through the binding.) */
export function validatePodUpdate(spec: JsonObject, old: JsonObject): readonly Cause[] {
  if (equal(frozenPart(spec), frozenPart(old)) && (spec['nodeName'] === old['nodeName'] || old['nodeName'] === undefined)) return []
  return [
    {
      reason: 'FieldValueForbidden',
      message:
        'Forbidden: pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)',
      field: 'spec',
    },
  ]
}

function frozenPart(spec: JsonObject): JsonObject {
  const rest: Record<string, JsonObject[string]> = {}
  for (const [key, value] of Object.entries(spec)) {
    if (mutable.includes(key)) continue
    rest[key] = key === 'containers' || key === 'initContainers' ? arrayOf(value).map((each) => ({ ...objectOf(each), image: '' })) : value
  }
  return rest
}
