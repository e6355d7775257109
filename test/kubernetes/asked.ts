/** What each user has asked of the API server, as its audit log tells it while it grows. */
import { closeSync, openSync, readSync } from 'node:fs'

export interface Asked {
  readonly allowed: boolean
  readonly verb: string
  readonly group: string
  /** `pods`, or `pods/log`. */
  readonly resource: string
  readonly name: string
  readonly namespace: string
}

interface Line {
  readonly verb: string
  readonly user: { readonly username?: string }
  readonly objectRef?: {
    readonly resource?: string
    readonly subresource?: string
    readonly apiGroup?: string
    readonly namespace?: string
    readonly name?: string
  }
  readonly annotations?: Readonly<Record<string, string>>
}

const CHUNK = 1 << 20

/** Reads on from where the last call stopped, and answers with all that the user ever asked for, each once. */
export function followAudit(file: string): (user: string) => readonly Asked[] {
  const users = new Map<string, Map<string, Asked>>()
  const buffer = Buffer.alloc(CHUNK)
  let at = 0
  let rest: Buffer = Buffer.alloc(0)

  function take(text: string): void {
    const { verb, user, objectRef, annotations } = JSON.parse(text) as Line
    if (objectRef?.resource === undefined) return
    const { resource, subresource, apiGroup = '', namespace = '', name = '' } = objectRef
    const asked: Asked = {
      allowed: annotations?.['authorization.k8s.io/decision'] === 'allow',
      verb,
      group: apiGroup,
      resource: subresource === undefined ? resource : `${resource}/${subresource}`,
      name,
      namespace,
    }
    const own = users.get(user.username ?? '') ?? new Map<string, Asked>()
    users.set(user.username ?? '', own.set(JSON.stringify(asked), asked))
  }

  return (user) => {
    const open = openSync(file, 'r')
    try {
      for (let read = readSync(open, buffer, 0, CHUNK, at); read > 0; read = readSync(open, buffer, 0, CHUNK, at)) {
        at += read
        const text = Buffer.concat([rest, buffer.subarray(0, read)])
        const end = text.lastIndexOf('\n') + 1
        rest = text.subarray(end)
        for (const line of text.toString('utf8', 0, end).split('\n')) if (line !== '') take(line)
      }
    } finally {
      closeSync(open)
    }
    return [...(users.get(user)?.values() ?? [])]
  }
}
