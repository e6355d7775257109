/** How the cases of each file are replayed: strict mode, through the functions that the controller uses. */
import type { Secret } from 'kubernetes-types/core/v1.d.ts'
import { decodePlan } from '../../src/api/decode-plan.ts'
import type { Plan, TimeWindowSpec } from '../../src/api/plan.ts'
import { type Json, type JsonObject, parseJson, stringifyJson } from '../../src/base/json.ts'
import { parseSettings } from '../../src/controller/settings.ts'
import { latestHash } from '../../src/rollout/latest-hash.ts'
import { safeNameBytes } from '../../src/rollout/names.ts'
import { sucJob } from '../../src/rollout/suc-job.ts'
import { type Instant, isInside, parseWindow } from '../../src/rollout/window.ts'
import { type Case, type Replay, listAt, objectAt, textAt } from './case.ts'
import { replayChannel } from './replay-channel.ts'
import { replaySelectNodes } from './replay-select.ts'
import { replayLabels, replaySync, replayValidate } from './replay-controller.ts'

/** By the file's name without `.jsonl`. */
export const REPLAYS: Readonly<Record<string, Replay>> = {
  'latest-hash': unlessUndecodable(replayHash),
  job: unlessUndecodable(replayJob),
  name: replayName,
  'select-nodes': unlessUndecodable(replaySelectNodes),
  window: replayWindow,
  channel: replayChannel,
  validate: unlessUndecodable(replayValidate),
  sync: unlessUndecodable(replaySync),
  'post-complete-labels': unlessUndecodable(replayLabels),
}

/**
 * `decodeError`: SUC's types refuse the object, and with it every Plan of the namespace; the text is Go's. Drover reads what only these types are too
 * narrow for, and of anything else names the field that is wrong, so that this Plan alone stands still.
 */
function unlessUndecodable(replay: Replay): Replay {
  return (vector) => {
    const cause = vector.expect['decodeError']
    if (cause === undefined) return replay(vector)
    const decoded = decodePlan(vector.input['plan'] ?? null)
    if (decoded.ok) return vector.expect
    const tooNarrow = textAt(cause).endsWith('of type int32')
    return tooNarrow || !/^(?:metadata|spec|status)\b/.test(decoded.error) ? { error: decoded.error } : vector.expect
  }
}

function replayHash({ input }: Case): Json {
  const plan = planOf(input['plan'])
  const secrets = new Map(listAt(input['secrets']).map((secret) => [metadataOf(secret).name, secret as unknown as Secret]))
  const made = latestHash({ plan, latestVersion: plan.status.latestVersion, secrets })
  if (!made.ok) return { error: made.error, hash: plan.status.latestHash }
  return {
    hash: made.hash,
    ...(made.digestParts.length > 0 ? { digestParts: made.digestParts } : {}),
    ...(made.secretHashes.length > 0 ? { secretHashes: made.secretHashes } : {}),
  }
}

function replayJob({ input }: Case): Json {
  const plan = planOf(input['plan'])
  const { name, labels } = metadataOf(input['node'])
  const env = Object.entries(objectAt(input['settings'] ?? {}, 'settings')).map(([key, value]) => [key, textAt(value)])
  const required = {
    SYSTEM_UPGRADE_CONTROLLER_NAME: textAt(input['controllerName']),
    SYSTEM_UPGRADE_CONTROLLER_NAMESPACE: plan.metadata.namespace,
  }
  const { settings } = parseSettings({ ...Object.fromEntries(env), ...required }, [])
  const { latestVersion, latestHash: hash } = plan.status
  const made = sucJob({ plan, latestVersion, latestHash: hash, node: { name, labels }, settings })
  return made.ok ? { job: onWire(made.job) } : { error: made.error }
}

function replayName({ input }: Case): Json {
  const bytes = safeNameBytes(...listAt(input['parts']).map(textAt))
  try {
    return { name: new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes) }
  } catch {
    return { hex: Buffer.from(bytes).toString('hex') }
  }
}

function replayWindow({ input }: Case): Json {
  const parsed = parseWindow(input['window'] as unknown as TimeWindowSpec)
  const inside = listAt(input['instants']).map((text) => parsed.ok && isInside(parsed.window, instantOf(textAt(text))))
  return { inside, ...(parsed.ok ? {} : { error: parsed.error }) }
}

/** RFC 3339 to the nanosecond. */
function instantOf(text: string): Instant {
  const match = /^(.*:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)$/.exec(text)
  const second = Date.parse(`${match?.[1]}${match?.[3]}`)
  if (Number.isNaN(second)) throw new Error(`${text} is no instant`)
  const ns = Number((match?.[2] ?? '0').padEnd(9, '0'))
  return { ms: second + Math.floor(ns / 1_000_000), ns: ns % 1_000_000 }
}

function planOf(raw: Json | undefined): Plan {
  const decoded = decodePlan(raw ?? null)
  if (!decoded.ok) throw new Error(`the Plan does not decode: ${decoded.error}`)
  return decoded.plan
}

function metadataOf(object: Json | undefined): { name: string; uid: string; labels: Readonly<Record<string, string>> } {
  const metadata = objectAt(objectAt(object, 'an object')['metadata'], 'metadata')
  const labels = objectAt(metadata['labels'] ?? {}, 'labels') as Readonly<Record<string, string>>
  return { name: textAt(metadata['name']), uid: textAt(metadata['uid']), labels }
}

/** As it is sent: what is undefined is not there. */
function onWire(object: object): JsonObject {
  return objectAt(parseJson(stringifyJson(object as JsonObject)), 'the object')
}
