import type { JsonObject } from '../base/json.ts'
import type { Request, Transport } from '../base/process.ts'

/** While `split()` holds, what is said about Leases is said about others of the same name with a suffix: whoever asks through this leads, too. */
export function splitBrain(transport: Transport, suffix: string, split: () => boolean): Transport {
  const turn = (request: Request): Request => {
    if (!split() || !request.path.startsWith('/apis/coordination.k8s.io/')) return request
    const path = request.path.replace(/\/leases\/([^/]+)$/, `/leases/$1${suffix}`)
    const body = request.body as { readonly metadata?: { readonly name?: string } } | undefined
    if (body?.metadata?.name === undefined) return { ...request, path }
    return { ...request, path, body: { ...body, metadata: { ...body.metadata, name: body.metadata.name + suffix } } as JsonObject }
  }
  return {
    send: (request, signal) => transport.send(turn(request), signal),
    watch: (request, signal) => transport.watch(turn(request), signal),
  }
}
