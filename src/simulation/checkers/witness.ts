/** What checkers have seen happen, by name: a rule that never came to bear proves nothing. */
export interface Witness {
  readonly counts: ReadonlyMap<string, number>
  add(name: string): void
}

export function witnessing(): Witness {
  const counts = new Map<string, number>()
  return { counts, add: (name) => void counts.set(name, (counts.get(name) ?? 0) + 1) }
}
