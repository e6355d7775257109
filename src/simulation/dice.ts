/** Chance with names. */
export interface Dice {
  readonly random: () => number
  chance(probability: number): boolean
  /** A whole number from `low` to `high`, both included. */
  int(low: number, high: number): number
  pick<T>(from: readonly T[]): T
  /** Each element with the given probability, order kept. */
  some<T>(from: readonly T[], probability: number): readonly T[]
}

export function dice(random: () => number): Dice {
  const int = (low: number, high: number) => low + Math.floor(random() * (high - low + 1))
  return {
    random,
    chance: (probability) => random() < probability,
    int,
    pick<T>(from: readonly T[]): T {
      const chosen = from[int(0, from.length - 1)]
      if (chosen === undefined) throw new Error('nothing to pick from')
      return chosen
    },
    some: (from, probability) => from.filter(() => random() < probability),
  }
}
