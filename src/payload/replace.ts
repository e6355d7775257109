/**
 * The file is replaced whole: whatever happens at whatever moment, the path leads to all of the old program or all of the new one. Written
 * beside, synced, renamed, and the folder synced; the old one keeps a name of its own.
 */
import { posix } from 'node:path'
import * as z from 'zod'
import { codeOf, messageOf } from '../base/errors.ts'
import type { Host, MachineFiles } from './host.ts'
import { writeWhole } from './journal.ts'
import { Refusal } from './refusal.ts'

export const previousOf = (binary: string): string => `${binary}.drover-previous`
const recordPath = (binary: string): string => `${previousOf(binary)}.json`
const beside = (binary: string, what: string): string => `${posix.dirname(binary)}/.${posix.basename(binary)}.drover-${what}`

const release = z.object({ version: z.string(), sha256: z.string() })
const schema = z.object({ v: z.literal(1), previous: release, installed: release, at: z.string(), planHash: z.string() })

/** Beside the old program, for people and for a retry that finds the new one in place. */
export type PreviousRecord = Readonly<z.infer<typeof schema>>

export function readPrevious(machine: MachineFiles, binary: string): PreviousRecord | undefined {
  try {
    return schema.parse(JSON.parse(machine.text(recordPath(binary)) ?? ''))
  } catch {
    return undefined
  }
}

/** @throws Refusal `BadPayload`, `NoSpace`, `ReadOnly`, `Failed`; the old program is in place then, and nothing half-written is left */
export async function replaceBinary(host: Host, binary: string, source: string, record: PreviousRecord): Promise<void> {
  const { machine } = host
  const [next, kept] = [beside(binary, 'next'), beside(binary, 'kept')]
  try {
    machine.remove(next)
    const written = await machine.copyIn(source, next)
    if (written !== record.installed.sha256)
      throw new Refusal('BadPayload', `${source} changed while it was copied: its sum is ${written} now`)
    await machine.keepAttributes(binary, next)
    machine.sync(next)
    machine.remove(kept)
    machine.hardLink(binary, kept)
    machine.rename(kept, previousOf(binary))
    // Between two names of one file, rename does nothing.
    machine.remove(kept)
    writeWhole(machine, recordPath(binary), `${JSON.stringify(record)}\n`)
    machine.rename(next, binary)
  } catch (error) {
    for (const path of [next, kept]) discard(machine, path)
    throw asRefusal(error, binary)
  }
  machine.sync(posix.dirname(binary))
}

/** The old program back under its name. Once more is harmless. */
export function restorePrevious({ machine }: Host, binary: string): void {
  const previous = previousOf(binary)
  if (machine.stat(previous) === undefined) return
  const back = beside(binary, 'back')
  machine.remove(back)
  machine.hardLink(previous, back)
  machine.rename(back, binary)
  machine.remove(back)
  machine.sync(posix.dirname(binary))
}

/** A failure to clean up must not hide why. */
function discard(machine: MachineFiles, path: string): void {
  try {
    machine.remove(path)
  } catch {
    // The next attempt removes it.
  }
}

export function asRefusal(error: unknown, path: string): unknown {
  if (error instanceof Refusal) return error
  const code = codeOf(error)
  const text = messageOf(error)
  if (code === 'ENOSPC' || code === 'EDQUOT') return new Refusal('NoSpace', `no space left beside ${path}; nothing was changed`)
  if (['EROFS', 'EPERM', 'EACCES'].includes(code))
    return new Refusal('ReadOnly', `${path} cannot be replaced (${text}); nothing was changed`)
  return new Refusal('Failed', `${path} was not replaced: ${text}`)
}
