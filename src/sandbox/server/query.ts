import { required } from './rules/causes.ts'
import type { Cause } from './status.ts'
import { invalid } from './status.ts'

type Query = Readonly<Record<string, string>>

const longestManager = 128

function refuse(kind: string, causes: readonly Cause[]): void {
  if (causes.length > 0) throw invalid({ group: 'meta.k8s.io', plural: kind, kind }, '', causes)
}

export function notSupported(field: string, value: unknown, supported: readonly string[]): Cause {
  const list = supported.map((each) => `"${each}"`).join(', ')
  return { reason: 'FieldValueNotSupported', message: `Unsupported value: ${JSON.stringify(value)}: supported values: ${list}`, field }
}

export function forbiddenField(field: string, why: string): Cause {
  return { reason: 'FieldValueForbidden', message: `Forbidden: ${why}`, field }
}

/** Throws when the options of a write make no sense. */
export function checkWriteOptions(
  kind: 'CreateOptions' | 'UpdateOptions' | 'PatchOptions' | 'DeleteOptions',
  query: Query,
  apply: boolean,
): void {
  const causes: Cause[] = []
  const { dryRun, fieldManager = '', fieldValidation = '', force } = query
  if (apply && fieldManager === '') causes.push(required('fieldManager', 'is required for apply patch'))
  if (kind === 'PatchOptions' && !apply && force !== undefined)
    causes.push(forbiddenField('force', 'may not be specified for non-apply patch'))
  if (fieldManager.length > longestManager)
    causes.push({ reason: 'FieldValueTooLong', message: `Too long: may not be more than ${longestManager} bytes`, field: 'fieldManager' })
  if (dryRun !== undefined && dryRun !== 'All') causes.push(notSupported('dryRun', [dryRun], ['All']))
  if (!['', 'Ignore', 'Strict', 'Warn'].includes(fieldValidation))
    causes.push(notSupported('fieldValidation', fieldValidation, ['', 'Ignore', 'Strict', 'Warn']))
  refuse(kind, causes)
}

/** Throws when a list asks for its moment in a way that makes no sense. */
export function checkListOptions(query: Query): void {
  const { resourceVersionMatch: match = '', resourceVersion = '', continue: token = '' } = query
  const causes: Cause[] = []
  const field = 'resourceVersionMatch'
  if (match !== '') {
    if (resourceVersion === '') causes.push(forbiddenField(field, 'resourceVersionMatch is forbidden unless resourceVersion is provided'))
    if (token !== '') causes.push(forbiddenField(field, 'resourceVersionMatch is forbidden when continue is provided'))
    if (match !== 'Exact' && match !== 'NotOlderThan') causes.push(notSupported(field, match, ['Exact', 'NotOlderThan', '']))
    if (match === 'Exact' && resourceVersion === '0')
      causes.push(forbiddenField(field, 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'))
  }
  refuse('ListOptions', causes)
}

/** Throws when a watch asks for its beginning in a way that makes no sense. */
export function checkWatchOptions(query: Query): void {
  const { resourceVersionMatch: match = '', sendInitialEvents } = query
  const causes: Cause[] = []
  const field = 'resourceVersionMatch'
  if (sendInitialEvents === undefined && match !== '')
    causes.push(forbiddenField(field, 'resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided'))
  if (sendInitialEvents !== undefined && match !== 'NotOlderThan') {
    causes.push(forbiddenField(field, 'sendInitialEvents requires setting resourceVersionMatch to NotOlderThan'))
    if (match !== '') causes.push(notSupported(field, match, ['NotOlderThan']))
  }
  refuse('ListOptions', causes)
}
