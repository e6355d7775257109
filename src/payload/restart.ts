/** The service is started again: by systemd when it supervises it, else by ending it, so that whoever supervises it starts it. */
import { findServices, type Service } from './find.ts'
import type { Host } from './host.ts'
import { identityOf, listProcesses, type Process } from './processes.ts'
import { Refusal } from './refusal.ts'

const SYSTEMCTL_MS = 60_000
/** A service that does not heed SIGTERM so long is killed. systemd has a limit of its own. */
const TERM_MS = 30_000
const POLL_MS = 250

export interface Restartable {
  readonly supervisor: Service['supervisor']
  readonly unit?: string | undefined
  readonly binary: string
}

/**
 * Returns when the order is given (systemd) or the old processes are gone. Pods run on: their shims outlive the service.
 * @throws Refusal `Failed` when systemd refuses
 */
export async function restartService(host: Host, { supervisor, unit, binary }: Restartable, signal: AbortSignal): Promise<void> {
  if (supervisor === 'systemd' && unit !== undefined) {
    // A unit that failed too often in a row would not be started again.
    await host.runOnMachine(['systemctl', 'reset-failed', unit], SYSTEMCTL_MS)
    const { code, stderr } = await host.runOnMachine(['systemctl', 'restart', '--no-block', unit], SYSTEMCTL_MS)
    if (code !== 0)
      throw new Refusal('Failed', `systemctl restart ${unit} failed (${code ?? 'no systemctl'}): ${stderr.trim().slice(-300)}`)
    return
  }
  const service = findServices(host).services.find((found) => found.binary === binary)
  // Down at the moment: its supervisor starts the new file.
  if (service === undefined) return
  await end(host, [service.main, ...childrenOf(listProcesses(host), service)], signal)
}

/** With SELinux the children may not see their parent's death, and the old kubelet would keep its port. */
export function childrenOf(
  processes: readonly Process[],
  { main, processes: own }: Pick<Service, 'main' | 'processes'>,
): readonly Process[] {
  const parents = new Set(own.map(({ pid }) => pid))
  return processes.filter(
    ({ parent, comm, pid }) => parents.has(parent) && pid !== main.pid && (comm === 'kubelet' || comm === 'containerd'),
  )
}

async function end(host: Host, processes: readonly Process[], signal: AbortSignal): Promise<void> {
  for (const { pid } of processes) host.kill(pid, 'SIGTERM')
  const deadline = host.clock.mono() + TERM_MS
  for (;;) {
    const alive = new Set(listProcesses(host).map(identityOf))
    const left = processes.filter((process) => alive.has(identityOf(process)))
    if (left.length === 0) return
    if (host.clock.mono() >= deadline) {
      for (const { pid } of left) host.kill(pid, 'SIGKILL')
      return
    }
    await host.clock.sleep(POLL_MS, signal)
  }
}
