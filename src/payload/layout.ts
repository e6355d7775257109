/** How RKE2 and K3s are laid out on a machine: units, environment files, configuration, data. */
import { parse } from 'yaml'
import type { Distribution } from '../rollout/version.ts'
import type { MachineFiles } from './host.ts'

export interface Unit {
  /** `rke2-server.service` */
  readonly name: string
  /** Undefined when the process is in the unit's control group but its file was not found. */
  readonly path: string | undefined
  /** Words of ExecStart, drop-ins included. */
  readonly command: readonly string[]
  /** Those that it names, whether they exist or not. */
  readonly environmentFiles: readonly string[]
}

/** In the order in which systemd looks. */
const UNIT_FOLDERS = [
  '/etc/systemd/system',
  '/run/systemd/system',
  '/usr/local/lib/systemd/system',
  '/usr/lib/systemd/system',
  '/lib/systemd/system',
  '/opt/rke2/lib/systemd/system',
]

export function readUnit(machine: MachineFiles, name: string): Unit {
  const path = UNIT_FOLDERS.map((folder) => `${folder}/${name}`).find((candidate) => machine.stat(candidate) !== undefined)
  const lines = [...(path === undefined ? [] : [path]), ...dropIns(machine, name)].flatMap((file) =>
    (machine.text(file) ?? '').replaceAll(/\\\n/g, ' ').split('\n'),
  )
  const values = (key: string) => lines.filter((line) => line.startsWith(`${key}=`)).map((line) => line.slice(key.length + 1).trim())
  const stem = name.replace(/\.service$/, '')
  return {
    name,
    path,
    command: unquoted(values('ExecStart').at(-1) ?? ''),
    environmentFiles: values('EnvironmentFile')
      .filter((value) => value !== '')
      .map((value) => value.replace(/^-/, '').replaceAll('%N', stem).replaceAll('%n', name)),
  }
}

/** What people and Rancher add to a unit, in the order in which systemd reads it: by name, whatever the folder; of two with one name the first. */
function dropIns(machine: MachineFiles, unit: string): readonly string[] {
  const found = new Map<string, string>()
  for (const folder of UNIT_FOLDERS) {
    for (const name of machine.list(`${folder}/${unit}.d`) ?? []) {
      if (name.endsWith('.conf') && !found.has(name)) found.set(name, `${folder}/${unit}.d/${name}`)
    }
  }
  return [...found].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, path]) => path)
}

/** K3s' installer writes one quoted argument a line. */
function unquoted(command: string): readonly string[] {
  return [...command.matchAll(/'([^']*)'|"([^"]*)"|(\S+)/g)]
    .map(([, single, double, plain]) => single ?? double ?? plain ?? '')
    .filter((word) => word !== '')
}

export interface Configuration {
  readonly dataDir: string
  /** A database other than the embedded one. */
  readonly externalDatastore: boolean
  /** Where a server keeps its etcd snapshots. */
  readonly snapshots: string
}

/**
 * From the command, else the environment, else the configuration files, else the defaults: the order of the programs themselves. The folder of the
 * data, where none of them names it, is the one that is seen in use.
 */
export function readConfiguration(
  machine: MachineFiles,
  distribution: Distribution,
  words: readonly string[],
  environment: Readonly<Record<string, string>>,
  dataDirSeen: string | undefined,
): Configuration {
  const prefix = distribution.toUpperCase()
  const file = flag(words, '--config', '-c') ?? environment[`${prefix}_CONFIG_FILE`] ?? `/etc/rancher/${distribution}/config.yaml`
  const config = fromFiles(machine, file)
  const dataDir = flag(words, '--data-dir', '-d') ?? fromEnvironment(environment[`${prefix}_DATA_DIR`]) ?? textOf(config['data-dir'])
  const datastore =
    flag(words, '--datastore-endpoint') ?? environment[`${prefix}_DATASTORE_ENDPOINT`] ?? textOf(config['datastore-endpoint']) ?? ''
  const data = dataDir ?? dataDirSeen ?? `/var/lib/rancher/${distribution}`
  return {
    dataDir: data,
    externalDatastore: datastore !== '' && !datastore.startsWith('sqlite'),
    snapshots: flag(words, '--etcd-snapshot-dir') ?? textOf(config['etcd-snapshot-dir']) ?? `${data}/server/db/snapshots`,
  }
}

/** K3s puts the folder of its unpacked programs into this variable of its own process. */
function fromEnvironment(value: string | undefined): string | undefined {
  return value === undefined || value === '' || /\/data\/[0-9a-f]{64}$/.test(value) ? undefined : value
}

function flag(words: readonly string[], ...names: readonly string[]): string | undefined {
  for (const [index, word] of words.entries()) {
    for (const name of names) {
      if (word === name) return words[index + 1]
      if (word.startsWith(`${name}=`)) return word.slice(name.length + 1)
    }
  }
  return undefined
}

/** `config.yaml`, then `config.yaml.d/*.yaml` in order; the last one wins. */
function fromFiles(machine: MachineFiles, file: string): Readonly<Record<string, unknown>> {
  const folder = `${file}.d`
  const more = (machine.list(folder) ?? []).filter((name) => /\.ya?ml$/.test(name)).map((name) => `${folder}/${name}`)
  const merged: Record<string, unknown> = {}
  for (const path of [file, ...more]) {
    try {
      const read: unknown = parse(machine.text(path) ?? '')
      if (typeof read === 'object' && read !== null) Object.assign(merged, read)
    } catch {
      // The service itself would not start with such a file; that it runs says that the file is not used, or was broken since.
    }
  }
  return merged
}

const textOf = (value: unknown): string | undefined => (typeof value === 'string' && value !== '' ? value : undefined)
