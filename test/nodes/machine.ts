/** A machine of a test: a folder, namespaces of its own, and in them rke2, kept alive by a supervisor. */
import { type ChildProcess, execFile, execFileSync, spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { copyFileSync, cpSync, linkSync, mkdirSync, openSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { root as project } from '../kubernetes/root.ts'
import { BRIDGE_ADDRESS, CGROUP_VARIABLE, type Layout, type Release } from './layout.ts'
import { sha256 } from './sum.ts'

export interface MachineSpec {
  readonly name: string
  readonly role: 'server' | 'agent'
  readonly release: Release
  /** Archives of images in its air-gap folder, besides `base`. */
  readonly images: readonly string[]
  /** How long its supervisor waits before it starts rke2 again. Default 1. */
  readonly restartSeconds?: number
}

export interface Machine extends MachineSpec {
  /** A path of the machine as one of the test. Mounts that only the machine has (/run, /tmp, /proc) are not in it. */
  path(path: string): string
  /** Runs a program of the machine in the machine; rejects with what it wrote. */
  on(...command: readonly string[]): Promise<string>
  /** Puts a release in place of the binary, as a person with a shell would. */
  install(release: Release): void
  /** Puts a release's binary somewhere else. */
  put(release: Release, path: string): void
  /** sha256 of the binary. */
  installed(): string
  /** What rke2 and its supervisor wrote. */
  log(name?: 'rke2' | 'kubelet' | 'containerd'): string
  /** Process ids of rke2 as the machine sees them. */
  services(): Promise<readonly string[]>
  /** Ends it as a power cut does. */
  stop(): Promise<void>
}

const REMOVE = { recursive: true, force: true, maxRetries: 20, retryDelay: 100 } as const
const BINARY = '/usr/local/bin/rke2'
const FOLDERS = [
  'dev',
  'proc',
  'sys',
  'run',
  'sbin',
  'usr/bin',
  'usr/local/bin',
  'usr/local/lib/systemd/system',
  'var/log',
  'var/lib/kubelet',
  'etc/cni/net.d',
]

/** Once for all test files: the switch that all machines hang on. */
export function createBridge(): void {
  if (spawnSync('ip', ['link', 'show', 'br0'], { stdio: 'ignore' }).status === 0) return
  for (const command of ['link set lo up', 'link add br0 type bridge', `addr add ${BRIDGE_ADDRESS}/16 dev br0`, 'link set br0 up']) {
    execFileSync('ip', command.split(' '))
  }
}

/** Switches a machine on. Resolves when its process 1 is there. */
export async function startMachine(paths: Layout, spec: MachineSpec, number: number, kubeconfig: string): Promise<Machine> {
  const folder = paths.machine(spec.name)
  const root = join(folder, 'root')
  const path = (inside: string): string => join(root, inside)
  const address = BRIDGE_ADDRESS.replace(/\d+\.\d+$/, `1.${number}`)
  // Of a machine of that name in an earlier test file.
  rmSync(folder, REMOVE)
  furnish(paths, spec, root, address, kubeconfig)
  const cgroup = `${process.env[CGROUP_VARIABLE] ?? ''}/${spec.name}`
  const output = openSync(join(folder, 'boot.log'), 'a')
  const child = spawn(paths.boot, [spec.name, `${address}/16`, BRIDGE_ADDRESS, cgroup, root, spec.role], {
    stdio: ['ignore', 'pipe', output],
    env: { PATH: process.env['PATH'], BOOT_PROGRAMS: paths.programs, BOOT_RESTART_SECONDS: String(spec.restartSeconds ?? 1) },
  })
  const pid = await firstLine(child, () => readFileSync(join(folder, 'boot.log'), 'utf8'))
  const on = (...command: readonly string[]): Promise<string> =>
    new Promise((resolve, reject) => {
      const all = ['-t', pid, '-m', '-p', '-n', '-u', '-i', '-C', '-r', '-w', ...command]
      const options = { env: { PATH: '/bin:/sbin:/usr/local/bin', HOME: '/root' }, maxBuffer: 64 * 1024 * 1024 }
      execFile('nsenter', all, options, (error, stdout, stderr) => {
        if (error === null) resolve(stdout)
        else reject(new Error(`${spec.name}: ${command.join(' ')}: ${stderr}${stdout}`, { cause: error }))
      })
    })
  return {
    ...spec,
    path,
    on,
    install: (release) => putBinary(paths.release(release), path(BINARY)),
    put: (release, to) => putBinary(paths.release(release), path(to)),
    installed: () => sha256(path(BINARY)),
    log: (name = 'rke2') => readFileSync(path(`/var/log/${name}.log`), 'utf8'),
    services: async () => {
      const found = await on(
        '/bin/sh',
        '-c',
        `for p in /proc/[0-9]*; do case $(tr '\\0' ' ' <$p/cmdline) in "${BINARY} "*) echo \${p#/proc/};; esac; done 2>/dev/null`,
      )
      return found.split('\n').filter((line) => line !== '')
    },
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return
      const gone = new Promise((resolve) => child.once('exit', resolve))
      child.kill('SIGKILL')
      await gone
      // Half a gigabyte. Its last processes may still be about to end.
      if (process.env['KEEP'] === undefined) rmSync(folder, REMOVE)
    },
  }
}

function furnish(paths: Layout, { name, role, release, images }: MachineSpec, root: string, address: string, kubeconfig: string): void {
  cpSync(paths.skeleton, root, { recursive: true, verbatimSymlinks: true })
  for (const folder of FOLDERS) mkdirSync(join(root, folder), { recursive: true })
  putBinary(paths.release(release), join(root, BINARY))
  writeFileSync(join(root, 'etc/hosts'), `127.0.0.1 localhost ${name}\n`)
  writeFileSync(join(root, 'etc/resolv.conf'), '')
  writeFileSync(join(root, 'etc/machine-id'), `${createHash('md5').update(name).digest('hex')}\n`)
  const data = join(root, 'var/lib/rancher/rke2')
  mkdirSync(join(data, 'agent/images'), { recursive: true })
  for (const archive of ['base', ...images]) linkSync(join(paths.images, `${archive}.tar`), join(data, 'agent/images', `${archive}.tar`))
  const config = join(root, 'etc/rancher/rke2')
  const files = join(project, 'test/nodes/machine/files')
  mkdirSync(config, { recursive: true })
  copyFileSync(join(files, 'cni.conflist'), join(root, 'etc/cni/net.d/00-none.conflist'))
  copyFileSync(join(files, 'containerd.toml'), join(config, 'containerd.toml'))
  copyFileSync(join(files, 'kubelet.yaml'), join(config, 'kubelet.yaml'))
  copyFileSync(kubeconfig, join(config, 'kubelet.kubeconfig'))
  const args = [
    `--config=/etc/rancher/rke2/kubelet.yaml`,
    '--kubeconfig=/etc/rancher/rke2/kubelet.kubeconfig',
    `--hostname-override=${name}`,
    `--node-ip=${address}`,
  ]
  writeFileSync(join(config, 'kubelet.args'), args.join(' '))
  const unit = join(root, `usr/local/lib/systemd/system/rke2-${role}.service`)
  writeFileSync(
    unit,
    `[Service]\nEnvironmentFile=-/usr/local/lib/systemd/system/%N.env\nKillMode=process\nRestart=always\nExecStart=${BINARY} ${role}\n`,
  )
}

/** A running program's file cannot be written, but another can take its name. */
function putBinary(from: string, to: string): void {
  mkdirSync(dirname(to), { recursive: true })
  copyFileSync(from, `${to}.by-hand`)
  renameSync(`${to}.by-hand`, to)
}

function firstLine(child: ChildProcess, words: () => string): Promise<string> {
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', (code) => reject(new Error(`boot ended with exit code ${code}: ${words()}`)))
    if (child.stdout !== null) createInterface({ input: child.stdout }).once('line', resolve)
  })
}
