/** How fast the machine is just now, in the kind of work that a start is made of: loading Node, and reading and parsing a list of nodes. */
import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fatNode } from './fat-nodes.ts'
import type { Shipped } from './shipped.ts'

/** What the yardstick takes where limits of CPU time stand as they are written, in milliseconds: the least seen on the machine they were set on. */
export const YARDSTICK_MS = 150

const PROGRAM = `
import { createReadStream } from 'node:fs'
import 'node:https'
const chunks = []
for await (const chunk of createReadStream(process.argv[1])) chunks.push(chunk)
const kept = JSON.parse(Buffer.concat(chunks).toString('utf8')).items.map(({ metadata, status }) => ({ metadata, status }))
const { user, system } = process.cpuUsage()
console.log(JSON.stringify({ nodes: kept.length, cpuMs: (user + system) / 1000 }))
`

export interface Yardstick {
  /** CPU time of a bare Node, with the controller's flags, that reads a thousand nodes; in milliseconds. */
  measure(): number
}

/** `folder`: for the list that is read. */
export function yardstick({ flags, env }: Pick<Shipped, 'flags' | 'env'>, folder: string, nodes = 1_000): Yardstick {
  const file = join(folder, 'nodes.json')
  const node = fatNode({ kind: 'Node', metadata: { name: 'agent-1', uid: 'uid-1', labels: {} }, spec: {}, status: {} })
  writeFileSync(file, JSON.stringify({ items: Array.from({ length: nodes }, () => node) }))
  return {
    measure() {
      const args = [...flags, '--input-type=module', '-e', PROGRAM, file]
      const said = execFileSync(process.execPath, args, {
        encoding: 'utf8',
        timeout: 60_000,
        env: { PATH: process.env['PATH'] ?? '', ...env },
      })
      const read = JSON.parse(said) as { nodes: number; cpuMs: number }
      if (read.nodes !== nodes) throw new Error(`the yardstick read ${read.nodes} nodes of ${nodes}`)
      return read.cpuMs
    },
  }
}

/**
 * The limit on a machine that takes `yardstickMs` for the yardstick. A shared machine is slower by a quarter or more for minutes on end, which
 * says nothing of the program; a fast one makes no limit narrower.
 */
export function limitNow(limitMs: number, yardstickMs: number): number {
  return limitMs * Math.max(1, yardstickMs / YARDSTICK_MS)
}
