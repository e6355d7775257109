/** What the benchmark prints: figures beside their limits. */

export interface Figure {
  readonly name: string
  readonly measured: number
  /** Printed behind numbers; part of both. Empty for counts. */
  readonly unit: string
  /** Most that is allowed. Undefined = for information only. */
  readonly limit?: number
}

/** Something that was not measured is not kept. */
export function exceeded({ measured, limit }: Figure): boolean {
  return limit !== undefined && !(measured <= limit)
}

export function line(figure: Figure): string {
  const { name, measured, unit, limit } = figure
  const shown = `${name}: ${number(measured)}${unit}`
  if (limit === undefined) return shown
  return `${shown} (${number(limit)}${unit}) ${exceeded(figure) ? 'EXCEEDED' : 'ok'}`
}

/** Rounded, but never across the limit: a figure that exceeds 9 by a hair must not read 9. */
function number(value: number): string {
  return Number.isInteger(value) ? String(value) : String(Math.ceil(value * 100) / 100)
}

/** Of an odd number of values the middle one, of an even number the upper of the two. NaN when there are none. */
export function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN
}
