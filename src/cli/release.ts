/** `drover release`: gives back every slot and cordon that Drover holds, before it is uninstalled. */
import type { JsonObject } from '../base/json.ts'
import { release } from '../controller/release.ts'
import { isNotFound } from '../kube/client/api-error.ts'
import { createClient, type Client } from '../kube/client/client.ts'
import { CONNECTION_FLAGS, openSession } from './connect.ts'

const USAGE = `usage: drover release [--all] [--force] [options]

Uncordons the nodes that Drover cordoned, empties the slots it holds, removes its records and gives back kured's lock.
Stop the controller first (kubectl -n system-upgrade scale deployment drover --replicas=0): it would take nodes again.

  --all              also forget failures and rollout memories, and the records of upgrades that run (their Jobs go on)
  --force            go on although a controller holds the Lease
${CONNECTION_FLAGS}`

/** Exit code 0; 1 when something had to be left, or a controller still leads. */
export async function run(argv: readonly string[], signal: AbortSignal): Promise<number> {
  if (argv.includes('--help')) {
    process.stdout.write(USAGE)
    return 0
  }
  const session = await openSession(argv, ['all', 'force'])
  try {
    const { settings } = session
    const client = createClient(session.process, { signal })
    const holder = await leaseHolder(client, settings.namespace, settings.name)
    if (holder !== '' && session.flags['force'] !== true) {
      process.stderr.write(
        `drover: ${holder} holds the Lease ${settings.namespace}/${settings.name}; stop the controller first, or use --force\n`,
      )
      return 1
    }
    const { done, left } = await release(client, {
      namespace: settings.namespace,
      controllerName: settings.name,
      all: session.flags['all'] === true,
    })
    for (const text of done) process.stdout.write(`${text}\n`)
    for (const text of left) process.stderr.write(`left: ${text}\n`)
    if (done.length === 0 && left.length === 0) process.stdout.write('nothing was held\n')
    return left.length === 0 ? 0 : 1
  } finally {
    session.close()
  }
}

/** Name in the Lease; empty when it was given back, as a controller does when it is stopped. */
async function leaseHolder(client: Client, namespace: string, name: string): Promise<string> {
  try {
    const lease = await client.get<JsonObject & { spec?: { holderIdentity?: string } }>(
      `/apis/coordination.k8s.io/v1/namespaces/${namespace}/leases/${name}`,
    )
    return lease.spec?.holderIdentity ?? ''
  } catch (error) {
    if (isNotFound(error)) return ''
    throw error
  }
}
