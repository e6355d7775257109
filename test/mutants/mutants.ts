/** One deliberate defect: the text `find` stands exactly once in `file`. */
export interface Mutant {
  readonly name: string
  readonly file: string
  readonly find: string
  readonly replace: string
}

/** Each removes a safeguard that a promise rests on. */
export const MUTANTS: readonly Mutant[] = []
