/**
 * All that the payload reads and does, so that every step can be tried on recorded trees and broken on purpose. The one implementation that
 * touches a machine is linux-host.ts. Errors of files carry Node's codes (`ENOSPC`, `EROFS`, …).
 */
import type { Clock } from '../base/clock.ts'

export interface FileStat {
  readonly kind: 'file' | 'directory' | 'other'
  readonly size: number
  /** Device and inode: two paths with the same are one file. */
  readonly identity: string
  /** Milliseconds since the epoch, the machine's clock. */
  readonly modifiedAt: number
}

/** Paths are absolute. What does not exist is undefined, not an error. */
export interface ReadFiles {
  /** At most the first MiB, as UTF-8. */
  text(path: string): string | undefined
  /** The first bytes; fewer when the file is shorter. */
  head(path: string, bytes: number): Uint8Array | undefined
  /** Names in a folder, sorted. */
  list(path: string): readonly string[] | undefined
  /** Of the file that a symbolic link leads to. */
  stat(path: string): FileStat | undefined
  /** Hex. Rejects when the file does not exist. */
  sha256(path: string): Promise<string>
}

/** The machine's files. Symbolic links are followed inside its tree, never out of it, except below `/proc`, where the kernel follows them. */
export interface MachineFiles extends ReadFiles {
  /** Where a symbolic link points, as it is written. */
  link(path: string): string | undefined
  /** The path without symbolic links; parts that do not exist are kept. */
  real(path: string): string
  /** At most the last bytes, as UTF-8. */
  tail(path: string, bytes: number): string | undefined
  /** Bytes that may be written to the file system of an existing path. */
  freeBytes(path: string): number
  /** Undefined when files can be made in the folder; otherwise the error's code. */
  unwritable(folder: string): string | undefined
  /** The first match in the file's bytes (as Latin-1); at most 200 bytes long. */
  find(path: string, pattern: RegExp): Promise<string | undefined>
  /** Copies a file of the image to a new file, mode 0600, not yet synced. Resolves with the sum of what was written. */
  copyIn(imagePath: string, path: string): Promise<string>
  /** Makes or empties a file, mode 0600, and syncs it. */
  write(path: string, text: string): void
  /** Owner, mode, extended attributes and, where the machine has SELinux, the context. */
  keepAttributes(from: string, to: string): Promise<void>
  setMode(path: string, mode: number): void
  /** A file's content, or a folder's entries, to the disk. */
  sync(path: string): void
  rename(from: string, to: string): void
  hardLink(from: string, to: string): void
  /** Nothing there is fine. */
  remove(path: string): void
  /** With parents, mode 0700; there already is fine. */
  makeDirectory(path: string): void
}

export interface RunResult {
  /** Exit code; undefined when the program does not exist, 124 when it was stopped after its time. */
  readonly code: number | undefined
  readonly stdout: string
  readonly stderr: string
}

export interface Host {
  readonly clock: Clock
  readonly machine: MachineFiles
  /** The payload's own container. */
  readonly image: ReadFiles
  /** The machine's one lock for payloads, which goes with its holder; undefined while another holds it. */
  lock(): Promise<(() => void) | undefined>
  /** False when there is no such process. */
  kill(pid: number, signal: 'SIGTERM' | 'SIGKILL'): boolean
  /** A program of the machine, in the machine's own mount namespace. */
  runOnMachine(command: readonly string[], timeoutMs: number): Promise<RunResult>
  /** A binary of the machine or (`image:`) of the image, run here with the given name (`argv[0]`). Only for `--version`. */
  runBinary(where: 'machine' | 'image', path: string, name: string, args: readonly string[], timeoutMs: number): Promise<RunResult>
  /** Status of a GET to an address of this machine; undefined when nobody answers within a few seconds. */
  httpStatus(url: string): Promise<number | undefined>
  /** Somebody accepts connections at the port of this machine. */
  accepts(port: number): Promise<boolean>
  /** One line, for the container's termination message. At most 4096 bytes count. */
  leaveMessage(text: string): void
}
