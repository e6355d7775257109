import type { HistoryWrite } from './checkers/fact.ts'

/** One line a write: number, virtual time, who, what, where, and what changed. Leases, and writes that change nothing, are left out. */
export function traceWrite(write: HistoryWrite): string | undefined {
  const { ref } = write
  if (ref.resource === 'leases') return undefined
  if (ref.resource === 'events')
    return `${String(write.n).padStart(6)} ${clock(write.mono)} ${write.user} event ${eventText(write.after ?? write.body)} → ${write.status}`
  const object = `${ref.resource}${ref.subresource === undefined ? '' : `/${ref.subresource}`} ${ref.namespace === undefined ? '' : `${ref.namespace}/`}${ref.name ?? ''}`
  const changes = differences(write.before, write.after)
  if (write.status < 300 && write.before !== undefined && write.after !== undefined && changes.length === 0) return undefined
  const status = `${write.status}${write.dryRun ? ' dry run' : ''}`
  return `${String(write.n).padStart(6)} ${clock(write.mono)} ${write.user} ${write.verb} ${object} → ${status} ${changes.join(' ')}`
}

export function clock(mono: number): string {
  const seconds = mono / 1000
  return `${String(Math.floor(seconds / 3600)).padStart(2, '0')}:${String(Math.floor(seconds / 60) % 60).padStart(2, '0')}:${(seconds % 60).toFixed(3).padStart(6, '0')}`
}

function eventText(event: unknown): string {
  const seen = event as {
    reason?: string
    message?: string
    note?: string
    regarding?: { name?: string }
    involvedObject?: { name?: string }
  }
  return `${(seen.regarding ?? seen.involvedObject)?.name ?? ''} ${seen.reason}: ${seen.message ?? seen.note}`
}

const NOISE = /^(metadata\.(resourceVersion|managedFields|generation|creationTimestamp|uid)|status\.conditions\.\d+\.last\w+Time)/

/** `path=value` of every leaf that differs, at most a dozen, long values cut. */
function differences(before: unknown, after: unknown): readonly string[] {
  if (before === undefined || after === undefined) return []
  const found: string[] = []
  walk(before, after, '', found)
  return found.slice(0, 12)
}

function walk(before: unknown, after: unknown, path: string, found: string[]): void {
  if (before === after || NOISE.test(path)) return
  if (typeof before === 'object' && typeof after === 'object' && before !== null && after !== null) {
    for (const key of new Set([...Object.keys(before), ...Object.keys(after)])) {
      walk((before as Record<string, unknown>)[key], (after as Record<string, unknown>)[key], path === '' ? key : `${path}.${key}`, found)
    }
    return
  }
  const text = JSON.stringify(after) ?? '(gone)'
  found.push(`${path}=${text.length > 400 ? `${text.slice(0, 400)}…` : text}`)
}
