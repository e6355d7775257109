import { TransportError } from '../base/errors.ts'
import type { Outside } from '../base/process.ts'

/** Webhooks of the worlds, by how they answer. */
export const WEBHOOKS = {
  good: 'https://hooks.example.com/good',
  moody: 'https://hooks.example.com/moody',
  dead: 'https://hooks.example.com/dead',
  refusing: 'https://hooks.example.com/refusing',
} as const

/** `add` counts what was asked for. */
export function webhookServer(add: (name: string) => void): Outside['post'] {
  let asked = 0
  return async (url) => {
    asked += 1
    // Moody: lost, refused for now, taken, in turn.
    const lost = url === WEBHOOKS.dead || (url === WEBHOOKS.moody && asked % 3 === 1)
    add(lost ? 'webhook lost' : 'webhook answered')
    if (lost) throw new TransportError('ConnectionLost', 'the connection was reset')
    const status = url === WEBHOOKS.refusing ? 410 : url === WEBHOOKS.moody && asked % 3 === 2 ? 503 : 200
    return { status, statusLine: `HTTP/1.1 ${status} Answer`, headers: {}, body: '' }
  }
}
