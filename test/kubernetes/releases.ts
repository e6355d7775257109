/** The releases that machines run in these tests. Agents must not be ahead of servers, so in a given cluster they depend on what its servers run. */
import { execFileSync } from 'node:child_process'
import type { Node } from 'kubernetes-types/core/v1.d.ts'
import { GIVEN, kubectlCommand } from './given.ts'

interface Line {
  readonly distribution: 'rke2' | 'k3s'
  readonly minor: number
}

const others = GIVEN === undefined ? [] : nodesOf(GIVEN)
const { distribution, minor } = below(others)

/** The given cluster has nodes of its own. */
export const OTHER_NODES = others.length > 0
export const DISTRIBUTION = distribution
const build = distribution === 'rke2' ? 'rke2r1' : 'k3s1'
/** Where agents begin. */
export const OLD = `v1.${minor - 1}.3+${build}`
/** A release one minor above `OLD`. */
export const release = (patch: number): string => `v1.${minor}.${patch}+${build}`
/** Where Plans lead. */
export const NEW = release(3)

function nodesOf(kubeconfig: string): readonly Node[] {
  const [command = '', ...first] = kubectlCommand()
  const text = execFileSync(command, [...first, '--kubeconfig', kubeconfig, 'get', 'nodes', '--output=json'], { encoding: 'utf8' })
  return (JSON.parse(text) as { readonly items: readonly Node[] }).items
}

/** One minor below the oldest server, of the same distribution. Throws when that cannot be told. */
function below(nodes: readonly Node[]): Line {
  let found: Line = { distribution: 'rke2', minor: 36 }
  for (const { metadata, status } of nodes) {
    if (metadata?.labels?.['node-role.kubernetes.io/control-plane'] === undefined) continue
    const version = status?.nodeInfo?.kubeletVersion ?? ''
    const [, least, kind] = /^v1\.(\d+)\..*\+(rke2|k3s)/.exec(version) ?? []
    if (least === undefined || kind === undefined) {
      throw new Error(
        `server ${metadata.name} of the given cluster runs ${version}, and Drover takes no agent beside a server that is not RKE2 or K3s: ` +
          `take its label away with kubectl label node ${metadata.name} node-role.kubernetes.io/control-plane-`,
      )
    }
    found = { distribution: kind as Line['distribution'], minor: Math.min(found.minor, Number(least) - 1) }
  }
  return found
}
