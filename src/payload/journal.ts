/**
 * The payload's memory on the machine: outside etcd, so that restoring a snapshot does not forget that a release was tried here and rolled
 * back. One file, always written whole.
 */
import { posix } from 'node:path'
import * as z from 'zod'
import type { Host, MachineFiles } from './host.ts'
import { Refusal } from './refusal.ts'

const STATE_FOLDER = '/var/lib/drover'
const JOURNAL = `${STATE_FOLDER}/journal.json`
/** So many failed attempts are remembered. */
const MAX_TRIED = 20

const release = z.object({ version: z.string(), sha256: z.string() })

const schema = z.object({
  v: z.literal(1),
  /** Of the pod that works, or did: see pod-info.ts. */
  attempt: z.object({ key: z.string(), count: z.number() }),
  planHash: z.string(),
  /** `restart` and later: the new file is in place. */
  phase: z.enum(['replace', 'restart', 'done', 'roll-back', 'failed']),
  distribution: z.enum(['rke2', 'k3s']),
  role: z.enum(['server', 'agent']),
  supervisor: z.enum(['systemd', 'openrc', 'other', 'none']),
  unit: z.string().optional(),
  binary: z.string(),
  dataDir: z.string(),
  externalDatastore: z.boolean(),
  snapshots: z.string(),
  from: release,
  to: release,
  /** When the restart was asked for: the new program may run since. */
  restartAt: z.string().optional(),
  /** What the datastore looked like before: see datastore.ts. */
  datastore: z.string().optional(),
  /** Tarballs of images that the payload placed, of this release and earlier ones. */
  images: z.array(z.string()),
  /** Why it is rolled back. */
  why: z.string().optional(),
  /** Where the payload cannot go back: the commands with which a person can. On a silent node nobody else may hear of them. */
  wayBack: z.string().optional(),
  startedAt: z.string(),
  updatedAt: z.string(),
  /** Attempts that did not succeed here, by the release's sum. */
  tried: z.array(z.object({ sha256: z.string(), key: z.string(), count: z.number(), reason: z.string(), why: z.string() })),
})

export type Journal = Readonly<z.infer<typeof schema>>

/** Undefined when there is none. @throws Refusal `Failed` when it cannot be read: nobody may guess what it said. */
export function readJournal(machine: MachineFiles): Journal | undefined {
  const text = machine.text(JOURNAL)
  if (text === undefined) return undefined
  try {
    return schema.parse(JSON.parse(text))
  } catch (error) {
    throw new Refusal('Failed', `${JOURNAL} on the machine cannot be read (${String(error).slice(0, 200)}); look at it, then remove it`)
  }
}

export function writeJournal(machine: MachineFiles, journal: Journal): void {
  machine.makeDirectory(STATE_FOLDER)
  writeWhole(machine, JOURNAL, `${JSON.stringify(journal, null, 2)}\n`)
}

export function withTried(journal: Journal, reason: string, why: string): Journal {
  const entry = { sha256: journal.to.sha256, ...journal.attempt, reason, why: why.slice(0, 500) }
  return { ...journal, tried: [...journal.tried, entry].slice(-MAX_TRIED) }
}

/** Written beside, synced, renamed: a crash leaves the old text or the new one. */
export function writeWhole(machine: MachineFiles, path: string, text: string): void {
  const next = `${path}.next`
  machine.write(next, text)
  machine.rename(next, path)
  machine.sync(posix.dirname(path))
}

const LOCK_POLL_MS = 1000

/**
 * One payload at a time on a machine: a Job may start a pod while the last one still ends.
 * @returns gives the lock back
 * @throws Refusal `Busy` when the other one does not end in time
 */
export async function lockMachine(host: Host, timeoutMs: number, signal: AbortSignal): Promise<() => void> {
  const deadline = host.clock.mono() + timeoutMs
  for (;;) {
    const release = await host.lock()
    if (release !== undefined) return release
    if (host.clock.mono() >= deadline) throw new Refusal('Busy', 'another payload works on this machine')
    await host.clock.sleep(LOCK_POLL_MS, signal)
  }
}
