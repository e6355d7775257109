export interface Complaint {
  readonly id: string
  readonly complaint: string
  readonly seen?: readonly string[]
  /** Why it cannot happen here, instead of tests. */
  readonly reason?: string
  readonly tests?: readonly { readonly file: string; readonly titles: readonly string[] }[]
}

export interface Ran {
  readonly name: string
  readonly status: string
}

export function nameOf(ancestors: readonly string[], title: string): string
export function judge(
  complaints: readonly Complaint[],
  ran: ReadonlyMap<string, readonly Ran[]>,
  expected: (file: string) => boolean,
): readonly string[]
