import type { Container, Pod } from 'kubernetes-types/core/v1.d.ts'
import type { Clock } from '../../base/clock.ts'
import type { Transport } from '../../base/process.ts'
import type { Stored } from '../kinds.ts'
import type { Machine } from '../machines/machine.ts'

/** What a container of an image does. Resolves to its exit code; a rejection is an exit code of 1 with the error as last log line. */
export type Program = (pod: Stored<Pod>, machine: Machine, io: ProgramIo) => Promise<number>

/** What a program is given besides its machine. */
export interface ProgramIo {
  readonly container: Container
  /** Command and args, with `$(VARIABLE)` expanded. */
  readonly args: readonly string[]
  readonly env: Readonly<Record<string, string>>
  /** Tag of the image. */
  readonly version: string
  /** The API as the pod's ServiceAccount. */
  readonly api: Transport
  readonly clock: Clock
  readonly random: () => number
  /** Appends a line to the container's log. */
  log(line: string): void
  /** Aborts on SIGTERM. A program that goes on regardless is killed when the grace period is over. */
  readonly killed: AbortSignal
  /** Text of a file from a mounted Secret, ConfigMap or downward API volume. */
  read(path: string): Promise<string | undefined>
}
