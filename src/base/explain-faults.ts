import type * as z from 'zod'

/** At most this many faults are named. */
const MAX_FAULTS = 5

/** One line that names each field that cannot be read. `root`: where the checked value stands in the object. */
export function explain(error: z.ZodError, root = ''): string {
  const faults = error.issues.map(({ path, message }) => `${pathText(root === '' ? path : [root, ...path])}: ${message}`)
  const more = faults.length - MAX_FAULTS
  return more > 0 ? `${faults.slice(0, MAX_FAULTS).join(', ')} and ${more} more` : faults.join(', ')
}

function pathText(path: readonly PropertyKey[]): string {
  const text = path.map((part) => (typeof part === 'number' ? `[${part}]` : `.${String(part)}`)).join('')
  return text === '' ? 'the object' : text.replace(/^\./, '')
}
