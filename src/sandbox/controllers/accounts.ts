import type { ConfigMap, ServiceAccount } from 'kubernetes-types/core/v1.d.ts'
import { CONFIG_MAPS, type Kind, type Meta, SERVICE_ACCOUNTS } from '../kinds.ts'
import { watchCache } from '../watch-cache.ts'
import type { World } from './world.ts'

const ROOT_CA = 'kube-root-ca.crt'

/** Every namespace has the service account `default` and the cluster's certificate to trust; one that is deleted is made again. */
export function startAccounts(world: World): void {
  keepInEveryNamespace<ServiceAccount>(world, SERVICE_ACCOUNTS, 'default', {})
  // There is no TLS in the sandbox, so nobody reads the certificate.
  keepInEveryNamespace<ConfigMap>(world, CONFIG_MAPS, ROOT_CA, { data: { 'ca.crt': '' } })
}

function keepInEveryNamespace<T extends Meta>(world: World, kind: Kind, name: string, content: object): void {
  const { client, namespaces } = world
  const there = watchCache<T>(client, kind, { fieldSelector: `metadata.name=${name}` })
  const queue = world.queue(`every namespace's ${kind.kind}`, async (namespace) => {
    const home = namespaces.get(namespace)
    if (home === undefined || home.metadata.deletionTimestamp !== undefined || there.get(`${namespace}/${name}`) !== undefined)
      return undefined
    const answer = await client.create<Meta>(kind, { metadata: { name, namespace }, ...content })
    if (!answer.ok && answer.status !== 409 && answer.status !== 403 && answer.status !== 404) throw new Error(answer.message)
    return undefined
  })
  namespaces.onChange(({ after }) => {
    if (after !== undefined) queue.add(after.metadata.name)
  })
  there.onChange(({ before, after }) => {
    if (after === undefined) queue.add(before?.metadata.namespace ?? '')
  })
  there.start()
}
