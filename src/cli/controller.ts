/** `drover` without a command: the controller, wired to a cluster. */
import { randomUUID } from 'node:crypto'
import { hostname } from 'node:os'
import { systemClock } from '../base/clock.ts'
import { pinoLog } from '../base/pino-log.ts'
import type { Process } from '../base/process.ts'
import { newHealth, runController } from '../controller/run.ts'
import { parseSettings } from '../controller/settings.ts'
import { connect } from '../kube/client/config.ts'
import { inClusterAccess } from '../kube/client/in-cluster.ts'
import { createOutside } from '../kube/client/outside.ts'
import { prometheusMetrics } from '../observability/prometheus.ts'
import { serveObservability } from '../observability/server.ts'

/** Runs until the signal aborts. Exit code 0 after a clean stop. */
export async function run(argv: readonly string[], signal: AbortSignal): Promise<number> {
  const { env } = process
  const { settings, warnings } = parseSettings(env, argv, inClusterAccess(env, systemClock)?.namespace)
  const log = pinoLog({ debug: settings.debug })
  for (const warning of warnings) log.warn('setting refused, its default is used', { warning })
  const clock = systemClock
  const metrics = prometheusMetrics()
  const { transport, server } = await connect({
    clock,
    log,
    env,
    kubeConfig: settings.kubeConfig,
    masterURL: settings.masterURL,
    observe: ({ verb, template, code }) => metrics.requested(verb, template, code),
  })
  const own: Process = {
    // As client-go names those who elect: one host may run several.
    name: `${hostname()}_${randomUUID()}`,
    clock,
    random: Math.random,
    transport,
    outside: createOutside({ clock, log, env }),
    log,
  }
  const health = newHealth(own)
  const { metricsAddress } = settings
  const { registry } = metrics
  const exposition = { contentType: registry.contentType, metrics: () => registry.metrics() }
  const observability = metricsAddress === '' ? undefined : await serveObservability(metricsAddress, health, exposition)
  log.info('controller starts', {
    server,
    namespace: settings.namespace,
    name: settings.name,
    compatibility: settings.compatibility,
    metrics: metricsAddress,
  })
  try {
    await runController(own, settings, signal, { metrics, health })
  } finally {
    await observability?.close()
    transport.close()
  }
  log.info('controller stopped')
  return 0
}
