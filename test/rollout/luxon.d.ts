/** The little of luxon that the tests use as an oracle; the package ships no types. */
declare module 'luxon' {
  export class IANAZone {
    static create(name: string): IANAZone
    /** Minutes ahead of UTC. */
    offset(ms: number): number
  }
  export class DateTime {
    static fromMillis(ms: number, options: { zone: string }): DateTime
    readonly year: number
    readonly month: number
    readonly day: number
    readonly hour: number
    readonly minute: number
    readonly second: number
    /** 1 is Monday, 7 is Sunday. */
    readonly weekday: number
    getPossibleOffsets(): DateTime[]
    startOf(unit: 'day'): DateTime
    set(values: { hour: number; minute: number }): DateTime
    plus(length: { days: number }): DateTime
    toMillis(): number
  }
}
