import type { ApplyObject } from '../sandbox/standard-cluster.ts'

export const BATCH = 'registry.example.org/batch'
/** On every pod of a batch Job. */
export const BATCH_LABELS = { batch: 'true' }

/** Eight pods at a time, each of which comes to its own end within minutes; others follow for about as long as the chaos lasts. */
export function batchJob(name: string): ApplyObject {
  const object = {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: { name, namespace: 'default' },
    spec: {
      parallelism: 8,
      completions: 64,
      backoffLimit: 1000,
      template: {
        metadata: { labels: BATCH_LABELS },
        spec: { restartPolicy: 'Never', terminationGracePeriodSeconds: 5, containers: [{ name: 'batch', image: `${BATCH}:1` }] },
      },
    },
  }
  return object
}
