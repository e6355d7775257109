/** Programs that nodes are made of: containerd and runc from the distribution's packages, unpacked beside the system, not installed. */
import { execFileSync } from 'node:child_process'
import { copyFileSync, existsSync, linkSync, mkdirSync, mkdtempSync, readdirSync, realpathSync, renameSync, rmSync } from 'node:fs'
import { homedir } from 'node:os'
import { basename, delimiter, dirname, join } from 'node:path'

const PACKAGES = ['busybox-static', 'containerd', 'libseccomp2', 'runc']
const DOWNLOAD_MS = 300_000

/** Packages unpacked into the user's cache once. Throws with what apt-get says. */
export function unpackPackages(say: (text: string) => void): string {
  const folder = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'drover', `node-packages-${process.arch}`)
  if (existsSync(folder)) return folder
  say(`downloading ${PACKAGES.join(', ')} (once; they are unpacked into ${folder}, not installed)`)
  mkdirSync(dirname(folder), { recursive: true })
  const unfinished = mkdtempSync(`${folder}.`)
  try {
    const debs = join(unfinished, 'debs')
    mkdirSync(debs)
    const apt = (...args: readonly string[]): void => {
      execFileSync('apt-get', ['-q', ...args], { cwd: debs, timeout: DOWNLOAD_MS, stdio: 'pipe', encoding: 'utf8' })
    }
    try {
      apt('download', ...PACKAGES)
    } catch {
      // A machine that never asked knows no packages.
      apt('update')
      apt('download', ...PACKAGES)
    }
    const root = join(unfinished, 'root')
    for (const deb of readdirSync(debs)) execFileSync('dpkg-deb', ['--extract', join(debs, deb), root])
    renameSync(root, folder)
  } finally {
    rmSync(unfinished, { recursive: true, force: true })
  }
  return folder
}

/** A program of the unpacked packages. */
export function packaged(packages: string, name: string): string {
  const found = ['usr/bin', 'usr/sbin', 'bin', 'sbin'].map((folder) => join(packages, folder, name)).find((path) => existsSync(path))
  if (found === undefined) throw new Error(`the packages ${PACKAGES.join(', ')} brought no ${name}`)
  return realpathSync(found)
}

/** A program of this machine. */
export function whereIs(name: string): string {
  const found = (process.env['PATH'] ?? '')
    .split(delimiter)
    .map((folder) => join(folder, name))
    .find((path) => existsSync(path))
  if (found === undefined) throw new Error(`${name} is not on the PATH`)
  return realpathSync(found)
}

/** A hard link where that is possible: the programs are large. */
export function place(from: string, to: string): void {
  mkdirSync(dirname(to), { recursive: true })
  try {
    linkSync(from, to)
  } catch {
    copyFileSync(from, to)
  }
}

/** Copies the shared libraries that programs load into a root folder, where the loader looks for them there. */
export function placeLibraries(programs: readonly string[], root: string, packages: string): void {
  const folders = libraryFolders(packages)
  const found = new Set<string>()
  for (const program of programs) {
    let output: string
    try {
      output = execFileSync('ldd', [program], {
        encoding: 'utf8',
        stdio: 'pipe',
        env: { ...process.env, LD_LIBRARY_PATH: folders.join(':') },
      })
    } catch (error) {
      if (String((error as { stderr?: unknown }).stderr).includes('not a dynamic executable')) continue
      throw error
    }
    const missing = /^\s*(\S+) => not found/m.exec(output)
    if (missing !== null) throw new Error(`${basename(program)} needs ${missing[1]}, which is not on this system`)
    for (const [, path] of output.matchAll(/(?:=> |^\s+)(\/\S+)/gm)) found.add(path as string)
  }
  const libc = [...found].find((path) => basename(path).startsWith('libc.so'))
  for (const path of found) {
    // The loader's own path stands in every program; all else is searched for where the C library is.
    const loader = basename(path).startsWith('ld-')
    const to = join(root, loader || libc === undefined ? path : join(dirname(libc), basename(path)))
    mkdirSync(dirname(to), { recursive: true })
    copyFileSync(path, to)
  }
}

function libraryFolders(packages: string): readonly string[] {
  const lib = join(packages, 'usr/lib')
  return existsSync(lib) ? readdirSync(lib).map((name) => join(lib, name)) : []
}
