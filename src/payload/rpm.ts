/** Does the program belong to an RPM package? Then it is the package manager's to replace: its database, units and SELinux rules would stay old. */
import type { Version } from '../rollout/version.ts'
import type { Service } from './find.ts'
import type { Host, MachineFiles } from './host.ts'
import { Refusal } from './refusal.ts'

const RPM_MS = 30_000
const RPM = ['/usr/bin/rpm', '/bin/rpm']
/** Where rpm keeps its database: everywhere at first, later on SUSE and Fedora, on systems made by ostree. */
const DATABASES = ['/var/lib/rpm', '/usr/lib/sysimage/rpm', '/usr/share/rpm']
/** In Berkeley DB, ndb and SQLite. */
const DATABASE = /^(?:Packages|Packages\.db|rpmdb\.sqlite)$/

/** @throws Refusal `OwnedByPackage`, also when nobody can say whose the file is on a machine that has packages */
export async function checkPackage(host: Host, service: Service, to: Version): Promise<void> {
  const { machine } = host
  if (!RPM.some((path) => machine.stat(path) !== undefined)) return
  const { binary } = service
  const { code, stdout, stderr } = await host.runOnMachine(['rpm', '-qf', '--qf', '%{NAME}-%{VERSION}-%{RELEASE}\\n', binary], RPM_MS)
  if (code !== 0 && /is not owned by any package/.test(`${stdout}${stderr}`)) return
  const owner = code === 0 ? stdout.trim() : ''
  // The rpm of busybox only opens package files and answers such a question with its usage: where it is, there is no database to ask.
  if (owner === '' && !hasDatabase(machine)) return
  const words =
    owner === '' ? `may belong to a package (rpm: ${stderr.trim().slice(0, 200) || `exit ${code}`})` : `belongs to the package ${owner}`
  throw new Refusal(
    'OwnedByPackage',
    `${binary} ${words}; upgrade it with: ${installCommand(machine, service, to)}; or replace the file nevertheless with --rpm=replace`,
  )
}

const hasDatabase = (machine: MachineFiles): boolean =>
  DATABASES.some((folder) => (machine.list(folder) ?? []).some((name) => DATABASE.test(name)))

function installCommand(machine: MachineFiles, { distribution, role }: Service, to: Version): string {
  const name = `${distribution === 'rke2' ? `rke2-${role}` : 'k3s'}-${to.text.replace(/^v/, '').replace('+', '~')}`
  const tools = [
    ['/usr/sbin/transactional-update', `transactional-update pkg install ${name}, then a reboot`],
    ['/usr/bin/dnf', `dnf install -y ${name}`],
    ['/usr/bin/zypper', `zypper install -y ${name}`],
  ] as const
  return tools.find(([path]) => machine.stat(path) !== undefined)?.[1] ?? `yum install -y ${name}`
}
