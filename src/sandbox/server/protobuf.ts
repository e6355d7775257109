import type { Json, JsonObject } from '../../base/json.ts'

// `kubectl create namespace|secret|configmap|serviceaccount` and `kubectl auth can-i` send protobuf and nothing else. This reads those few types,
// by the field numbers of k8s.io/api's generated.proto; everything else in protobuf is refused with 415.

export const protobufType = 'application/vnd.kubernetes.protobuf'

type Field = { readonly name: string } & (
  | { readonly kind: 'string' | 'bool' | 'int' }
  | { readonly kind: 'map'; readonly bytes?: true }
  | { readonly kind: 'message'; readonly of: Message }
)
type Message = Readonly<Record<number, Field>>

const text = (name: string): Field => ({ name, kind: 'string' })
const metadata: Message = {
  1: text('name'),
  2: text('generateName'),
  3: text('namespace'),
  11: { name: 'labels', kind: 'map' },
  12: { name: 'annotations', kind: 'map' },
}
const meta: Field = { name: 'metadata', kind: 'message', of: metadata }
const asked: Message = {
  1: text('namespace'),
  2: text('verb'),
  3: text('group'),
  4: text('version'),
  5: text('resource'),
  6: text('subresource'),
  7: text('name'),
}
const review: Message = {
  1: { name: 'resourceAttributes', kind: 'message', of: asked },
  2: { name: 'nonResourceAttributes', kind: 'message', of: { 1: text('path'), 2: text('verb') } },
}

const messages: Readonly<Record<string, Message>> = {
  'v1/Namespace': { 1: meta },
  'v1/ServiceAccount': { 1: meta },
  'v1/ConfigMap': {
    1: meta,
    2: { name: 'data', kind: 'map' },
    3: { name: 'binaryData', kind: 'map', bytes: true },
    4: { name: 'immutable', kind: 'bool' },
  },
  'v1/Secret': {
    1: meta,
    2: { name: 'data', kind: 'map', bytes: true },
    3: text('type'),
    4: { name: 'stringData', kind: 'map' },
    5: { name: 'immutable', kind: 'bool' },
  },
  'authorization.k8s.io/v1/SelfSubjectAccessReview': { 1: meta, 2: { name: 'spec', kind: 'message', of: review } },
  // kubectl's delete options: grace, preconditions, propagation, dry run.
  'v1/DeleteOptions': deleteOptions(),
  'meta.k8s.io/v1/DeleteOptions': deleteOptions(),
  'policy/v1/Eviction': { 1: meta, 2: { name: 'deleteOptions', kind: 'message', of: deleteOptions() } },
}

function deleteOptions(): Message {
  return {
    1: { name: 'gracePeriodSeconds', kind: 'int' },
    2: { name: 'preconditions', kind: 'message', of: { 1: text('uid'), 2: text('resourceVersion') } },
    4: text('propagationPolicy'),
    5: text('dryRun'),
  }
}

/** The object in a Kubernetes protobuf envelope; undefined when it is of a type that is not read. */
export function decodeProtobuf(body: Buffer): Json | undefined {
  if (body.subarray(0, 4).toString('latin1') !== 'k8s\0') return undefined
  let apiVersion = ''
  let kind = ''
  let raw: Buffer = Buffer.alloc(0)
  for (const [field, value] of fields(body.subarray(4))) {
    if (field === 1 && typeof value !== 'number')
      for (const [inner, name] of fields(value)) {
        if (inner === 1) apiVersion = String(name)
        if (inner === 2) kind = String(name)
      }
    if (field === 2 && typeof value !== 'number') raw = value
  }
  const message = messages[`${apiVersion}/${kind}`]
  return message === undefined ? undefined : { kind, apiVersion, ...decode(raw, message) }
}

function decode(body: Buffer, message: Message): JsonObject {
  const result: Record<string, Json> = {}
  for (const [number, value] of fields(body)) {
    const field = message[number]
    if (field === undefined) continue
    if (typeof value === 'number') {
      if (field.kind === 'bool') result[field.name] = value !== 0
      if (field.kind === 'int') result[field.name] = value
    } else if (field.kind === 'message') result[field.name] = decode(value, field.of)
    else if (field.kind === 'map')
      result[field.name] = { ...(result[field.name] as JsonObject | undefined), ...entry(value, field.bytes === true) }
    else if (field.name === 'dryRun') result[field.name] = [...((result[field.name] as string[] | undefined) ?? []), value.toString('utf8')]
    else if (value.length > 0) result[field.name] = value.toString('utf8')
  }
  return result
}

function entry(body: Buffer, bytes: boolean): JsonObject {
  let key = ''
  let value = ''
  for (const [number, part] of fields(body)) {
    if (typeof part === 'number') continue
    if (number === 1) key = part.toString('utf8')
    if (number === 2) value = part.toString(bytes ? 'base64' : 'utf8')
  }
  return { [key]: value }
}

/** The fields of a message: numbers as numbers, everything with a length as bytes. */
function* fields(body: Buffer): Generator<readonly [number, number | Buffer]> {
  let at = 0
  const varint = (): number => {
    let value = 0n
    for (let shift = 0n; ; shift += 7n) {
      const byte = body[at++]
      if (byte === undefined || shift > 63n) throw new RangeError('the protobuf message ends early')
      value |= BigInt(byte & 0x7f) << shift
      if (byte < 0x80) return Number(BigInt.asIntN(64, value))
    }
  }
  while (at < body.length) {
    const tag = varint()
    const wire = tag & 7
    if (wire === 0) yield [tag >>> 3, varint()]
    else if (wire === 2) {
      const length = varint()
      if (length < 0 || at + length > body.length) throw new RangeError('the protobuf message ends early')
      yield [tag >>> 3, body.subarray(at, at + length)]
      at += length
    } else if (wire === 1 || wire === 5) at += wire === 1 ? 8 : 4
    else throw new RangeError(`the protobuf message has a field of unknown wire type ${wire}`)
  }
}
