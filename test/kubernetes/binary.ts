/** The Kubernetes programs of `kube/`, built once a machine. */
import { createHash } from 'node:crypto'
import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { root } from './root.ts'

const module_ = join(root, 'test/kubernetes/kube')
/** Compiling Kubernetes from nothing takes about eight minutes on two cores. */
const BUILD_MS = 40 * 60_000

/** Path of the built binary, named by what it is made of; it is outside the checkout so that the next clone finds it. */
export function kubeBinary(): string {
  const hash = createHash('sha256')
  for (const name of readdirSync(module_).toSorted())
    hash
      .update(name)
      .update('\0')
      .update(readFileSync(join(module_, name)))
  const cache = process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache')
  return join(cache, 'drover', `kube-${hash.digest('hex').slice(0, 16)}`)
}

/** Builds the binary unless it is there. Throws with the compiler's last words. */
export async function buildKube(say: (text: string) => void = () => {}): Promise<string> {
  const binary = kubeBinary()
  if (existsSync(binary)) return binary
  mkdirSync(join(binary, '..'), { recursive: true })
  const version = kubernetesVersion()
  const [, major = '', minor = ''] = /^v(\d+)\.(\d+)/.exec(version) ?? []
  say(`building Kubernetes ${version} (about eight minutes on two cores, once)`)
  const stamp = (name: string, value: string): string => `-X k8s.io/component-base/version.${name}=${value}`
  const flags = ['-s', '-w', stamp('gitVersion', version), stamp('gitMajor', major), stamp('gitMinor', minor)].join(' ')
  const unfinished = `${binary}.${process.pid}`
  try {
    await promisify(execFile)('go', ['build', '-buildvcs=false', '-trimpath', '-ldflags', flags, '-o', unfinished, '.'], {
      cwd: module_,
      // With cgo, half of Kubernetes would be compiled a second time.
      env: { ...process.env, CGO_ENABLED: '0' },
      timeout: BUILD_MS,
      maxBuffer: 64 * 1024 * 1024,
    })
    renameSync(unfinished, binary)
  } finally {
    rmSync(unfinished, { force: true })
  }
  return binary
}

/** What `kube/go.mod` asks for, such as `v1.36.3`. */
export function kubernetesVersion(): string {
  const found = /^\s+k8s\.io\/kubernetes (v\S+)$/m.exec(readFileSync(join(module_, 'go.mod'), 'utf8'))?.[1]
  if (found === undefined) throw new Error('kube/go.mod does not require k8s.io/kubernetes')
  return found
}
