/** What Kubernetes accepts as label keys and values, with the sentences its API server answers (they reach conditions and events). */

const NAME = '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]'
const SUBDOMAIN = '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*'
const NAME_PATTERN = new RegExp(`^(?:${NAME})$`)
const VALUE_PATTERN = new RegExp(`^(?:(${NAME})?)$`)
const SUBDOMAIN_PATTERN = new RegExp(`^(?:${SUBDOMAIN})$`)
const NAME_RULE = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"

/** Faults of a label or annotation key, `[]` if there are none. */
export function validateLabelKey(key: string): string[] {
  const parts = key.split('/')
  if (parts.length > 2) {
    return [
      `a qualified name ${NAME_RULE} (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '${NAME}') with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')`,
    ]
  }
  const [prefix, name] = parts.length === 2 ? [parts[0], parts[1] ?? ''] : [undefined, parts[0] ?? '']
  const faults = prefix === undefined ? [] : prefixFaults(prefix)
  if (name === '') faults.push('name part must be non-empty')
  else if (byteLength(name) > 63) faults.push('name part must be no more than 63 bytes')
  if (!NAME_PATTERN.test(name)) {
    faults.push(`name part ${NAME_RULE} (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '${NAME}')`)
  }
  return faults
}

/** Faults of a label value, `[]` if there are none. */
export function validateLabelValue(value: string): string[] {
  const faults: string[] = []
  if (byteLength(value) > 63) faults.push('must be no more than 63 bytes')
  if (!VALUE_PATTERN.test(value)) {
    faults.push(
      `a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(${NAME})?')`,
    )
  }
  return faults
}

function prefixFaults(prefix: string): string[] {
  if (prefix === '') return ['prefix part must be non-empty']
  const faults: string[] = []
  if (byteLength(prefix) > 253) faults.push('prefix part must be no more than 253 bytes')
  if (!SUBDOMAIN_PATTERN.test(prefix)) {
    faults.push(
      `prefix part a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '${SUBDOMAIN}')`,
    )
  }
  return faults
}

function byteLength(text: string): number {
  return Buffer.byteLength(text, 'utf8')
}
