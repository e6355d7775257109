/** Why the payload ends without success. The reason is stable; the exit codes are in docs/payload.md, and a test keeps them the same. */
export const EXIT_CODES = {
  Failed: 1,
  Usage: 2,
  Downgrade: 10,
  MinorSkipped: 11,
  ReadOnly: 12,
  NotRunning: 13,
  Ambiguous: 14,
  WrongArchitecture: 15,
  BadPayload: 16,
  NoSpace: 17,
  OwnedByPackage: 18,
  AlreadyTried: 19,
  RolledBack: 20,
  RollbackFailed: 21,
  DatastoreTouched: 22,
  NotProven: 23,
  SnapshotFailed: 24,
  NotSupervised: 25,
  WrongDistribution: 26,
  WrongVersion: 27,
  NoPrivilege: 28,
  Busy: 29,
  Interrupted: 30,
} as const

export type Reason = keyof typeof EXIT_CODES

/** Another pod with the same release may end otherwise; after all others somebody has to do something first. */
export const WORTH_A_RETRY: readonly Reason[] = ['Failed', 'Busy', 'Interrupted', 'NotRunning']

/** Thrown to end the payload; nothing catches it but the end itself. */
export class Refusal extends Error {
  readonly reason: Reason
  /** The last lines of the service's log, where they tell more. */
  readonly log: string | undefined

  constructor(reason: Reason, message: string, log?: string) {
    super(message)
    this.name = 'Refusal'
    this.reason = reason
    this.log = log
  }
}
