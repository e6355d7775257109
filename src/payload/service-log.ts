/** The last lines that the service wrote, for whoever has to find out why it did not come up. */
import type { Host } from './host.ts'

const JOURNALCTL_MS = 10_000
const LINES = 20
const MAX = 1800

export async function serviceLog(host: Host, unit: string | undefined, distribution: string): Promise<string> {
  const said =
    unit === undefined
      ? undefined
      : await host.runOnMachine(['journalctl', '--no-pager', '-o', 'cat', '-n', String(LINES), '-u', unit], JOURNALCTL_MS)
  if (said?.code === 0 && said.stdout.trim() !== '') return tail(said.stdout)
  const names = [unit?.replace(/\.service$/, ''), `${distribution}-server`, `${distribution}-agent`, distribution]
  const text = names
    .map((name) => (name === undefined ? undefined : host.machine.tail(`/var/log/${name}.log`, MAX * 4)))
    .find((read) => read !== undefined)
  return tail(text ?? '')
}

function tail(text: string): string {
  return text.trimEnd().split('\n').slice(-LINES).join('\n').slice(-MAX)
}
