/** The payload's one door to a machine, on a real file tree. */
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { spawn } from 'node:child_process'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { systemClock } from '../../src/base/clock.ts'
import { codeOf } from '../../src/base/errors.ts'
import type { Host } from '../../src/payload/host.ts'
import { linuxHost } from '../../src/payload/linux-host.ts'
import { sha256 } from './machine.ts'

let root: string
let host: Host
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'drover-host-'))
  host = linuxHost({ clock: systemClock, root: join(root, 'machine'), terminationMessage: join(root, 'message') })
  mkdirSync(join(root, 'machine'))
})
afterEach(() => rmSync(root, { recursive: true, force: true }))

const at = (path: string) => join(root, 'machine', path)
function put(path: string, text: string, mode = 0o644): void {
  mkdirSync(dirname(at(path)), { recursive: true })
  writeFileSync(at(path), text)
  chmodSync(at(path), mode)
}
const codeFrom = (action: () => unknown): string => {
  try {
    action()
  } catch (error) {
    return codeOf(error)
  }
  return 'none'
}

describe('links lead to the machine, never out of it', () => {
  test('absolute, relative, upwards', () => {
    put('/data/rancher/file', 'inside')
    mkdirSync(at('/var/lib'), { recursive: true })
    symlinkSync('/data/rancher', at('/var/lib/rancher'))
    symlinkSync('../../../../../data', at('/var/up'))
    const { machine } = host

    expect(machine.real('/var/lib/rancher/file')).toBe('/data/rancher/file')
    expect(machine.text('/var/lib/rancher/file')).toBe('inside')
    expect(machine.text('/var/up/rancher/file')).toBe('inside')
    expect(machine.list('/var/lib/rancher')).toEqual(['file'])
    expect(machine.link('/var/lib/rancher')).toBe('/data/rancher')
    machine.write('/var/lib/rancher/new', 'text')
    expect(readFileSync(at('/data/rancher/new'), 'utf8')).toBe('text')
    machine.rename('/var/lib/rancher/new', '/var/lib/rancher/renamed')
    machine.makeDirectory('/var/lib/rancher/a/b')
    expect(existsSync(at('/data/rancher/a/b')) && existsSync(at('/data/rancher/renamed'))).toBe(true)
  })

  test('a circle ends', () => {
    symlinkSync('/b', at('/a'))
    symlinkSync('/a', at('/b'))
    expect(codeFrom(() => host.machine.real('/a/file'))).toBe('ELOOP')
  })

  test('a link is removed, not what it leads to', () => {
    put('/target', 'stays')
    symlinkSync('/target', at('/link'))
    host.machine.remove('/link')
    expect(readFileSync(at('/target'), 'utf8')).toBe('stays')
    expect(existsSync(at('/link'))).toBe(false)
  })
})

describe('reading', () => {
  test('what is not there is undefined, other troubles are errors', () => {
    const { machine } = host
    put('/file', 'x')
    expect([
      machine.text('/no'),
      machine.list('/no'),
      machine.stat('/no'),
      machine.link('/no'),
      machine.head('/no', 1),
      machine.tail('/no', 1),
    ]).toEqual(Array.from({ length: 6 }, () => undefined))
    expect(machine.text('/file/below')).toBeUndefined()
    expect(machine.link('/file')).toBeUndefined()
    expect(codeFrom(() => machine.text('/'))).toBe('EISDIR')
  })

  test('files below /proc, which say that they are empty', () => {
    const whole = linuxHost({ clock: systemClock, root: '/', terminationMessage: '' })
    expect(whole.machine.text(`/proc/${process.pid}/stat`)).toMatch(new RegExp(`^${process.pid} \\(`))
    expect(whole.machine.link(`/proc/${process.pid}/exe`)).toBe(process.execPath)
    expect(whole.machine.stat(`/proc/${process.pid}/root`)?.kind).toBe('directory')
    expect(whole.machine.stat(`/proc/${process.pid}/exe`)?.identity).toBe(whole.machine.stat(process.execPath)?.identity)
  })

  test('beginning, end, sum, pattern across the border of two reads', async () => {
    const text = `${'.'.repeat(1024 * 1024 - 20)}${'a'.repeat(64)}.tar.zst and the end`
    put('/file', text)
    const { machine } = host
    expect(Buffer.from(machine.head('/file', 3) ?? []).toString()).toBe('...')
    expect(machine.tail('/file', 7)).toBe('the end')
    expect(machine.stat('/file')).toMatchObject({ kind: 'file', size: text.length })
    expect(await machine.sha256('/file')).toBe(sha256(text))
    expect(await machine.find('/file', /[0-9a-f]{64}\.tar\.zst/)).toBe(`${'a'.repeat(64)}.tar.zst`)
    expect(await machine.find('/file', /nothing/)).toBeUndefined()
    expect(machine.freeBytes('/file')).toBeGreaterThan(0)
    expect(machine.unwritable('/')).toBeUndefined()
    expect(machine.unwritable('/nowhere')).toBe('ENOENT')
  })
})

describe('writing', () => {
  test('a copy is new, private, and has the sum of what was written', async () => {
    const source = join(root, 'source')
    writeFileSync(source, 'x'.repeat(3_000_000))
    expect(await host.machine.copyIn(source, '/copy')).toBe(sha256('x'.repeat(3_000_000)))
    expect(statSync(at('/copy')).mode & 0o777).toBe(0o600)
    expect(await host.machine.copyIn(source, '/copy').catch(codeOf)).toBe('EEXIST')
    expect(await host.machine.copyIn(join(root, 'no'), '/other').catch(codeOf)).toBe('ENOENT')
    host.machine.sync('/copy')
    host.machine.sync('/')
  })

  test('owner and mode are kept', async () => {
    put('/old', 'old', 0o751)
    put('/new', 'new', 0o600)
    await host.machine.keepAttributes('/old', '/new')
    expect(statSync(at('/new')).mode & 0o7777).toBe(0o751)
    expect(statSync(at('/new')).uid).toBe(statSync(at('/old')).uid)
    expect(readFileSync(at('/new'), 'utf8')).toBe('new')
  })

  test('where SELinux is, a context that cannot be kept is an error', async () => {
    put('/old', 'old')
    put('/new', 'new')
    put('/sys/fs/selinux/enforce', '1')
    // This machine has none to keep, unless it has SELinux itself.
    const kept = existsSync('/sys/fs/selinux/enforce')
    const end = await host.machine.keepAttributes('/old', '/new').then(
      () => 'kept',
      (error: unknown) => String(error),
    )
    expect(end).toMatch(kept ? 'kept' : /cannot keep the SELinux context of /)
  })

  test('two names of one file, and names that move', () => {
    put('/old', 'old')
    const { machine } = host
    machine.hardLink('/old', '/kept')
    expect(machine.stat('/old')?.identity).toBe(machine.stat('/kept')?.identity)
    expect(codeFrom(() => machine.hardLink('/old', '/kept'))).toBe('EEXIST')
    // The kernel's rule that the replacement has to know: nothing happens.
    machine.rename('/kept', '/old')
    expect(machine.text('/kept')).toBe('old')
    machine.remove('/kept')
    machine.remove('/kept')
    machine.setMode('/old', 0o755)
    expect(statSync(at('/old')).mode & 0o777).toBe(0o755)
  })
})

describe('programs, signals, sockets', () => {
  test('a binary is run under the name that is asked for', async () => {
    const ran = await host.runBinary('image', '/bin/sh', 'another', ['-c', 'echo $0; echo no >&2; exit 3'], 10_000)
    expect(ran).toEqual({ code: 3, stdout: 'another\n', stderr: 'no\n' })
    expect((await host.runBinary('image', '/no/program', 'x', [], 10_000)).code).toBeUndefined()
    expect((await host.runBinary('image', '/bin/sh', 'sh', ['-c', 'sleep 60'], 200)).code).toBe(124)
  })

  test('programs say what they say in English: it is read', async () => {
    const { stdout } = await host.runBinary('image', '/bin/sh', 'sh', ['-c', 'echo $LC_ALL'], 10_000)
    expect(stdout).toBe('C\n')
  })

  test('what a program leaves behind does not hold us', async () => {
    const started = Date.now()
    const ran = await host.runBinary('image', '/bin/sh', 'sh', ['-c', 'sleep 12 & echo done'], 10_000)
    expect(ran).toMatchObject({ code: 0, stdout: 'done\n' })
    expect(Date.now() - started).toBeLessThan(10_000)
  })

  test('a signal, and nobody to get it', async () => {
    const child = spawn('sleep', ['60'])
    const ended = new Promise((resolve) => child.on('exit', (_code, signal) => resolve(signal)))
    expect(host.kill(child.pid ?? 0, 'SIGTERM')).toBe(true)
    expect(await ended).toBe('SIGTERM')
    expect(host.kill(child.pid ?? 0, 'SIGTERM')).toBe(false)
  })

  test('answers, and none', async () => {
    const server = createServer((_request, response) => response.writeHead(503).end('no'))
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as AddressInfo
    expect(await host.httpStatus(`http://127.0.0.1:${port}/healthz`)).toBe(503)
    expect(await host.accepts(port)).toBe(true)
    await new Promise((resolve) => server.close(resolve))
    expect(await host.httpStatus(`http://127.0.0.1:${port}/healthz`)).toBeUndefined()
    expect(await host.accepts(port)).toBe(false)
  })

  test('one lock for all', async () => {
    const lock = `drover-test-${process.pid}`
    const [first, second] = [1, 2].map(() => linuxHost({ clock: systemClock, root: '/', terminationMessage: '', lock })) as [Host, Host]
    const release = await first.lock()
    expect(release).toBeDefined()
    expect(await second.lock()).toBeUndefined()
    release?.()
    let free: (() => void) | undefined
    for (let tries = 0; free === undefined && tries < 100; tries++) {
      free = await second.lock()
      if (free === undefined) await systemClock.sleep(50)
    }
    expect(free).toBeDefined()
    free?.()
  })

  test('the last word; outside a container there is no place for it', () => {
    host.leaveMessage('{"drover":1}')
    expect(readFileSync(join(root, 'message'), 'utf8')).toBe('{"drover":1}')
    const elsewhere = linuxHost({ clock: systemClock, root: '/', terminationMessage: '/nonexistent/folder/message' })
    expect(() => elsewhere.leaveMessage('x')).not.toThrow()
  })
})
