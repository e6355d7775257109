/** The machine below `/host`. The only file of the payload that touches files, processes and sockets. */
import { spawn } from 'node:child_process'
import { createHash, type Hash } from 'node:crypto'
import * as fs from 'node:fs'
import { get } from 'node:http'
import { connect, createServer } from 'node:net'
import { posix } from 'node:path'
import { pipeline } from 'node:stream/promises'
import type { Clock } from '../base/clock.ts'
import { codeOf } from '../base/errors.ts'
import type { FileStat, Host, MachineFiles, ReadFiles, RunResult } from './host.ts'

export interface LinuxHostOptions {
  readonly clock: Clock
  /** Where the machine's `/` is mounted. */
  readonly root: string
  readonly terminationMessage: string
  /** Name of the machine's lock; at most 100 characters. Default `drover-payload`. */
  readonly lock?: string
}

const MAX_TEXT = 1024 * 1024
const MAX_LINKS = 40
const CHUNK = 1024 * 1024
const ANSWER_MS = 3000
const MAX_OUTPUT = 256 * 1024
const COPY_MS = 30_000
const LAST_WORDS_MS = 1000
export function linuxHost({ clock, root, terminationMessage, lock = 'drover-payload' }: LinuxHostOptions): Host {
  const machine = machineFiles(clock, root === '/' ? '' : root)
  // An abstract socket lives in the machine's network namespace and ends with its process. Of full length: versions of Node differ in padding it.
  const socket = `\0${lock.padEnd(107, '.')}`
  return {
    clock,
    machine,
    image: reader((path) => path),
    lock: () =>
      new Promise((resolve, reject) => {
        const server = createServer((connection) => connection.destroy())
        server.unref()
        server.once('error', (error) => (codeOf(error) === 'EADDRINUSE' ? resolve(undefined) : reject(error)))
        server.listen(socket, () => resolve(() => server.close()))
      }),
    kill(pid, signal) {
      try {
        return process.kill(pid, signal)
      } catch (error) {
        if (codeOf(error) === 'ESRCH') return false
        throw error
      }
    },
    runOnMachine: (command, timeoutMs) =>
      run(clock, 'nsenter', [`--mount=${machine.path('/proc/1/ns/mnt')}`, '--', ...command], undefined, timeoutMs),
    runBinary: (where, path, name, args, timeoutMs) => run(clock, where === 'image' ? path : machine.path(path), args, name, timeoutMs),
    httpStatus: (url) =>
      new Promise((resolve) => {
        const request = get(url, { timeout: ANSWER_MS, agent: false }, (response) => {
          response.resume()
          resolve(response.statusCode)
        })
        request.on('timeout', () => request.destroy())
        request.on('error', () => resolve(undefined))
      }),
    async accepts(port) {
      for (const address of ['127.0.0.1', '::1']) if (await connects(address, port)) return true
      return false
    },
    leaveMessage(text) {
      try {
        fs.writeFileSync(terminationMessage, text)
      } catch (error) {
        // Outside a container there is no such file, and the line is on standard output too.
        if (!['ENOENT', 'EACCES', 'EROFS'].includes(codeOf(error))) throw error
      }
    },
  }
}

function reader(at: (path: string) => string): ReadFiles {
  return {
    text(path) {
      const bytes = firstBytes(at(path), MAX_TEXT)
      return bytes === undefined ? undefined : Buffer.from(bytes).toString('utf8')
    },
    head: (path, bytes) => firstBytes(at(path), bytes),
    list: (path) => there(() => fs.readdirSync(at(path)).toSorted()),
    stat: (path) => there(() => statOf(fs.statSync(at(path)))),
    async sha256(path) {
      const hash = createHash('sha256')
      await pipeline(fs.createReadStream(at(path), { highWaterMark: CHUNK }), hash)
      return hash.digest('hex')
    },
  }
}

function machineFiles(clock: Clock, root: string): MachineFiles & { path(path: string): string } {
  const real = (path: string): string => resolveIn(root, path)
  const at = (path: string): string => `${root}${real(path)}`
  /** The folder is followed, the last name is taken as it is. */
  const entry = (path: string): string => posix.join(at(posix.dirname(path)), posix.basename(path))
  return {
    ...reader(at),
    path: at,
    real,
    link(path) {
      try {
        return fs.readlinkSync(entry(path))
      } catch (error) {
        if (['ENOENT', 'EINVAL', 'ESRCH'].includes(codeOf(error))) return undefined
        throw error
      }
    },
    tail: (path, bytes) => lastBytes(at(path), bytes),
    freeBytes(path) {
      const { bavail, bsize } = fs.statfsSync(at(path))
      return bavail * bsize
    },
    unwritable(folder) {
      try {
        fs.accessSync(at(folder), fs.constants.W_OK)
        return undefined
      } catch (error) {
        return codeOf(error)
      }
    },
    find: (path, pattern) => findIn(at(path), pattern),
    async copyIn(imagePath, path) {
      const hash = createHash('sha256')
      await pipeline(
        fs.createReadStream(imagePath, { highWaterMark: CHUNK }),
        (chunks: AsyncIterable<Buffer>) => hashed(chunks, hash),
        fs.createWriteStream(entry(path), { flags: 'wx', mode: 0o600 }),
      )
      return hash.digest('hex')
    },
    write(path, text) {
      const file = fs.openSync(entry(path), 'w', 0o600)
      try {
        fs.writeSync(file, text)
        fs.fsyncSync(file)
      } finally {
        fs.closeSync(file)
      }
    },
    keepAttributes: (from, to) => keepAttributes(clock, at(from), entry(to), fs.existsSync(`${root}/sys/fs/selinux/enforce`)),
    setMode: (path, mode) => fs.chmodSync(entry(path), mode),
    sync(path) {
      const file = fs.openSync(entry(path), 'r')
      try {
        fs.fsyncSync(file)
      } finally {
        fs.closeSync(file)
      }
    },
    rename: (from, to) => fs.renameSync(entry(from), entry(to)),
    hardLink: (from, to) => fs.linkSync(entry(from), entry(to)),
    remove: (path) => fs.rmSync(entry(path), { force: true }),
    makeDirectory: (path) => void fs.mkdirSync(at(path), { recursive: true, mode: 0o700 }),
  }
}

/** A link on the machine to `/data` means the machine's `/data`, not this container's. */
function resolveIn(root: string, path: string): string {
  // The kernel's own links, such as /proc/7/exe, lead to files, whatever they read.
  if (path.startsWith('/proc/')) return path
  const waiting = path.split('/').filter((part) => part !== '')
  let resolved = '/'
  for (let links = 0; waiting.length > 0; ) {
    const part = waiting.shift() ?? ''
    const next = posix.join(resolved, part)
    const target = part === '..' ? undefined : readLink(`${root}${next}`)
    if (target === undefined) resolved = next
    else {
      if (++links > MAX_LINKS) throw Object.assign(new Error(`too many symbolic links in ${path}`), { code: 'ELOOP' })
      if (target.startsWith('/')) resolved = '/'
      waiting.unshift(...target.split('/').filter((name) => name !== ''))
    }
  }
  return resolved
}

function readLink(path: string): string | undefined {
  try {
    return fs.readlinkSync(path)
  } catch {
    return undefined
  }
}

function there<T>(look: () => T): T | undefined {
  try {
    return look()
  } catch (error) {
    if (['ENOENT', 'ENOTDIR', 'ESRCH'].includes(codeOf(error))) return undefined
    throw error
  }
}

function statOf(stat: fs.Stats): FileStat {
  const kind = stat.isFile() ? 'file' : stat.isDirectory() ? 'directory' : 'other'
  return { kind, size: stat.size, identity: `${stat.dev}:${stat.ino}`, modifiedAt: stat.mtimeMs }
}

/** Files below /proc say that they are empty, so one reads until nothing comes. */
function firstBytes(path: string, limit: number): Uint8Array | undefined {
  return there(() => {
    const file = fs.openSync(path, 'r')
    try {
      const chunks: Buffer[] = []
      for (let length = 0; length < limit; ) {
        const chunk = Buffer.alloc(Math.min(limit - length, 64 * 1024))
        const read = fs.readSync(file, chunk, 0, chunk.length, null)
        if (read === 0) break
        chunks.push(chunk.subarray(0, read))
        length += read
      }
      return new Uint8Array(Buffer.concat(chunks))
    } finally {
      fs.closeSync(file)
    }
  })
}

function lastBytes(path: string, limit: number): string | undefined {
  return there(() => {
    const file = fs.openSync(path, 'r')
    try {
      const { size } = fs.fstatSync(file)
      const chunk = Buffer.alloc(Math.min(size, limit))
      const read = fs.readSync(file, chunk, 0, chunk.length, size - chunk.length)
      return chunk.toString('utf8', 0, read)
    } finally {
      fs.closeSync(file)
    }
  })
}

async function* hashed(chunks: AsyncIterable<Buffer>, hash: Hash): AsyncGenerator<Buffer> {
  for await (const chunk of chunks) {
    hash.update(chunk)
    yield chunk
  }
}

async function findIn(path: string, pattern: RegExp): Promise<string | undefined> {
  let tail = ''
  for await (const chunk of fs.createReadStream(path, { highWaterMark: CHUNK, encoding: 'latin1' })) {
    const text = tail + String(chunk)
    const match = pattern.exec(text)
    if (match !== null) return match[0]
    tail = text.slice(-200)
  }
  return undefined
}

/** Node can set neither attributes nor contexts; GNU cp can. Where it lacks, owner and mode are kept, unless the machine needs more. */
async function keepAttributes(clock: Clock, from: string, to: string, selinux: boolean): Promise<void> {
  const kept = selinux ? 'mode,ownership,xattr,context' : 'mode,ownership,xattr'
  const { code, stderr } = await run(clock, 'cp', ['--attributes-only', `--preserve=${kept}`, '--', from, to], undefined, COPY_MS)
  if (code === 0) return
  if (selinux)
    throw new Error(
      `cannot keep the SELinux context of ${from}: ${stderr.trim() === '' ? 'there is no GNU cp in the image' : stderr.trim()}`,
    )
  const { uid, gid, mode } = fs.statSync(from)
  fs.chownSync(to, uid, gid)
  fs.chmodSync(to, mode & 0o7777)
}

function connects(address: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: address, port, timeout: ANSWER_MS })
    const end = (answer: boolean) => {
      socket.destroy()
      resolve(answer)
    }
    socket.on('connect', () => end(true))
    socket.on('timeout', () => end(false))
    socket.on('error', () => end(false))
  })
}

function run(clock: Clock, file: string, args: readonly string[], argv0: string | undefined, timeoutMs: number): Promise<RunResult> {
  return new Promise((resolve) => {
    const argv = argv0 === undefined ? {} : { argv0 }
    // What programs say is read by programs, too.
    const env = { ...process.env, LC_ALL: 'C' }
    const child = spawn(file, args, { ...argv, env, stdio: ['ignore', 'pipe', 'pipe'] })
    let [stdout, stderr] = ['', '']
    child.stdout.on('data', (data: Buffer) => (stdout = (stdout + data.toString()).slice(-MAX_OUTPUT)))
    child.stderr.on('data', (data: Buffer) => (stderr = (stderr + data.toString()).slice(-MAX_OUTPUT)))
    const ended = new AbortController()
    const after = (ms: number, act: () => void): void => void clock.sleep(ms, ended.signal).then(act, () => {})
    const end = (result: RunResult): void => {
      ended.abort()
      // Or who was left behind would keep this process from ending.
      child.stdout.destroy()
      child.stderr.destroy()
      resolve(result)
    }
    const exited = (code: number | null): void => end({ code: code ?? 124, stdout, stderr })
    child.on('error', (error) => end({ code: undefined, stdout, stderr: error.message }))
    child.on('close', exited)
    // What the program left behind may hold its output open for ever.
    child.on('exit', (code) => after(LAST_WORDS_MS, () => exited(code)))
    after(timeoutMs, () => child.kill('SIGKILL'))
  })
}
