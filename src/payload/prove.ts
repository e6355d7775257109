/** Did the service come back, of the new file, and does it stay? */
import { findServices } from './find.ts'
import type { Host } from './host.ts'
import { identityOf, listProcesses } from './processes.ts'
import { childrenOf } from './restart.ts'
import { runsFile } from './running.ts'

export interface ProofOptions {
  readonly binary: string
  /** The process that must not be the one: pid/start. */
  readonly before: string | undefined
  /** It must live, and its kubelet answer, so long. Milliseconds. */
  readonly stableMs: number
  readonly timeoutMs: number
  /** So many processes that end before they are stable, over `downMs` or longer, are proof enough of the contrary. 0: only time is. */
  readonly maxCrashes: number
  /**
   * No process of the service seen for so long: nothing starts it, or it ends at once, again and again. Milliseconds. Crashes have that time, too:
   * systemd starts RKE2 every 5 s, others at once, and a service on a busy machine may need several starts.
   */
  readonly downMs: number
}

export interface Proof {
  readonly ok: boolean
  /** What was missing at the end. */
  readonly missing: string
  /** When the old process was seen to be gone, milliseconds since the epoch: whatever was written since, the new program wrote. */
  readonly goneAt: number | undefined
}

/** A program that ends at once should be seen most times. */
const POLL_MS = 200
const KUBELET_PORT = 10250
const HEALTH = ['http://127.0.0.1:10248/healthz', 'http://[::1]:10248/healthz']

export async function prove(host: Host, options: ProofOptions, say: (text: string) => void, signal: AbortSignal): Promise<Proof> {
  const { clock } = host
  const deadline = clock.mono() + options.timeoutMs
  const known = new Map<string, boolean>()
  let goneAt: number | undefined
  let down: number | undefined
  let firstAt: number | undefined
  let crashes = 0
  let last = ''
  let stable: { readonly who: string; readonly since: number } | undefined
  for (;;) {
    const look = await lookAt(host, options, known)
    if (goneAt === undefined && !look.old) goneAt = clock.wall()
    down = look.who === '' ? (down ?? clock.mono()) : undefined
    if (look.missing !== last && look.missing !== '') say(look.missing)
    last = look.missing
    // Service and kubelet: a service that restarts its kubelet over and over is not stable.
    if (look.missing !== '') stable = undefined
    else if (stable?.who !== look.who) stable = { who: look.who, since: clock.mono() }
    if (stable !== undefined && clock.mono() - stable.since >= options.stableMs) return { ok: true, missing: '', goneAt }
    const ended = known.size - (known.has(look.who.split(' ')[0] ?? '') ? 1 : 0)
    if (known.size > 0) firstAt ??= clock.mono()
    // Judged when it ends, not while it may yet stay.
    if (ended > crashes && options.maxCrashes > 0 && ended >= options.maxCrashes && clock.mono() - (firstAt ?? 0) >= options.downMs) {
      return { ok: false, missing: `it ended ${ended} times soon after its start`, goneAt }
    }
    crashes = ended
    if (down !== undefined && clock.mono() - down >= options.downMs) {
      return { ok: false, missing: `no process of the service was seen for ${options.downMs / 1000} s`, goneAt }
    }
    if (clock.mono() >= deadline) {
      const missing = last === '' ? `it was not stable for ${options.stableMs / 1000} s` : last
      return { ok: false, missing: `${missing}, ${options.timeoutMs / 1000} s after the restart`, goneAt }
    }
    await clock.sleep(POLL_MS, signal)
  }
}

interface Look {
  /** Still the process from before. */
  readonly old: boolean
  /** The service's process, and its kubelet's if there is one; empty when none runs. */
  readonly who: string
  /** Empty when all is there. */
  readonly missing: string
}

/** `known`: the new processes seen so far, and whether they run the file. */
async function lookAt(host: Host, { binary, before }: ProofOptions, known: Map<string, boolean>): Promise<Look> {
  const service = findServices(host).services.find((found) => found.binary === binary)
  if (service === undefined) return { old: false, who: '', missing: 'no process of the service runs' }
  const who = identityOf(service.main)
  const { pid } = service.main
  if (who === before) return { old: true, who, missing: `the old process ${pid} still runs` }
  if (known.get(who) !== true) known.set(who, await runsFile(host, service))
  const look = (missing: string): Look => ({ old: false, who, missing })
  if (known.get(who) !== true) return look(`process ${pid} does not run the file ${binary}`)
  // K3s runs its kubelet within itself.
  const kubelet = childrenOf(listProcesses(host), service).find(({ comm }) => comm === 'kubelet')
  if (service.distribution === 'rke2' && kubelet === undefined) return look(`process ${pid} has started no kubelet yet`)
  if (!(await kubeletAnswers(host))) return look('the kubelet does not answer yet')
  return { old: false, who: `${who} ${kubelet === undefined ? '' : identityOf(kubelet)}`, missing: '' }
}

async function kubeletAnswers(host: Host): Promise<boolean> {
  for (const url of HEALTH) {
    const status = await host.httpStatus(url)
    if (status !== undefined) return status === 200
  }
  // healthz may be switched off; the kubelet's own port asks for credentials, which is an answer.
  return host.accepts(KUBELET_PORT)
}
