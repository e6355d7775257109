import type { Node, Pod } from 'kubernetes-types/core/v1.d.ts'
import { type Client, createClient } from '../client.ts'
import { controllerOf, DAEMON_SETS, NODES, PODS, type Stored } from '../kinds.ts'
import { pause } from '../timers.ts'
import type { Program, ProgramIo } from './program.ts'

/** `cordon`, `uncordon` and `drain` as kubectl does them through the API, with its exit codes. */
export const kubectlProgram: Program = async (_pod, _machine, io) => {
  const words = io.args[0] === 'kubectl' ? io.args.slice(1) : io.args
  const { verb, names, flags } = parse(words)
  const name = names[0]
  if (verb === '' || verb === 'version') return 0
  if (name === undefined || !['cordon', 'uncordon', 'drain'].includes(verb)) {
    io.log(`error: unknown command ${JSON.stringify(words.join(' '))}`)
    return 1
  }
  const client = createClient(io.api, io.clock, io.random, io.killed)
  const node = await client.get<Node>(NODES, undefined, name)
  if (node === undefined) {
    io.log(`Error from server (NotFound): nodes "${name}" not found`)
    return 1
  }
  const unschedulable = verb !== 'uncordon'
  if ((node.spec?.unschedulable ?? false) === unschedulable) io.log(`node/${name} already ${unschedulable ? 'cordoned' : 'uncordoned'}`)
  else {
    const answer = await client.patch(
      NODES,
      undefined,
      name,
      { spec: { unschedulable: unschedulable ? true : null } },
      { type: 'strategic' },
    )
    if (!answer.ok) {
      io.log(`error: unable to ${verb} node "${name}": ${answer.message}`)
      return 1
    }
    io.log(`node/${name} ${unschedulable ? 'cordoned' : 'uncordoned'}`)
  }
  return verb === 'drain' ? drain(client, name, flags, io) : 0
}

interface Command {
  readonly verb: string
  readonly names: readonly string[]
  readonly flags: ReadonlyMap<string, string>
}

/** Flags of kubectl drain that stand alone. */
const SWITCHES = new Set(['ignore-daemonsets', 'delete-emptydir-data', 'delete-local-data', 'force', 'disable-eviction'])

function parse(words: readonly string[]): Command {
  const flags = new Map<string, string>()
  const rest: string[] = []
  for (let i = 0; i < words.length; i++) {
    const word = words[i] ?? ''
    if (!word.startsWith('--')) {
      rest.push(word)
      continue
    }
    const [name = '', value] = [word.slice(2).split('=')[0], word.includes('=') ? word.slice(word.indexOf('=') + 1) : undefined]
    if (value !== undefined) flags.set(name, value)
    else if (SWITCHES.has(name)) flags.set(name, 'true')
    else flags.set(name, words[++i] ?? '')
  }
  return { verb: rest[0] ?? '', names: rest.slice(1), flags }
}

async function drain(client: Client, name: string, flags: ReadonlyMap<string, string>, io: ProgramIo): Promise<number> {
  const { clock } = io
  const timeoutMs = durationMs(flags.get('timeout') ?? '0s')
  const deadline = timeoutMs === 0 ? Number.POSITIVE_INFINITY : clock.mono() + timeoutMs
  const selector = flags.get('pod-selector')
  const { items } = await client.list<Pod>(PODS, undefined, {
    fieldSelector: `spec.nodeName=${name}`,
    ...(selector === undefined ? {} : { labelSelector: selector }),
  })
  const doomed: Stored<Pod>[] = []
  const errors: string[] = []
  for (const pod of items) {
    const verdict = await judge(client, pod, flags, io)
    if (verdict === 'delete') doomed.push(pod)
    else if (verdict !== 'skip') errors.push(`${verdict}: ${pod.metadata.namespace ?? ''}/${pod.metadata.name}`)
  }
  if (errors.length > 0) {
    io.log(`error: unable to drain node "${name}" due to error: ${errors.join(', ')}, continuing command...`)
    return 1
  }
  const outcomes = await Promise.all(doomed.map((pod) => evict(client, pod, flags, deadline, io)))
  const failed = outcomes.filter((outcome) => outcome !== undefined)
  if (failed.length > 0) {
    io.log(`error: unable to drain node "${name}" due to error: ${failed.join(', ')}, continuing command...`)
    return 1
  }
  io.log(`node/${name} drained`)
  return 0
}

/** kubectl's pod filters, in its order: the first that does not say delete decides. */
async function judge(client: Client, pod: Stored<Pod>, flags: ReadonlyMap<string, string>, io: ProgramIo): Promise<string> {
  const on = (flag: string): boolean => flags.get(flag) === 'true'
  const over = pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed'
  if (waitedLongEnough(pod, flags, io)) return 'skip'
  const owner = controllerOf(pod)
  if (owner?.kind === 'DaemonSet' && !over) {
    const exists = (await client.get(DAEMON_SETS, pod.metadata.namespace, owner.name)) !== undefined
    if (exists && on('ignore-daemonsets')) return 'skip'
    if (exists) return 'cannot delete DaemonSet-managed Pods (use --ignore-daemonsets to ignore)'
    if (!on('force')) return `daemonsets.apps "${owner.name}" not found`
  }
  if (pod.metadata.annotations?.['kubernetes.io/config.mirror'] !== undefined) return 'skip'
  const local = pod.spec?.volumes?.some(({ emptyDir }) => emptyDir !== undefined) ?? false
  if (local && !over && !on('delete-emptydir-data') && !on('delete-local-data'))
    return 'cannot delete Pods with local storage (use --delete-emptydir-data to override)'
  if (owner === undefined && !over && !on('force')) return 'cannot delete Pods that declare no controller (use --force to override)'
  return 'delete'
}

/** --skip-wait-for-delete-timeout: the pod has been on its way out for longer than that. */
function waitedLongEnough(pod: Stored<Pod>, flags: ReadonlyMap<string, string>, io: ProgramIo): boolean {
  const seconds = Number(flags.get('skip-wait-for-delete-timeout') ?? 0)
  const since = pod.metadata.deletionTimestamp
  return seconds > 0 && since !== undefined && io.clock.wall() - Date.parse(since) > seconds * 1000
}

/** Evicts, or deletes, and waits until the pod is gone. Returns what went wrong. */
async function evict(
  client: Client,
  pod: Stored<Pod>,
  flags: ReadonlyMap<string, string>,
  deadline: number,
  io: ProgramIo,
): Promise<string | undefined> {
  const { name, namespace, uid } = pod.metadata
  const where = `${namespace ?? ''}/${name}`
  const grace = Number(flags.get('grace-period') ?? -1)
  const options = grace >= 0 ? { gracePeriodSeconds: grace } : {}
  const late = (): string => `error when waiting for pod "${where}" terminating: global timeout reached: ${flags.get('timeout') ?? ''}`
  for (;;) {
    if (io.killed.aborted) return 'interrupted'
    const status =
      flags.get('disable-eviction') === 'true'
        ? await client.delete(PODS, namespace, name, grace >= 0 ? { graceSeconds: grace } : {})
        : await sendEviction(client, pod, options)
    if (status === 404) break
    if (status < 300) {
      io.log(`evicting pod ${where}`)
      break
    }
    if (status !== 429) return `error when evicting pods/"${name}" -n "${namespace ?? ''}": ${status}`
    io.log(
      `error when evicting pods/"${name}" -n "${namespace ?? ''}" (will retry after 5s): Cannot evict pod as it would violate the pod's disruption budget.`,
    )
    if (io.clock.mono() + 5000 > deadline) {
      await pause(io.clock, deadline - io.clock.mono(), io.killed)
      return late()
    }
    if (!(await pause(io.clock, 5000, io.killed))) return 'interrupted'
  }
  for (;;) {
    const now = await client.get<Pod>(PODS, namespace, name)
    if (now === undefined || now.metadata.uid !== uid || waitedLongEnough(now, flags, io)) {
      io.log(`pod/${name} evicted`)
      return undefined
    }
    if (io.clock.mono() >= deadline) return late()
    if (!(await pause(io.clock, 1000, io.killed))) return 'interrupted'
  }
}

/** Past the client's own patience with 429, which here means a budget in the way. */
async function sendEviction(client: Client, pod: Stored<Pod>, deleteOptions: object): Promise<number> {
  const { name, namespace } = pod.metadata
  const body = {
    apiVersion: 'policy/v1',
    kind: 'Eviction',
    metadata: { name, namespace: namespace ?? '' },
    ...(Object.keys(deleteOptions).length === 0 ? {} : { deleteOptions: { ...deleteOptions } }),
  }
  const { status } = await client.transport.send(
    { method: 'POST', path: `/api/v1/namespaces/${namespace ?? ''}/pods/${name}/eviction`, body },
    client.signal,
  )
  return status
}

/** Go's duration text, e.g. `1m30s`; a bare number counts as nothing, as kubectl would refuse it. */
function durationMs(text: string): number {
  const units: Readonly<Record<string, number>> = { ns: 1e-6, us: 1e-3, µs: 1e-3, ms: 1, s: 1000, m: 60_000, h: 3_600_000 }
  let sum = 0
  for (const [, value = '', unit = ''] of text.matchAll(/(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)/g)) sum += Number(value) * (units[unit] ?? 0)
  return sum
}
