/** Makes what nodes are made of: programs, releases, images. Needs the network the first time; the tests have none. */
import { execFileSync } from 'node:child_process'
import { chmodSync, copyFileSync, mkdirSync, readdirSync, rmSync, statSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { buildKube } from '../kubernetes/binary.ts'
import { root } from '../kubernetes/root.ts'
import { writeImages } from './image.ts'
import { type Layout, PAUSE_IMAGE, PAYLOAD_IMAGE, type Release, RELEASES, tagOf, TOOLS_IMAGE, UPSTREAM_IMAGE } from './layout.ts'
import { packaged, place, placeLibraries, unpackPackages, whereIs } from './programs.ts'
import { sha256 } from './sum.ts'

const NODE_PROGRAMS = ['containerd', 'containerd-shim-runc-v2', 'ctr', 'runc']
const FOREIGN_ARCHITECTURE = process.arch === 'x64' ? 'arm64' : 'amd64'
const BUILD_MS = 300_000

export async function prepare(paths: Layout, say: (text: string) => void): Promise<void> {
  const kube = await buildKube(say)
  const packages = unpackPackages(say)
  for (const name of NODE_PROGRAMS) place(packaged(packages, name), join(paths.programs, name))
  place(kube, join(paths.programs, 'kubelet'))
  busybox(packages, paths.skeleton)
  placeLibraries(
    NODE_PROGRAMS.map((name) => join(paths.programs, name)),
    paths.skeleton,
    packages,
  )
  build('boot', paths.boot)
  for (const release of RELEASES) buildRelease(release, paths.release(release))
  images(paths, packages)
}

/** A root folder in which there is a shell. */
function busybox(packages: string, folder: string): void {
  const program = packaged(packages, 'busybox')
  mkdirSync(join(folder, 'bin'), { recursive: true })
  for (const name of ['etc', 'opt', 'root', 'tmp']) mkdirSync(join(folder, name), { recursive: true })
  copyFileSync(program, join(folder, 'bin/busybox'))
  chmodSync(join(folder, 'bin/busybox'), 0o755)
  for (const name of execFileSync(program, ['--list'], { encoding: 'utf8' }).trim().split('\n')) {
    if (name !== 'busybox') symlinkSync('busybox', join(folder, 'bin', name))
  }
  writeFileSync(join(folder, 'etc/passwd'), 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n')
  writeFileSync(join(folder, 'etc/group'), 'root:x:0:\n')
}

function build(
  program: 'boot' | 'rke2',
  file: string,
  values: Readonly<Record<string, string>> = {},
  env: Readonly<Record<string, string>> = {},
): void {
  const flags = ['-s', '-w', ...Object.entries(values).map(([name, value]) => `-X main.${name}=${value}`)].join(' ')
  execFileSync('go', ['build', '-buildvcs=false', '-trimpath', '-ldflags', flags, '-o', file, `./${program}`], {
    cwd: join(root, 'test/nodes/machine'),
    env: { ...process.env, CGO_ENABLED: '0', GOFLAGS: '', GOWORK: 'off', ...env },
    timeout: BUILD_MS,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
}

function buildRelease({ version, fault }: Release, file: string): void {
  const env: Record<string, string> = fault === 'foreign' ? { GOARCH: FOREIGN_ARCHITECTURE } : {}
  build('rke2', file, { version, fault: fault === 'foreign' || fault === 'truncated' ? '' : (fault ?? '') }, env)
}

function images(paths: Layout, packages: string): void {
  const work = join(paths.folder, 'image-roots')
  const base = join(work, 'base')
  busybox(packages, base)
  mkdirSync(paths.images, { recursive: true })
  writeImages(join(paths.images, 'base.tar'), [
    { name: PAUSE_IMAGE, layers: [base], entrypoint: ['/bin/busybox', 'sleep', '2147483647'] },
    { name: TOOLS_IMAGE, layers: [base], entrypoint: ['/bin/sh'] },
  ])
  const script = join(work, 'stand-in')
  mkdirSync(join(script, 'bin'), { recursive: true })
  copyFileSync(join(root, 'test/nodes/stand-in.sh'), join(script, 'bin/upgrade.sh'))
  chmodSync(join(script, 'bin/upgrade.sh'), 0o755)
  const carried = new Map(RELEASES.map((release) => [release, carry(paths, release, join(work, tagOf(release)))]))
  writeImages(
    join(paths.images, 'upstream.tar'),
    [...carried].map(([release, folder]) => ({
      name: `${UPSTREAM_IMAGE}:${tagOf(release)}`,
      layers: [base, script, folder],
      entrypoint: ['/bin/upgrade.sh'],
      cmd: ['upgrade'],
    })),
  )
  const [runtime, drover] = [join(work, 'runtime'), join(work, 'drover')]
  payloadRuntime(runtime, packages)
  mkdirSync(join(drover, 'drover/dist'), { recursive: true })
  for (const name of readdirSync(join(root, 'dist'))) {
    if (name.endsWith('.js')) copyFileSync(join(root, 'dist', name), join(drover, 'drover/dist', name))
  }
  copyFileSync(join(root, 'package.json'), join(drover, 'drover/package.json'))
  writeImages(
    join(paths.images, 'payload.tar'),
    [...carried].map(([release, folder]) => ({
      name: `${PAYLOAD_IMAGE}:${tagOf(release)}`,
      layers: [base, runtime, drover, folder],
      entrypoint: ['node', '/drover/dist/main.js', 'payload'],
      cmd: ['upgrade'],
    })),
  )
  rmSync(work, { recursive: true })
}

/** What both kinds of images have in /opt. */
function carry(paths: Layout, release: Release, folder: string): string {
  const file = join(folder, 'opt/rke2')
  mkdirSync(join(folder, 'opt'), { recursive: true })
  copyFileSync(paths.release(release), file)
  writeFileSync(join(folder, 'opt/SHA256SUMS'), `${sha256(file)}  rke2\n`)
  if (release.fault === 'truncated') truncateSync(file, Math.floor(statSync(file).size / 2))
  return folder
}

/** What payload/Dockerfile takes from its base image: Node, and GNU cp, which knows more than Node. From this machine, to need no registry. */
function payloadRuntime(folder: string, packages: string): void {
  const programs = [process.execPath, whereIs('cp'), whereIs('nsenter')]
  mkdirSync(join(folder, 'usr/bin'), { recursive: true })
  for (const program of programs) copyFileSync(program, join(folder, 'usr/bin', basename(program)))
  placeLibraries(programs, folder, packages)
}
