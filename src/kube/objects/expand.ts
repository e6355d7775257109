/**
 * Kubernetes' `$(NAME)` expansion (k8s.io/kubernetes third_party/forked/golang/expansion): `$$` stands for `$`,
 * names that `lookup` does not know stay as they are.
 */
export function expandVariables(text: string, lookup: (name: string) => string | undefined): string {
  return text.replace(/\$\$|\$\(([^)]*)\)/g, (whole, name: string | undefined) => {
    if (name === undefined) return '$'
    return lookup(name) ?? whole
  })
}
