/** What a machine must have for these tests. */
import { spawnSync } from 'node:child_process'
import { accessSync, constants, existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'

const PROGRAMS = ['apt-get', 'dpkg-deb', 'go', 'ip', 'ldd', 'nsenter', 'openssl', 'setpriv', 'tar', 'unshare']
/** What the kubelet of a node accounts with. */
const CONTROLLERS = ['cpu', 'cpuacct', 'cpuset', 'devices', 'freezer', 'memory', 'pids', 'systemd']
export const CGROUPS = '/sys/fs/cgroup'

/** Empty when all is there. */
export function missing(): readonly string[] {
  if (process.platform !== 'linux') return ['Linux']
  if (process.getuid?.() !== 0) return ['root']
  const programs = PROGRAMS.filter((name) => !onPath(name)).map((name) => `${name} on the PATH`)
  const go = /go(\d+)\.(\d+)/.exec(spawnSync('go', ['version'], { encoding: 'utf8' }).stdout ?? '')
  const old = go !== null && Number(go[1]) === 1 && Number(go[2]) < 26 ? ['Go 1.26 or newer'] : []
  const controllers = CONTROLLERS.filter((name) => !writable(join(CGROUPS, name, 'cgroup.procs')))
  const unified = existsSync(join(CGROUPS, 'cgroup.controllers'))
    ? ' (this system has cgroup v2 only, for which these nodes are not made)'
    : ''
  const cgroups = controllers.length === 0 ? [] : [`cgroup v1 hierarchies at ${CGROUPS}/{${controllers.join(',')}}${unified}`]
  const found = [...programs, ...old, ...cgroups]
  if (found.length > 0) return found
  const unshared = spawnSync(
    'unshare',
    ['--pid', '--mount', '--net', '--ipc', '--uts', '--cgroup', '--fork', 'ip', 'link', 'add', 'name', 'br0', 'type', 'bridge'],
    { encoding: 'utf8' },
  )
  return unshared.status === 0 ? [] : [`the right to make namespaces and a network bridge (${unshared.stderr.trim()})`]
}

const onPath = (name: string): boolean =>
  (process.env['PATH'] ?? '').split(delimiter).some((folder) => can(join(folder, name), constants.X_OK))

const writable = (path: string): boolean => can(path, constants.W_OK)

function can(path: string, mode: number): boolean {
  try {
    accessSync(path, mode)
    return true
  } catch {
    return false
  }
}
