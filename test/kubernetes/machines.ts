/** The sandbox's machines as the nodes of another cluster: their kubelets talk to a real API server. */
import { execFileSync } from 'node:child_process'
import { setMaxListeners } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock } from '../../src/base/clock.ts'
import { silentLog } from '../../src/base/log.ts'
import type { Transport } from '../../src/base/process.ts'
import { createFleet, type Fleet } from '../../src/sandbox/machines/fleet.ts'
import { createMachine, type Machine, type MachineSpec } from '../../src/sandbox/machines/machine.ts'
import { standardPrograms } from '../../src/sandbox/programs/standard.ts'

export interface MachinesOptions {
  /** The API as a user: machines are `system:node:NAME`, containers their service account. */
  as(user: string): Transport
  /** Default 2 s: a test has no time for the 10 s of real kubelets. */
  readonly heartbeatMs?: number
}

export interface Machines {
  readonly fleet: Fleet
  readonly all: ReadonlyMap<string, Machine>
  /** Switches a machine on; it registers in a moment (see `Machine.ready`). */
  add(spec: MachineSpec): Machine
  stop(): Promise<void>
}

/** Quick by default, or each upgrade of a test would take ten seconds. */
export const QUICK: Pick<MachineSpec, 'pullMs' | 'restartMs' | 'bootMs'> = { pullMs: 200, restartMs: [300, 800], bootMs: [1000, 2000] }

export async function startMachines(options: MachinesOptions): Promise<Machines> {
  const life = new AbortController()
  setMaxListeners(0, life.signal)
  const logs = new Map<string, string[]>()
  const kubelet = await serveLogs((pod, container) => logs.get(`${fleet.pods.get(pod)?.metadata.uid}/${container}`))
  const fleet: Fleet = createFleet({
    clock: systemClock,
    random: Math.random,
    signal: life.signal,
    log: silentLog,
    programs: standardPrograms(),
    as: (user) => options.as(user),
    appendLog(uid, container, line) {
      const key = `${uid}/${container}`
      const known = logs.get(key)
      if (known === undefined) logs.set(key, [line])
      else known.push(line)
    },
    heartbeatMs: options.heartbeatMs ?? 2000,
    kubeletEndpoint: { address: '127.0.0.1', port: kubelet.port },
  })
  await fleet.start()
  const all = new Map<string, Machine>()
  return {
    fleet,
    all,
    add(spec) {
      const machine = createMachine(fleet, { ...QUICK, ...spec })
      all.set(spec.name, machine)
      return machine
    },
    async stop() {
      life.abort()
      await kubelet.close()
    },
  }
}

/** The one thing the API server asks of kubelets here: `/containerLogs/NAMESPACE/POD/CONTAINER`, for all machines on one port. */
async function serveLogs(
  find: (pod: string, container: string) => readonly string[] | undefined,
): Promise<{ readonly port: number; close(): Promise<void> }> {
  const server = createServer(selfSigned(), (request, response) => {
    const url = new URL(request.url ?? '/', 'https://kubelet')
    const [, pod, container] = /^\/containerLogs\/([^/]+\/[^/]+)\/([^/]+)$/.exec(url.pathname) ?? []
    const lines = pod === undefined || container === undefined ? undefined : find(pod, container)
    if (lines === undefined) return void response.writeHead(404).end('no such container')
    const tail = Number(url.searchParams.get('tailLines') ?? lines.length)
    response.writeHead(200, { 'content-type': 'text/plain' }).end(
      lines
        .slice(-tail)
        .map((line) => `${line}\n`)
        .join(''),
    )
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

/** A certificate nobody checks: an API server without `--kubelet-certificate-authority` takes any. */
function selfSigned(): { readonly key: string; readonly cert: string } {
  const folder = mkdtempSync(join(tmpdir(), 'drover-kubelet-'))
  const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')]
  try {
    const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
    execFileSync('openssl', ['req', '-x509', ...curve, '-keyout', key, '-out', cert, '-days', '30', '-subj', '/CN=kubelet'], {
      stdio: 'pipe',
    })
    if (!existsSync(cert)) throw new Error('openssl made no certificate')
    return { key: readFileSync(key, 'utf8'), cert: readFileSync(cert, 'utf8') }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
