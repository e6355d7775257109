/** CPU time of the bundled controller from its start to its first reconcile. */
import type { Figure } from './figure.ts'
import type { Shipped } from './shipped.ts'
import { watchedCluster } from './watched-cluster.ts'

export interface StartBench {
  readonly nodes: number
  /** What the least of them took is what a start costs: a busy machine only ever adds to it. */
  readonly starts: number
  /** In milliseconds. Undefined = for information only. */
  readonly limitMs?: number
}

export async function* measureStart(shipped: Shipped, { nodes, starts, limitMs }: StartBench): AsyncGenerator<Figure> {
  const took: number[] = []
  for (let i = 0; i < starts; i++) {
    // Each on a cluster of its own: a Plan whose status is right already would get no write.
    const cluster = await watchedCluster(shipped, nodes)
    try {
      took.push((await cluster.start()).cpuMs)
    } finally {
      await cluster.stop()
    }
  }
  const name = `start to first reconcile, ${nodes} nodes`
  yield {
    name: `${name}, least of ${starts}`,
    measured: Math.min(...took),
    unit: ' ms CPU',
    ...(limitMs === undefined ? {} : { limit: limitMs }),
  }
  if (starts > 1) yield { name: `${name}, most of ${starts}`, measured: Math.max(...took), unit: ' ms CPU' }
}
