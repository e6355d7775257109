import type { Log } from '../../base/log.ts'
import type { Client } from '../client.ts'
import { startAccounts } from './accounts.ts'
import { startNamespaces, startPodGarbageCollector } from './cleanup.ts'
import { startDisruption } from './disruption.ts'
import { startJobController, startTtlController } from './job-controller.ts'
import { startGarbageCollector } from './garbage-collector.ts'
import { type NodeLifecycleOptions, startNodeLifecycle } from './node-lifecycle.ts'
import { startScheduler } from './scheduler.ts'
import { startDaemonSets, startDeployments, startReplicaSets } from './workloads.ts'
import { createWorld, type World } from './world.ts'

/** Starts scheduler and controllers; resolves when they have seen the cluster. They end with the client's signal. */
export async function startControllers(client: Client, scheduler: Client, log: Log, options: NodeLifecycleOptions = {}): Promise<World> {
  const world = createWorld(client, log)
  startAccounts(world)
  startScheduler(world, scheduler)
  startJobController(world)
  startTtlController(world)
  startDeployments(world)
  startReplicaSets(world)
  startDaemonSets(world)
  startDisruption(world)
  startNodeLifecycle(world, options)
  startPodGarbageCollector(world)
  startGarbageCollector(world)
  startNamespaces(world)
  await world.start()
  return world
}
