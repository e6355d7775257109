import type { Json, JsonObject } from '../../../base/json.ts'
import { arrayOf, asText, equal, objectOf } from '../json.ts'
import { forbiddenField, notSupported } from '../query.ts'
import type { Cause } from '../status.ts'
import { required, wrong } from './causes.ts'

export function validatePodSpec(spec: JsonObject, field: string): readonly Cause[] {
  const causes: Cause[] = []
  const containers = arrayOf(spec['containers'])
  if (containers.length === 0) causes.push(required(`${field}.containers`))
  const names = new Set<string>()
  const volumes = new Set(arrayOf(spec['volumes']).map((volume) => objectOf(volume)['name']))
  causes.push(...validateVolumes(spec, field), ...validateTolerations(spec['tolerations'], `${field}.tolerations`))
  const deadline = spec['activeDeadlineSeconds']
  if (typeof deadline === 'number' && (deadline < 1 || deadline > 2_147_483_647))
    causes.push(wrong(`${field}.activeDeadlineSeconds`, deadline, 'must be between 1 and 2147483647, inclusive'))
  for (const list of ['initContainers', 'containers'] as const)
    arrayOf(spec[list]).forEach((each, index) => {
      const { name, image, volumeMounts } = objectOf(each)
      const where = `${field}.${list}[${index}]`
      if (typeof name !== 'string' || name === '') causes.push(required(`${where}.name`))
      else if (!label.test(name)) causes.push(wrong(`${where}.name`, name, 'a lowercase RFC 1123 label must be no more than 63 characters'))
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

function validateVolumes(spec: JsonObject, field: string): readonly Cause[] {
  const seen = new Set<string>()
  return arrayOf(spec['volumes']).flatMap((volume, index) => {
    const name = asText(objectOf(volume)['name'])
    const where = `${field}.volumes[${index}].name`
    if (name === '') return [required(where)]
    if (!label.test(name)) return [wrong(where, name, 'a lowercase RFC 1123 label must consist of lower case alphanumeric characters')]
    if (seen.has(name)) return [{ reason: 'FieldValueDuplicate', message: `Duplicate value: "${name}"`, field: where }]
    seen.add(name)
    return []
  })
}

function validateTolerations(tolerations: Json | undefined, field: string): readonly Cause[] {
  return arrayOf(tolerations).flatMap((toleration, index) => {
    const { key = '', operator = '', value = '', effect = '' } = objectOf(toleration)
    const where = `${field}[${index}]`
    const causes: Cause[] = []
    if (key === '' && operator !== 'Exists')
      causes.push(
        wrong(`${where}.operator`, operator, 'operator must be Exists when `key` is empty, which means "match all values and all keys"'),
      )
    else if (operator === 'Exists' && value !== '')
      causes.push(wrong(`${where}.operator`, value, "value must be empty when `operator` is 'Exists'"))
    else if (!['', 'Equal', 'Exists', 'Lt', 'Gt'].includes(asText(operator)))
      causes.push(notSupported(`${where}.operator`, operator, ['Equal', 'Exists']))
    if (!['', 'NoSchedule', 'PreferNoSchedule', 'NoExecute'].includes(asText(effect)))
      causes.push(notSupported(`${where}.effect`, effect, ['NoSchedule', 'PreferNoSchedule', 'NoExecute']))
    return causes
  })
}

const label = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/

const mutable = ['activeDeadlineSeconds', 'tolerations', 'terminationGracePeriodSeconds', 'schedulingGates', 'nodeName']

/** Of a pod's spec only images, deadlines and added tolerations may change. (The node comes through the binding.) */
export function validatePodUpdate(spec: JsonObject, old: JsonObject): readonly Cause[] {
  const kept = arrayOf(spec['tolerations']).map((each) => withoutSeconds(each))
  if (!arrayOf(old['tolerations']).every((each) => kept.some((other) => equal(other, withoutSeconds(each)))))
    return [forbiddenField('spec.tolerations', 'existing toleration can not be modified except its tolerationSeconds')]
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

const withoutSeconds = (toleration: Json): Json => ({ ...objectOf(toleration), tolerationSeconds: undefined }) as JsonObject

function frozenPart(spec: JsonObject): JsonObject {
  const rest: Record<string, JsonObject[string]> = {}
  for (const [key, value] of Object.entries(spec)) {
    if (mutable.includes(key)) continue
    rest[key] = key === 'containers' || key === 'initContainers' ? arrayOf(value).map((each) => ({ ...objectOf(each), image: '' })) : value
  }
  return rest
}
