/**
 * The payload, killed with SIGKILL before each change it makes to the folder of the binary and before each signal to the service: the file stays
 * whole and the next try succeeds.
 */
import { copyFileSync, existsSync, mkdirSync, readFileSync } from 'node:fs'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import type { Pod } from 'kubernetes-types/core/v1.d.ts'
import { NAMESPACE } from '../kubernetes/cluster.ts'
import { root } from '../kubernetes/root.ts'
import { NEW, OLD, PAYLOAD_IMAGE, type Release, tagOf } from './layout.ts'
import type { Machine } from './machine.ts'
import { sha256 } from './sum.ts'
import { isReady, startWorld, type World } from './world.ts'

const START_MS = 300_000
const LIMIT_MS = 900_000
const TRIES = '/opt/tries'
const FOLDER = '/usr/local/bin'
let world: World

beforeAll(async () => {
  world = await startWorld()
}, START_MS)
afterAll(() => world?.stop(), START_MS)

let count = 0

/** Runs the payload in a pod like that of a Job; `killAt` is the change before which it is killed. Resolves with exit code and words. */
async function payload(
  machine: Machine,
  release: Release,
  killAt: number,
): Promise<{ readonly code: number; readonly said: string; readonly changes: readonly string[] }> {
  const name = `try-${(count += 1)}`
  const env = {
    NODE_OPTIONS: '--import=/host/opt/tries/killer.mjs',
    FOLDER: `/host${FOLDER}`,
    KILL_AT: String(killAt),
    COUNT_FILE: `/host${TRIES}/${name}`,
  }
  const container = {
    name: 'upgrade',
    image: `${PAYLOAD_IMAGE}:${tagOf(release)}`,
    // There and back again: a machine for each step would take an hour.
    args: ['upgrade', '--stable=1s', '--allow-downgrade'],
    env: Object.entries(env).map(([key, value]) => ({ name: key, value })),
    securityContext: { privileged: true },
    volumeMounts: [{ name: 'host', mountPath: '/host' }],
  }
  await world.cluster.apply({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: NAMESPACE },
    spec: {
      nodeName: machine.name,
      hostPID: true,
      hostIPC: true,
      hostNetwork: true,
      restartPolicy: 'Never',
      containers: [container],
      volumes: [{ name: 'host', hostPath: { path: '/', type: 'Directory' } }],
    },
  })
  const path = `/api/v1/namespaces/${NAMESPACE}/pods/${name}`
  const pod = (): Promise<Pod> => world.cluster.api.get<Pod>(path)
  await world.cluster.until(`${name} ended`, async () => /^(?:Succeeded|Failed)$/.test((await pod()).status?.phase ?? ''))
  const ended = (await pod()).status?.containerStatuses?.[0]?.state?.terminated
  const said = await world.cluster.api.text(`${path}/log`).catch(String)
  const file = machine.path(`${TRIES}/${name}`)
  const changes = existsSync(file) ? readFileSync(file, 'utf8').trimEnd().split('\n') : []
  return { code: ended?.exitCode ?? -1, said, changes }
}

/**
 * Kills the payload before its `first`-th change, lets it try again, and goes on two changes further, until there are no more. Returns what it was
 * killed before.
 */
async function killEverySecond(machine: Machine, first: number): Promise<readonly string[]> {
  const sums = new Map([OLD, NEW].map((release) => [sha256(world.paths.release(release)), release]))
  const killed: string[] = []
  let [from, to] = [OLD, NEW]
  for (let step = first; ; step += 2) {
    const cut = await payload(machine, to, step)
    const last = cut.changes.at(-1) ?? 'any change'
    const left = sums.get(machine.installed())
    if (left === undefined) throw new Error(`killed before ${last} it left a file that is neither of the two`)
    expect(await machine.on(`${FOLDER}/rke2`, '--version')).toContain(left.version)
    if (cut.code === 0) {
      // It made fewer changes than that, and was not killed.
      expect(cut.changes.length).toBeLessThan(step)
      return killed
    }
    // 255: it was killed while containerd was down, so that nobody knows how it ended.
    if ((cut.code !== 137 && cut.code !== 255) || cut.changes.length !== step) {
      throw new Error(`it was to be killed before change ${step}, and ended before ${last} with ${cut.code}: ${cut.said}`)
    }
    killed.push(last)
    const again = await payload(machine, to, 0)
    if (again.code !== 0) {
      throw new Error(`the try after the one killed before ${last} ended with ${again.code}:\n${again.said}\n${machine.log().slice(-3000)}`)
    }
    expect(sums.get(machine.installed())).toBe(to)
    await world.cluster.until('the node is Ready at the version', async () => isReady(await world.cluster.node(machine.name), to.version))
    // Nothing half-written is left.
    expect((await machine.on('/bin/ls', '-A', FOLDER)).split('\n').filter((name) => name.startsWith('.'))).toEqual([])
    ;[from, to] = [to, from]
  }
}

test(
  'whatever the change before which it is killed, the file is whole and the next try succeeds',
  async () => {
    const spec = { role: 'agent', release: OLD, images: ['payload'] } as const
    const machines = await world.machines('killed', spec, spec)
    const results = await Promise.all(
      machines.map(async (machine, index) => {
        mkdirSync(machine.path(TRIES), { recursive: true })
        copyFileSync(`${root}test/nodes/killer.mjs`, machine.path(`${TRIES}/killer.mjs`))
        const bystander = await world.bystander(machine)
        const killed = await killEverySecond(machine, index + 1)
        expect(await world.bystanderNow(machine)).toEqual({ id: bystander, restarts: 0 })
        return killed
      }),
    )
    const killed = results.flat().toSorted((a, b) => Number.parseInt(a, 10) - Number.parseInt(b, 10))
    process.stdout.write(`killed before each of ${killed.length} changes:\n  ${killed.join('\n  ')}\n`)
    // What a replacement cannot do without; if these are missing, the hook is.
    for (const needed of [
      / write\S* .*\.rke2\.drover-next$/,
      / fsyncSync .*\.rke2\.drover-next$/,
      / renameSync .*\.rke2\.drover-next$/,
      / fsyncSync \/host\/usr\/local\/bin$/,
      / kill /,
    ]) {
      expect(killed.some((line) => needed.test(line))).toBe(true)
    }
  },
  LIMIT_MS,
)
