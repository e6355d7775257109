/** Which labels and annotations of a Plan its Jobs and pods carry too. */

type Pairs = Readonly<Record<string, string>>

/**
 * Keys by which tools recognise what they own. On a Job they make Argo CD, Flux, Helm or kapp take it for theirs and prune or "repair" it.
 * SUC copies them; native Jobs do not carry them.
 */
const OWNERSHIP = [
  'argocd.argoproj.io/',
  'kustomize.toolkit.fluxcd.io/',
  'helm.toolkit.fluxcd.io/',
  'helm.sh/',
  'meta.helm.sh/',
  'kapp.k14s.io/',
  'app.kubernetes.io/instance',
  'app.kubernetes.io/managed-by',
]

export type Copying = 'strict' | 'native'

/** SUC's rule: no key that contains `cattle.io/`. Ours are instructions to the controller and never copied. */
export function copiedLabels(labels: Pairs, mode: Copying): Pairs {
  return pick(labels, (key) => !key.includes('cattle.io/') && allowed(key, mode))
}

/** SUC's rule: no key that contains `cattle.io/` or `kubectl.kubernetes.io/`. */
export function copiedAnnotations(annotations: Pairs, mode: Copying): Pairs {
  return pick(annotations, (key) => !key.includes('cattle.io/') && !key.includes('kubectl.kubernetes.io/') && allowed(key, mode))
}

function allowed(key: string, mode: Copying): boolean {
  if (key.startsWith('drover.io/')) return false
  return mode === 'strict' || !OWNERSHIP.some((owned) => (owned.endsWith('/') ? key.startsWith(owned) : key === owned))
}

function pick(pairs: Pairs, wanted: (key: string) => boolean): Pairs {
  return Object.fromEntries(Object.entries(pairs).filter(([key]) => wanted(key)))
}
