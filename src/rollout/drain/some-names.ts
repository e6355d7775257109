/** Lists of names for people, who look into the cluster for all of them. */

export const upToThree = (names: readonly string[]): string => names.slice(0, 3).join(', ') + (names.length > 3 ? ', …' : '')

export const upToFive = (names: readonly string[]): string =>
  names.slice(0, 5).join(', ') + (names.length > 5 ? `, and ${names.length - 5} more` : '')
