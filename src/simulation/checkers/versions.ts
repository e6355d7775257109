/** Versions of RKE2 and K3s, read anew for the judge: `v1.33.4+rke2r1`, as an image tag `v1.33.4-rke2r1`, as a candidate `v1.33.4-rc1+rke2r1`. */
export interface SeenVersion {
  readonly minor: number
  /** Comparable as a whole: minor, patch and release. Candidates count as their release, since their kubelets report it. */
  readonly rank: number
}

const SHAPE = /^v(\d+)\.(\d+)\.(\d+)(?:-rc\d+)?[+-](?:rke2r|k3s)(\d+)$/

export function readVersion(text: string): SeenVersion | undefined {
  const match = SHAPE.exec(text)
  if (match === null) return undefined
  const [major, minor, patch, release] = match.slice(1).map(Number) as [number, number, number, number]
  return { minor: major * 1000 + minor, rank: ((major * 1000 + minor) * 1000 + patch) * 1000 + release }
}

export function sameVersion(a: string, b: string): boolean {
  const left = readVersion(a)
  return left !== undefined && left.rank === readVersion(b)?.rank
}

/** The upgrade images whose work is to replace the Kubernetes binary of a node. */
export function isKnownImage(image: string): boolean {
  const last = image.slice(image.lastIndexOf('/') + 1).replace(/[:@].*$/, '')
  return /^(drover-)?(rke2|k3s)-upgrade$/.test(last)
}
