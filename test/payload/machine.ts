/**
 * A machine in memory, on virtual time: files with what of them has reached the disk, processes, a supervisor that starts its service again,
 * and faults at any step. It judges the payload, so it knows nothing of it but its interface.
 */
import { createHash } from 'node:crypto'
import { posix } from 'node:path'
import type { Host, MachineFiles, ReadFiles } from '../../src/payload/host.ts'

export interface Inode {
  readonly id: number
  data: string
  /** What a power loss leaves. */
  onDisk: string
  modifiedAt: number
  attributes: string
}

type Entry = { readonly link: string } | { readonly inode: Inode }

export interface Proc {
  readonly pid: number
  readonly parent: number
  readonly comm: string
  readonly exe: string
  /** What runs; undefined = not of this machine's files. */
  readonly inode?: Inode
  readonly cmdline: string
  readonly cgroup?: string
  readonly environ?: string
  readonly pidSpace?: string
  readonly root?: string
  readonly startTicks: number
  /** As the kernel wrote it; otherwise made of the above. */
  readonly stat?: string
}

export interface ServiceSpec {
  readonly binary: string
  readonly cmdline: string
  readonly unit?: string
  readonly environ?: string
  readonly parent?: number
  /** Where it and what it starts live, when it is not the usual. */
  readonly place?: Pick<Proc, 'pidSpace' | 'root'>
  /** The command line of a second process of the same program, which the first one starts. */
  readonly child?: string
}

/** What a program does, and what it says of itself. */
export interface Program {
  readonly architecture?: 'amd64' | 'arm64'
  readonly version: string
  readonly behaviour?: 'good' | 'crash' | 'flaky' | 'hang' | 'deaf' | 'orphan' | 'mute' | 'flapping' | 'touch' | 'stumbling'
  /** K3s: the sum of what it unpacks. */
  readonly carries?: string
}

export class Crash extends Error {}

const MACHINE_CODES = { amd64: 62, arm64: 183 }
/** A program that stumbles ends so often soon after its start, then it stays. */
const STUMBLES = 6
const KUBELET_MS = 2000
export const BOOT = 1_700_000_000

/** A program file: an ELF header, and the rest as JSON. */
export function program({ architecture = 'amd64', ...rest }: Program): string {
  const code = MACHINE_CODES[architecture]
  return `\x7fELF\x02\x01\x01${'\0'.repeat(9)}\x02\0${String.fromCharCode(code)}\0${JSON.stringify(rest)}${(rest.carries ?? '') === '' ? '' : `embed/${rest.carries}.tar.zst`}`
}

function readProgram(data: string): Program | undefined {
  const match = /\{.*?\}/.exec(data)
  return match === null || !data.startsWith('\x7fELF') ? undefined : (JSON.parse(match[0]) as Program)
}

export const sha256 = (data: string): string => createHash('sha256').update(Buffer.from(data, 'latin1')).digest('hex')

const failure = (code: string): Error => Object.assign(new Error(`${code}: as asked for`), { code })

export type Fault = 'crash' | 'ENOSPC' | 'EROFS' | 'EIO'

export function createMachine() {
  let mono = 0
  let nextInode = 1
  let nextPid = 1000
  let entries = new Map<string, Entry>()
  let disk = new Map<string, Entry>()
  const folders = new Set<string>(['/'])
  const imageFiles = new Map<string, string>()
  const procs = new Map<number, Proc>()
  const timers: { at: number; run: () => void }[] = []
  let service: (ServiceSpec & { pid?: number; starts: number }) | undefined
  let kubelet: number | undefined
  const state = {
    /** Mutating steps so far. */
    steps: [] as string[],
    faultAt: undefined as number | undefined,
    fault: 'crash' as Fault,
    dead: false,
    free: 1e12,
    readOnly: [] as string[],
    locked: false,
    messages: [] as string[],
    /** Answers of programs of the machine, by their first words. */
    programs: new Map<string, { code: number; stdout: string; stderr?: string; effect?: () => void }>(),
    ran: [] as string[],
    /** After so long its supervisor starts the service again. */
    restartMs: 5000,
    stumbled: 0,
    /** Called after each wait. */
    onTime: undefined as (() => void) | undefined,
  }

  const wall = () => BOOT * 1000 + mono
  const inodeOf = (data: string): Inode => ({ id: nextInode++, data, onDisk: data, modifiedAt: wall(), attributes: 'root 0755' })

  function makeFolders(path: string): void {
    for (let folder = path; folder !== '/'; folder = posix.dirname(folder)) folders.add(folder)
  }

  function real(path: string): string {
    let resolved = '/'
    const waiting = path.split('/').filter((part) => part !== '')
    for (let part = waiting.shift(); part !== undefined; part = waiting.shift()) {
      const next = posix.join(resolved, part)
      const entry = entries.get(next)
      if (entry === undefined || !('link' in entry)) resolved = next
      else {
        if (entry.link.startsWith('/')) resolved = '/'
        waiting.unshift(...entry.link.split('/').filter((name) => name !== ''))
      }
    }
    return resolved
  }

  const inodeAt = (path: string): Inode | undefined => {
    const proc = /^\/proc\/(\d+)\/exe$/.exec(path)
    if (proc !== null) return procs.get(Number(proc[1]))?.inode
    const entry = entries.get(real(path))
    return entry !== undefined && 'inode' in entry ? entry.inode : undefined
  }

  /** One step that changes something: here the world may end. */
  function step(name: string): void {
    alive()
    state.steps.push(name)
    if (state.steps.length !== state.faultAt) return
    if (state.fault !== 'crash') throw failure(state.fault)
    state.dead = true
    throw new Crash(name)
  }

  function alive(): void {
    if (state.dead) throw new Crash('dead')
  }

  function procText(path: string): string | undefined {
    const match = /^\/proc\/(\d+)\/(\w+)$/.exec(path)
    if (match === null) return undefined
    const proc = procs.get(Number(match[1]))
    if (proc === undefined) return undefined
    switch (match[2]) {
      case 'stat':
        if (proc.stat !== undefined) return proc.stat
        return `${proc.pid} (${proc.comm}) S ${proc.parent} ${proc.pid} ${proc.pid} 0 -1 4194560 1 0 0 0 10 5 0 0 20 0 12 0 ${proc.startTicks} 1 1 1\n`
      case 'cmdline':
        return proc.cmdline
      case 'cgroup':
        return proc.cgroup ?? '0::/\n'
      case 'environ':
        return proc.environ ?? ''
      default:
        return undefined
    }
  }

  function procLink(path: string): string | undefined {
    const match = /^\/proc\/(\d+)\/(exe|ns\/pid)$/.exec(path)
    if (match === null) return undefined
    const proc = procs.get(Number(match[1]))
    if (proc === undefined) return undefined
    if (match[2] === 'ns/pid') return proc.pidSpace ?? 'pid:[4026531836]'
    return proc.inode === undefined || isAt(proc.exe, proc.inode) ? proc.exe : `${proc.exe} (deleted)`
  }

  const isAt = (path: string, inode: Inode): boolean => inodeAt(path)?.id === inode.id

  const bytes = (data: string): Uint8Array => new Uint8Array(Buffer.from(data, 'latin1'))

  const read = (dataOf: (path: string) => string | undefined) => ({
    text: (path: string) => (alive(), dataOf(path)),
    head: (path: string, count: number) => {
      alive()
      const data = dataOf(path)
      return data === undefined ? undefined : bytes(data.slice(0, count))
    },
    sha256: async (path: string) => {
      alive()
      const data = dataOf(path)
      if (data === undefined) throw failure('ENOENT')
      return sha256(data)
    },
  })

  const machineData = (path: string): string | undefined => procText(path) ?? inodeAt(path)?.data

  function writable(path: string): void {
    if (state.readOnly.some((folder) => path.startsWith(`${folder}/`))) throw failure('EROFS')
  }

  function put(path: string, entry: Entry): void {
    writable(path)
    entries.set(path, entry)
    makeFolders(posix.dirname(path))
  }

  const machine: MachineFiles = {
    ...read(machineData),
    list(path) {
      alive()
      if (path === '/proc') return [...[...procs.keys()].map(String), 'stat', 'version'].toSorted()
      const at = real(path)
      if (!folders.has(at)) return undefined
      const names = [...entries.keys(), ...folders]
        .filter((name) => name !== '/' && posix.dirname(name) === at)
        .map((name) => posix.basename(name))
      return [...new Set(names)].toSorted()
    },
    stat(path) {
      alive()
      const root = /^\/proc\/(\d+)\/root$/.exec(path)
      if (root !== null) {
        const proc = procs.get(Number(root[1]))
        return proc && { kind: 'directory', size: 0, identity: proc.root ?? '8:2', modifiedAt: 0 }
      }
      const inode = inodeAt(path)
      if (inode !== undefined) return { kind: 'file', size: inode.data.length, identity: `8:${inode.id}`, modifiedAt: inode.modifiedAt }
      return folders.has(real(path)) ? { kind: 'directory', size: 0, identity: `d:${real(path)}`, modifiedAt: 0 } : undefined
    },
    link(path) {
      alive()
      const proc = procLink(path)
      if (proc !== undefined) return proc
      const entry = entries.get(posix.join(real(posix.dirname(path)), posix.basename(path)))
      return entry !== undefined && 'link' in entry ? entry.link : undefined
    },
    real: (path) => (alive(), real(path)),
    tail: (path, count) => machineData(path)?.slice(-count),
    freeBytes: () => (alive(), state.free),
    unwritable: (folder) => (alive(), state.readOnly.some((root) => `${folder}/`.startsWith(`${root}/`)) ? 'EROFS' : undefined),
    async find(path, pattern) {
      alive()
      return pattern.exec(machineData(path) ?? '')?.[0]
    },
    async copyIn(imagePath, path) {
      const data = imageFiles.get(imagePath)
      if (data === undefined) throw failure('ENOENT')
      if (entries.has(path)) throw failure('EEXIST')
      step(`create ${path}`)
      const inode = { ...inodeOf(''), onDisk: '', attributes: 'root 0600' }
      put(path, { inode })
      inode.data = data.slice(0, data.length / 2)
      step(`half of ${path}`)
      inode.data = data
      step(`copied ${path}`)
      return sha256(data)
    },
    write(path, text) {
      step(`write ${path}`)
      const existing = inodeAt(path)
      const inode = existing ?? { ...inodeOf(''), onDisk: '', attributes: 'root 0600' }
      put(path, { inode })
      inode.data = ''
      step(`emptied ${path}`)
      Object.assign(inode, { data: text, onDisk: text })
      step(`written ${path}`)
    },
    async keepAttributes(from, to) {
      step(`attributes ${to}`)
      const [source, target] = [inodeAt(from), inodeAt(to)]
      if (source === undefined || target === undefined) throw failure('ENOENT')
      target.attributes = source.attributes
    },
    setMode(path, mode) {
      step(`mode ${path}`)
      const inode = inodeAt(path)
      if (inode !== undefined) inode.attributes = `root ${mode.toString(8).padStart(4, '0')}`
    },
    sync(path) {
      step(`sync ${path}`)
      const inode = inodeAt(path)
      if (inode !== undefined) inode.onDisk = inode.data
      else syncFolder(path)
    },
    rename(from, to) {
      step(`rename ${to}`)
      const entry = entries.get(from)
      if (entry === undefined) throw failure('ENOENT')
      const there = entries.get(to)
      // POSIX: two names of one file, and nothing happens.
      if (there !== undefined && 'inode' in there && 'inode' in entry && there.inode.id === entry.inode.id) return
      put(to, entry)
      entries.delete(from)
    },
    hardLink(from, to) {
      step(`link ${to}`)
      const inode = inodeAt(from)
      if (inode === undefined) throw failure('ENOENT')
      if (entries.has(to)) throw failure('EEXIST')
      put(to, { inode })
    },
    remove(path) {
      alive()
      if (!entries.has(path)) return
      step(`remove ${path}`)
      entries.delete(path)
    },
    makeDirectory(path) {
      alive()
      if (folders.has(path)) return
      step(`folder ${path}`)
      makeFolders(path)
    },
  }

  function syncFolder(path: string): void {
    for (const name of [...disk.keys(), ...entries.keys()]) {
      if (posix.dirname(name) !== path) continue
      const entry = entries.get(name)
      if (entry === undefined) disk.delete(name)
      else disk.set(name, entry)
    }
  }

  const image: ReadFiles = {
    ...read((path) => imageFiles.get(path)),
    list: (path) =>
      [...imageFiles.keys()]
        .filter((name) => posix.dirname(name) === path)
        .map((name) => posix.basename(name))
        .toSorted(),
    stat: (path) => {
      const data = imageFiles.get(path)
      return data === undefined ? undefined : { kind: 'file', size: data.length, identity: `image:${path}`, modifiedAt: 0 }
    },
  }

  function later(ms: number, run: () => void): void {
    timers.push({ at: mono + ms, run })
  }

  function advance(ms: number): void {
    const end = mono + ms
    for (;;) {
      const next = timers.filter(({ at }) => at <= end).toSorted((a, b) => a.at - b.at)[0]
      if (next === undefined) break
      timers.splice(timers.indexOf(next), 1)
      mono = Math.max(mono, next.at)
      next.run()
    }
    mono = end
  }

  const ticks = (): number => Math.floor(mono / 10) + 100

  function addProcess(proc: Omit<Proc, 'pid' | 'startTicks'> & { pid?: number; startTicks?: number }): number {
    const pid = proc.pid ?? nextPid++
    procs.set(pid, { startTicks: ticks(), ...proc, pid })
    return pid
  }

  function startService(): void {
    if (service === undefined || service.pid !== undefined) return
    const spec = service
    const inode = inodeAt(spec.binary)
    const about = inode === undefined ? undefined : readProgram(inode.data)
    spec.starts += 1
    log(`starting ${about?.version ?? 'nothing'}`)
    if (inode === undefined || about === undefined || about.architecture === 'arm64' || about.behaviour === 'crash') {
      log('it ended at once')
      later(state.restartMs, startService)
      return
    }
    const unpacked = about.carries === undefined ? undefined : `/var/lib/rancher/k3s/data/${about.carries}/bin/k3s`
    const runs = unpacked === undefined ? inode : (inodeAt(unpacked) ?? inodeOf(program({ ...about, carries: '' })))
    if (unpacked !== undefined) put(unpacked, { inode: runs })
    const pid = addProcess({
      ...spec.place,
      parent: spec.parent ?? 1,
      comm: posix.basename(spec.binary),
      exe: unpacked ?? real(spec.binary),
      inode: runs,
      cmdline: spec.cmdline,
      ...(spec.unit === undefined ? {} : { cgroup: `0::/system.slice/${spec.unit}\n` }),
      environ: spec.environ ?? 'PATH=/usr/bin:/bin\0',
    })
    spec.pid = pid
    if (spec.child !== undefined) {
      addProcess({ ...spec.place, parent: pid, comm: 'exe', exe: unpacked ?? real(spec.binary), inode: runs, cmdline: spec.child })
    }
    if (about.behaviour === 'touch') {
      later(500, () => {
        if (!procs.has(pid)) return
        for (const path of ['/var/lib/rancher/k3s/server/db/state.db', '/var/lib/rancher/rke2/agent/pod-manifests/kube-apiserver.yaml']) {
          const touched = inodeAt(path)
          if (touched !== undefined)
            Object.assign(touched, { data: `${touched.data.split('#')[0]}# ${about.version}\n`, modifiedAt: wall() })
        }
      })
    }
    if (about.behaviour === 'flaky' || about.behaviour === 'touch') later(3000, () => endService(pid))
    if (about.behaviour === 'stumbling' && state.stumbled++ < STUMBLES) later(500, () => endService(pid))
    if (about.behaviour === 'hang' || about.behaviour === 'orphan') return
    later(KUBELET_MS, () => startKubelet(pid, unpacked !== undefined, about.behaviour))
  }

  function startKubelet(pid: number, within: boolean, behaviour: Program['behaviour']): void {
    if (!procs.has(pid)) return
    kubelet = within
      ? pid
      : addProcess({ ...service?.place, parent: pid, comm: 'kubelet', exe: '/var/lib/rancher/rke2/bin/kubelet', cmdline: 'kubelet\0' })
    if (behaviour !== 'flapping') return
    const own = kubelet
    later(6000, () => {
      procs.delete(own)
      startKubelet(pid, within, behaviour)
    })
  }

  function log(text: string): void {
    const path = `/var/log/${service?.unit?.replace('.service', '') ?? 'rke2-agent'}.log`
    const inode = inodeAt(path)
    if (inode === undefined) put(path, { inode: inodeOf(`${text}\n`) })
    else inode.data += `${text}\n`
  }

  function endService(pid: number): void {
    if (service?.pid !== pid || !procs.has(pid)) return
    procs.delete(pid)
    for (const proc of procs.values()) if (proc.parent === pid) procs.delete(proc.pid)
    delete service.pid
    later(state.restartMs, startService)
  }

  const host: Host = {
    clock: {
      wall: () => (alive(), wall()),
      mono: () => (alive(), mono),
      sleep: async (ms, signal) => {
        alive()
        signal?.throwIfAborted()
        advance(ms)
        state.onTime?.()
        await Promise.resolve()
        signal?.throwIfAborted()
        alive()
      },
    },
    machine,
    image,
    lock: async () => {
      if (state.locked) return undefined
      state.locked = true
      return () => {
        state.locked = false
      }
    },
    kill(pid, signal) {
      step(`kill ${signal}`)
      const proc = procs.get(pid)
      if (proc === undefined) return false
      const behaviour = proc.inode === undefined ? undefined : readProgram(proc.inode.data)?.behaviour
      if (signal === 'SIGTERM' && behaviour === 'deaf') return true
      if (pid === service?.pid) endService(pid)
      else procs.delete(pid)
      return true
    },
    async runOnMachine(command) {
      alive()
      const text = command.join(' ')
      state.ran.push(text)
      const known = [...state.programs].find(([start]) => text.startsWith(start))?.[1]
      if (known !== undefined) {
        known.effect?.()
        return { code: known.code, stdout: known.stdout, stderr: known.stderr ?? '' }
      }
      if (text.startsWith('systemctl restart') && service?.unit !== undefined && text.endsWith(service.unit)) {
        step('systemctl restart')
        const { pid } = service
        const slow = readProgram(procs.get(pid ?? 0)?.inode?.data ?? '')?.behaviour === 'deaf'
        later(slow ? 20_000 : 0, () => {
          if (pid !== undefined && pid === service?.pid) {
            procs.delete(pid)
            for (const proc of procs.values()) if (proc.parent === pid) procs.delete(proc.pid)
            delete service.pid
          }
          later(200, startService)
        })
        return { code: 0, stdout: '', stderr: '' }
      }
      if (text === `systemctl show --property=LoadState --value ${service?.unit}`) return { code: 0, stdout: 'loaded\n', stderr: '' }
      if (text.startsWith('systemctl reset-failed')) return { code: 0, stdout: '', stderr: '' }
      return { code: undefined, stdout: '', stderr: 'not found' }
    },
    async runBinary(where, path, name) {
      alive()
      const data = where === 'image' ? imageFiles.get(path) : machineData(path)
      const about = data === undefined ? undefined : readProgram(data)
      if (about === undefined) return { code: undefined, stdout: '', stderr: 'cannot be run' }
      return { code: 0, stdout: `${name} version ${about.version} (0123abc)\ngo version go1.24.6\n`, stderr: '' }
    },
    httpStatus: async () => {
      const behaviour = readProgram(procs.get(service?.pid ?? 0)?.inode?.data ?? '')?.behaviour
      if (behaviour === 'orphan') return 200 // The old one's kubelet has survived it.
      if (kubelet === undefined || !procs.has(kubelet)) return undefined
      return behaviour === 'mute' ? 500 : 200
    },
    accepts: async () => false,
    leaveMessage: (text) => void state.messages.push(text),
  }

  return {
    host,
    state,
    advance,
    procs,
    addProcess,
    /** A file that has been there for a while. */
    file(path: string, data: string, attributes = 'root 0755'): Inode {
      const inode = { ...inodeOf(data), attributes }
      entries.set(path, { inode })
      disk.set(path, { inode })
      makeFolders(posix.dirname(path))
      return inode
    },
    symlink: (path: string, link: string) => {
      entries.set(path, { link })
      disk.set(path, { link })
      makeFolders(posix.dirname(path))
    },
    folder: makeFolders,
    carried: (path: string, data: string) => void imageFiles.set(path, data),
    inodeAt,
    names: (folder: string) => machine.list(folder) ?? [],
    get service() {
      return service
    },
    serve(spec: ServiceSpec): void {
      service = { ...spec, starts: 0 }
      startService()
      advance(KUBELET_MS + 10)
    },
    /** What runs already is the service; from now on its supervisor cares for it. */
    adopt(spec: ServiceSpec, pid: number, kubeletPid: number): void {
      service = { ...spec, pid, starts: 1 }
      kubelet = kubeletPid
    },
    /** The payload's process was killed: the machine lives on. */
    revive(): void {
      Object.assign(state, { dead: false, faultAt: undefined, steps: [], locked: false })
    },
    /** The machine lost its power. Which renames had reached the disk nobody can say: all, or those that were synced. */
    powerLoss(renames: 'kept' | 'synced'): void {
      if (renames === 'synced') entries = new Map(disk)
      else disk = new Map(entries)
      for (const entry of entries.values()) if ('inode' in entry) entry.inode.data = entry.inode.onDisk
      for (const pid of procs.keys()) if (pid !== 1) procs.delete(pid)
      if (service !== undefined) delete service.pid
      timers.length = 0
      kubelet = undefined
      later(1000, startService)
      this.revive()
      advance(KUBELET_MS + 1010)
    },
  }
}

export type Machine = ReturnType<typeof createMachine>
