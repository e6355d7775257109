/**
 * Nodes as heavy as real ones. The sandbox's machines report no images, and a real Node is mostly those: up to 50 with digests, 14–20 KB in all.
 * They are added where the API server answers, so that its own memory stays small.
 */
import type { Json, JsonObject } from '../src/base/json.ts'
import type { Transport } from '../src/base/process.ts'
import type { ApiServer } from '../src/sandbox/server/server.ts'

/** What a kubelet reports at most by default (nodeStatusMaxImages). */
const IMAGES = 50

/** The server with heavy Nodes for those users that `heavy` names; others see what is stored. */
export function withFatNodes(server: ApiServer, heavy: (user: string) => boolean): ApiServer {
  return { ...server, as: (user, options) => (heavy(user) ? fatTransport(server.as(user, options)) : server.as(user, options)) }
}

function fatTransport(inner: Transport): Transport {
  return {
    async send(request, signal) {
      const response = await inner.send(request, signal)
      return { ...response, body: fatten(response.body) }
    },
    async watch(request, signal) {
      const response = await inner.watch(request, signal)
      return { ...response, events: fatEvents(response.events) }
    },
  }
}

async function* fatEvents(events: AsyncIterable<Json>): AsyncGenerator<Json> {
  for await (const event of events) {
    const { type, object } = event as { type?: string; object?: Json }
    yield type === undefined || object === undefined ? event : { type, object: fatten(object) }
  }
}

function fatten(body: Json): Json {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) return body
  const object = body as JsonObject
  if (object['kind'] === 'NodeList') return { ...object, items: (object['items'] as readonly JsonObject[]).map(fatNode) }
  return object['kind'] === 'Node' ? fatNode(object) : object
}

/** Bookmarks are Nodes without a name. */
export function fatNode(node: JsonObject): JsonObject {
  const { name, annotations, ...metadata } = node['metadata'] as JsonObject
  if (typeof name !== 'string' || name === '') return node
  const more = {
    'flannel.alpha.coreos.com/backend-data': '{"VNI":1,"VtepMAC":"3a:7f:10:22:9b:41"}',
    'flannel.alpha.coreos.com/backend-type': 'vxlan',
    'flannel.alpha.coreos.com/kube-subnet-manager': 'true',
    'rke2.io/node-args': JSON.stringify([
      'agent',
      '--server',
      'https://10.0.0.1:9345',
      '--token',
      '********',
      '--kubelet-arg',
      'max-pods=250',
    ]),
    'rke2.io/node-config-hash': `${digest(`${name} config`)}====`,
    'rke2.io/node-env': '{}',
    'volumes.kubernetes.io/controller-managed-attach-detach': 'true',
  }
  return {
    ...node,
    metadata: { ...metadata, name, annotations: { ...(annotations as JsonObject | undefined), ...more } },
    status: { ...(node['status'] as JsonObject), images: imagesOf(name) },
  }
}

function imagesOf(node: string): Json {
  return Array.from({ length: IMAGES }, (_, i) => {
    const name = `docker.io/rancher/mirrored-component-${i % 17}-part-${i}`
    return {
      names: [`${name}@sha256:${digest(`${node} ${i}`)}`, `${name}:v1.${i}.${node.length}-build20250612`],
      sizeBytes: 10_000_000 + i * 1_234_567,
    }
  })
}

/** 64 hexadecimal digits that depend on the text; of no cryptographic worth. */
function digest(text: string): string {
  let state = 0x811c9dc5
  for (const char of text) state = Math.imul(state ^ char.charCodeAt(0), 0x01000193)
  let hex = ''
  while (hex.length < 64) {
    state = Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9
    hex += (state >>> 0).toString(16).padStart(8, '0')
  }
  return hex
}
