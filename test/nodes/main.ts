/**
 * `npm run test:nodes [-- JEST ARGUMENTS]`: jest in a world of its own, a throw-away set of namespaces in which it is process 1. When it ends, or
 * this process does, however that comes about, the kernel ends every process in there and with them every mount and network link. What is left
 * over by a killed run (a folder, empty cgroups) is removed by the next one.
 */
import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, rmdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { root } from '../kubernetes/root.ts'
import { CGROUP_VARIABLE, FOLDER_VARIABLE, layout } from './layout.ts'
import { CGROUPS, missing } from './needs.ts'
import { prepare } from './prepare.ts'

const NAME = /^drover-nodes-(\d+)(?:-|$)/

const say = (text: string): void => void process.stderr.write(`nodes: ${text}\n`)

process.exit(await main(process.argv.slice(2)))

async function main(args: readonly string[]): Promise<number> {
  const lacking = missing()
  if (lacking.length > 0) {
    say(`these tests run real kubelets and need ${lacking.join('; ')}`)
    return 1
  }
  await sweep((pid) => existsSync(`/proc/${pid}`))
  const folder = mkdtempSync(join(tmpdir(), `drover-nodes-${process.pid}-`))
  try {
    const started = Date.now()
    await prepare(layout(folder), say)
    say(`programs, releases and images are ready after ${((Date.now() - started) / 1000).toFixed(1)} s`)
    return await world(folder, args)
  } catch (error) {
    say(error instanceof Error ? error.message : String(error))
    return 1
  } finally {
    if (process.env['KEEP'] === undefined) await sweep((pid) => pid !== process.pid && existsSync(`/proc/${pid}`))
    else say(`kept: ${folder}`)
  }
}

function world(folder: string, args: readonly string[]): Promise<number> {
  const named = args.some((arg) => !arg.startsWith('-'))
  const jest = [
    join(root, 'node_modules/jest/bin/jest.js'),
    '--runInBand',
    ...args,
    ...(named ? [] : ['--testPathPatterns', 'test/nodes/']),
  ]
  const namespaces = ['--pid', '--mount', '--net', '--ipc', '--uts', '--fork', '--kill-child', '--mount-proc']
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', 'unshare', ...namespaces, process.execPath, ...jest], {
    cwd: root,
    stdio: 'inherit',
    env: {
      ...process.env,
      TMPDIR: folder,
      [FOLDER_VARIABLE]: folder,
      [CGROUP_VARIABLE]: `drover-nodes-${process.pid}`,
      NODE_OPTIONS: `${process.env['NODE_OPTIONS'] ?? ''} --experimental-vm-modules --disable-warning=ExperimentalWarning`.trim(),
    },
  })
  // A process 1 ignores the polite signals.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => child.kill('SIGKILL'))
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', (code) => resolve(code ?? 130))
  })
}

/** Removes what runs left that are not alive. */
async function sweep(alive: (pid: number) => boolean): Promise<void> {
  const dead = (name: string): boolean => {
    const pid = NAME.exec(name)?.[1]
    return pid !== undefined && !alive(Number(pid))
  }
  for (const tree of readdirSync(CGROUPS)) {
    if (!existsSync(join(CGROUPS, tree, 'cgroup.procs'))) continue
    for (const name of readdirSync(join(CGROUPS, tree)).filter(dead)) await removeCgroup(join(CGROUPS, tree, name))
  }
  for (const name of readdirSync(tmpdir()).filter(dead)) rmSync(join(tmpdir(), name), { recursive: true, force: true, maxRetries: 5 })
}

/** The last processes of a namespace that ends may take a moment. */
async function removeCgroup(folder: string): Promise<void> {
  for (let attempt = 0; ; attempt += 1) {
    try {
      removeTree(folder)
      return
    } catch (error) {
      if (attempt >= 50) return say(`cannot remove ${folder}: ${String(error)}`)
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
  }
}

function removeTree(folder: string): void {
  for (const entry of readdirSync(folder, { withFileTypes: true })) if (entry.isDirectory()) removeTree(join(folder, entry.name))
  rmdirSync(folder)
}
