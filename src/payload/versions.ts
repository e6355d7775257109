/** What a program says of its version, and which steps between versions are allowed. */
import { posix } from 'node:path'
import { compareVersions, minorsBetween, munge, parseVersion, type Version } from '../rollout/version.ts'
import type { Role } from './find.ts'
import type { Host } from './host.ts'
import { Refusal } from './refusal.ts'

const VERSION_MS = 30_000

/** The program's own word; undefined when it does not answer, or not in a form that is known. */
export async function versionOf(host: Host, where: 'machine' | 'image', path: string, program: string): Promise<Version | undefined> {
  const { code, stdout } = await host.runBinary(where, path, program, ['--version'], VERSION_MS)
  if (code !== 0) return undefined
  const said = /^(?:rke2|k3s) version (\S+)/m.exec(stdout)?.[1]
  return said === undefined ? undefined : parseVersion(said)
}

export interface StepOptions {
  readonly allowDowngrade: boolean
  readonly allowSkip: boolean
}

/**
 * Forward only, and servers minor by minor, unless told.
 * @throws Refusal `Downgrade`, `MinorSkipped`, `WrongDistribution`
 */
export function checkStep(from: Version, to: Version, role: Role, { allowDowngrade, allowSkip }: StepOptions): void {
  if (from.distribution !== to.distribution)
    throw new Refusal('WrongDistribution', `the machine runs ${from.text}, the image carries ${to.text}`)
  if (compareVersions(to, from) < 0 && !allowDowngrade) {
    throw new Refusal('Downgrade', `${to.text} is lower than ${from.text}; --allow-downgrade goes on nevertheless`)
  }
  const minors = minorsBetween(from, to)
  if (role === 'server' && minors > 1 && !allowSkip) {
    throw new Refusal(
      'MinorSkipped',
      `from ${from.text} to ${to.text} a server skips ${minors - 1} minor versions; go one by one, or use --allow-skip`,
    )
  }
}

/** The Plan's version, where it is one of RKE2 or K3s: an image that was pinned to something else does not go on. */
export function checkPlanned(planned: string | undefined, to: Version): void {
  if (planned === undefined || parseVersion(planned) === undefined) return
  if (munge(planned) !== munge(to.text)) throw new Refusal('WrongVersion', `the Plan says ${planned}, the image carries ${to.text}`)
}

/** A program that is named by its path, as it would be called. */
export const nameOf = (path: string): string => posix.basename(path)
