/** What runs on the nodes of a scenario, made by the cluster's own controllers. */

/** No program is known for it, so it runs until it is told to end. */
export const IMAGE = 'registry.example.com/web'

export interface PodOptions {
  readonly image?: string
  /** Default 30. */
  readonly graceSeconds?: number
}

/** `replicas` pods `app: web`, one a node where there are enough nodes. */
export function deployment(scenario: string, replicas: number, options: PodOptions = {}, name = 'web'): object {
  const spread = {
    maxSkew: 1,
    topologyKey: 'kubernetes.io/hostname',
    whenUnsatisfiable: 'ScheduleAnyway',
    labelSelector: { matchLabels: { app: name } },
  }
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name },
    spec: { replicas, ...pods(name, scenario, options, { topologySpreadConstraints: [spread] }) },
  }
}

export function statefulSet(scenario: string, replicas: number, options: PodOptions = {}, name = 'db'): object {
  return {
    apiVersion: 'apps/v1',
    kind: 'StatefulSet',
    metadata: { name },
    spec: { replicas, serviceName: name, podManagementPolicy: 'Parallel', ...pods(name, scenario, options) },
  }
}

export function daemonSet(scenario: string, options: PodOptions = {}, name = 'agent'): object {
  return { apiVersion: 'apps/v1', kind: 'DaemonSet', metadata: { name }, spec: pods(name, scenario, options) }
}

/** A PodDisruptionBudget that lets no pod of `app` go. */
export const neverDisrupt = (app = 'web', name = app): object => budget(app, { maxUnavailable: 0 }, name)

export function budget(app: string, limit: object, name = app): object {
  return {
    apiVersion: 'policy/v1',
    kind: 'PodDisruptionBudget',
    metadata: { name },
    spec: { ...limit, selector: { matchLabels: { app } } },
  }
}

function pods(app: string, scenario: string, { image = IMAGE, graceSeconds = 30 }: PodOptions, more: object = {}): object {
  return {
    selector: { matchLabels: { app } },
    template: {
      metadata: { labels: { app } },
      spec: {
        nodeSelector: { scenario },
        terminationGracePeriodSeconds: graceSeconds,
        containers: [{ name: app, image }],
        ...more,
      },
    },
  }
}
