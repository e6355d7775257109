/** CPU time of the bundled controller from its start to its first reconcile. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Figure } from './figure.ts'
import type { Shipped } from './shipped.ts'
import { watchedCluster } from './watched-cluster.ts'
import { limitNow, YARDSTICK_MS, yardstick } from './yardstick.ts'

export interface StartBench {
  readonly nodes: number
  /** What the least of them took is what a start costs: a busy machine only ever adds to it. */
  readonly starts: number
  /** In milliseconds, on a machine as fast as the one it was set on. Undefined = for information only. */
  readonly limitMs?: number
}

export async function* measureStart(shipped: Shipped, { nodes, starts, limitMs }: StartBench): AsyncGenerator<Figure> {
  const folder = mkdtempSync(join(tmpdir(), 'drover-yardstick-'))
  const took: number[] = []
  const yardsticks: number[] = []
  try {
    const bare = limitMs === undefined ? undefined : yardstick(shipped, folder)
    const measureMachine = () => bare && yardsticks.push(bare.measure())
    for (let i = 0; i < starts; i++) {
      // Each on a cluster of its own: a Plan whose status is right already would get no write.
      const cluster = await watchedCluster(shipped, nodes)
      try {
        measureMachine()
        took.push((await cluster.start()).cpuMs)
        measureMachine()
      } finally {
        await cluster.stop()
      }
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
  const name = `start to first reconcile, ${nodes} nodes`
  const bound = limitMs === undefined ? undefined : { limit: limitNow(limitMs, Math.min(...yardsticks)) }
  if (bound !== undefined) {
    yield {
      name: `yardstick: a bare Node that reads 1000 nodes (${limitMs} ms is for one of ${YARDSTICK_MS})`,
      measured: Math.min(...yardsticks),
      unit: ' ms CPU',
    }
  }
  yield { name: `${name}, least of ${starts}`, measured: Math.min(...took), unit: ' ms CPU', ...bound }
  if (starts > 1) yield { name: `${name}, most of ${starts}`, measured: Math.max(...took), unit: ' ms CPU' }
}
