/** kured's DaemonSet as the API server has it. */
import { expect, test } from '@jest/globals'
import type { Client } from '../../src/kube/client/client.ts'
import { readKured } from '../../src/controller/kured-lock.ts'

const daemonSet = (container: object) => ({
  metadata: { uid: 'u', resourceVersion: '3', annotations: { 'weave.works/kured-node-lock': '{}' } },
  spec: { template: { spec: { containers: [{ name: 'kured', ...container }] } } },
})
const read = (object: object) => readKured({ get: () => Promise.resolve(object) } as unknown as Client)

test.each([
  [{}, 1],
  [{ command: ['/usr/bin/kured', '--concurrency=3'] }, 3],
  [{ args: ['--concurrency', '2', '--period=1m'] }, 2],
  [{ env: [{ name: 'KURED_CONCURRENCY', value: '4' }] }, 4],
  [{ args: ['--concurrency=0'] }, 1],
  [{ args: ['--concurrency=many'] }, 1],
])('as many nodes at once as its flag says: %j', async (container, owners) => {
  expect(await read(daemonSet(container))).toEqual({ uid: 'u', resourceVersion: '3', lock: '{}', owners })
})
