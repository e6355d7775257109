/** What `npm run test:nodes` prepares for the tests, and where. */
import { join } from 'node:path'

/** A release of RKE2 that exists in these tests. All come from one source; what differs is what they report and how they fail. */
export interface Release {
  readonly version: string
  /**
   * What is wrong with it: `crash` ends at start, `touch` once it has taken over a server's datastore, `hang` runs and starts nothing, `foreign`
   * is built for another architecture, of `truncated` the images carry but a part.
   */
  readonly fault?: 'crash' | 'touch' | 'hang' | 'foreign' | 'truncated'
}

export const OLD: Release = { version: 'v1.36.3+rke2r1' }
export const NEW: Release = { version: 'v1.36.3+rke2r2' }
export const CRASHING: Release = { version: 'v1.36.5+rke2r1', fault: 'crash' }
export const FOREIGN: Release = { version: 'v1.36.6+rke2r1', fault: 'foreign' }
export const TRUNCATED: Release = { version: 'v1.36.7+rke2r1', fault: 'truncated' }
export const HANGING: Release = { version: 'v1.36.8+rke2r1', fault: 'hang' }
export const TOUCHING: Release = { version: 'v1.37.0+rke2r1', fault: 'touch' }
export const RELEASES: readonly Release[] = [OLD, NEW, CRASHING, FOREIGN, TRUNCATED, HANGING, TOUCHING]

/** A version as an image's tag. */
export const tagOf = ({ version }: Release): string => version.replaceAll('+', '-')

/** Images without a registry: each node finds them in its air-gap folder. */
export const PAUSE_IMAGE = 'drover.test/pause:1'
export const TOOLS_IMAGE = 'drover.test/tools:1'
/** As the published image, with our stand-in for its script. */
export const UPSTREAM_IMAGE = 'docker.io/rancher/rke2-upgrade'

/** Drover's own. */
export const PAYLOAD_IMAGE = 'drover.test/drover-rke2-upgrade'

/** The folder of this run. The variable is set for the tests by `main.ts`. */
export const FOLDER_VARIABLE = 'DROVER_NODES_FOLDER'
/** The run's folder in each cgroup hierarchy. */
export const CGROUP_VARIABLE = 'DROVER_NODES_CGROUP'

export function layout(folder: string) {
  const at = (name: string): string => join(folder, name)
  return {
    folder,
    /** containerd, runc, kubelet: the same on every node, mounted read-only. */
    programs: at('programs'),
    /** Root of every machine: shared libraries, a shell. */
    skeleton: at('skeleton'),
    boot: at('boot'),
    release: ({ version }: Release): string => at(`releases/rke2-${version}`),
    /** Archives of images. */
    images: at('images'),
    machine: (name: string): string => at(`machines/${name}`),
  }
}

export type Layout = ReturnType<typeof layout>

export const BRIDGE_ADDRESS = '198.18.0.1'
