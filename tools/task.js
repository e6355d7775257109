// Runs the project's tasks: `npm run <task>` is `node tools/task.js <task>`. Node built-ins only, because it runs before anything is installed.
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const at = (...parts) => join(root, ...parts)
const bin = (name) => at('node_modules', '.bin', name)

/** The command that ships. Its output is complete: it needs no node_modules. */
const PRODUCT = { entry: 'src/main.ts', outdir: 'dist', sources: ['src', 'crds', 'tools', 'package-lock.json'] }
/** A program for developers; it leaves packages outside its bundle. */
const program = (entry, name) => ({
  entry,
  name,
  outdir: 'dist/dev',
  sources: ['src', 'test', 'bench', 'crds', 'tools', 'package-lock.json'],
})

const KUBECTL_TESTS = 'test/kubectl/'
/** Against Kubernetes' own API server and controllers. */
const KUBERNETES_TESTS = 'test/kubernetes/'
/** With real kubelets and containers. */
const NODES_TESTS = 'test/nodes/'
/** Whole rollouts on virtual time, whole suites, whole processes, real sockets and real time: more work than all other tests together. */
const WHOLE = [
  'test/contract/',
  'test/controller/rollout',
  'test/controller/scenarios/',
  'test/demo/upgrade',
  'test/kube/client/',
  'test/payload/crash',
  'test/payload/kill',
  'test/payload/linux-host',
  'test/payload/upgrade',
  'test/sandbox/cluster/real-clock',
  'test/simulation/run',
  'test/vectors/',
]

const tasks = {
  build: { help: 'bundle the drover command into dist/', run: () => build(PRODUCT, { force: true }).then(() => 0) },
  test: { help: 'the test suite; needs nothing but Node', run: testAll },
  'test:kubectl': { help: 'the tests that drive the sandbox with the real kubectl', run: testKubectl },
  'test:kubernetes': {
    help: 'the tests on a real control plane, or on the cluster of DROVER_TEST_KUBECONFIG; -- --nodes N: one rollout of N nodes, measured',
    run: testKubernetes,
  },
  'test:nodes': {
    help: 'the tests on real nodes, whose binary is really replaced (root on Linux)',
    run: (args) => build(PRODUCT).then(() => start(program('test/nodes/main.ts', 'nodes'), args)),
  },
  check: { help: 'types, lint, format, unused code, and the tests of single parts', run: check },
  demo: { help: 'a cluster in memory is upgraded before your eyes', run: (args) => drover(['demo', ...args]) },
  simulate: { help: 'random clusters with faults, on virtual time', run: (args) => drover(['simulate', ...args]) },
  vectors: {
    help: 'replay golden vectors: vectors -- FOLDER [--only FILE…]',
    run: (args) => start(program('test/vectors/main.ts', 'vectors'), args),
  },
  mutants: {
    help: 'break the code on purpose; every mutant must be caught',
    run: (args) => start(program('test/mutants/main.ts', 'mutants'), args),
  },
  bench: {
    help: 'measure what an upgrade and a quiet cluster cost',
    // The product itself is measured, as a process of its own.
    run: (args) => build(PRODUCT).then(() => start(program('bench/main.ts', 'bench'), args)),
  },
}

const say = (text) => process.stderr.write(`task: ${text}\n`)

/** Ends the process with a reason that a person can act upon. */
function refuse(text) {
  say(text)
  process.exit(1)
}

/** Runs a program in the foreground; resolves with its exit code (128 + n when signal n ended it). */
function exec(command, args, env = {}) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd: root, stdio: 'inherit', env: { ...process.env, ...env } })
    // A terminal's Ctrl-C reaches the child by itself; a plain signal to this process does not.
    const forward = (signal) => child.kill(signal)
    process.on('SIGTERM', forward).on('SIGINT', () => {})
    child.on('error', (error) => refuse(`cannot run ${command}: ${error.message}`))
    child.on('exit', (code, signal) => resolve(code ?? 128 + ({ SIGINT: 2, SIGKILL: 9, SIGTERM: 15 }[signal] ?? 1)))
  })
}

async function install() {
  const installed = at('node_modules', '.package-lock.json')
  if (existsSync(installed) && statSync(installed).mtimeMs >= statSync(at('package-lock.json')).mtimeMs) return
  say('installing dependencies (npm ci)')
  const code = await exec(process.platform === 'win32' ? 'npm.cmd' : 'npm', ['ci', '--loglevel=error'])
  if (code !== 0) refuse(`npm ci failed with exit code ${code}`)
  // A lock file touched after the packages were published would otherwise install them every time.
  utimesSync(installed, new Date(), new Date())
}

/** The newest modification time below the paths, in ms; 0 when there is none. */
function newest(paths) {
  let time = 0
  for (const path of paths) {
    const stat = statSync(path, { throwIfNoEntry: false })
    if (stat === undefined) continue
    time = Math.max(time, stat.isDirectory() ? newest(readdirSync(path).map((name) => join(path, name))) : stat.mtimeMs)
  }
  return time
}

/** Bundles an entry when a source is newer than its bundle. Returns the bundle's path. */
async function build({ entry, name = 'main', outdir, sources }, { force = false } = {}) {
  if (!existsSync(at(entry))) refuse(`${entry} does not exist, so there is nothing to run`)
  const output = at(outdir, `${name}.js`)
  const age = newest(sources.map((path) => at(path)))
  const built = statSync(output, { throwIfNoEntry: false })
  if (!force && built !== undefined && built.mtimeMs >= age) return output
  const started = Date.now()
  const { build: esbuild } = await import('esbuild')
  const product = outdir === PRODUCT.outdir
  const { outputFiles } = await esbuild({
    absWorkingDir: root,
    entryPoints: { [name]: entry },
    outdir,
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    logLevel: 'warning',
    write: false,
    ...(product ? {} : { packages: 'external' }),
    // Packages written for CommonJS call require() for Node's own modules.
    banner: { js: "import { createRequire as __createRequire } from 'node:module';const require = __createRequire(import.meta.url);" },
    define: { 'process.env.DROVER_VERSION': JSON.stringify(JSON.parse(readFileSync(at('package.json'), 'utf8')).version) },
  }).catch((error) => refuse(`esbuild: ${error.errors?.length ?? 0} errors in ${entry}`))
  // Only an asked-for build forgets old chunks: a running program may still load one.
  if (force) rmSync(at(outdir), { recursive: true, force: true })
  mkdirSync(at(outdir), { recursive: true })
  // The entry last, each by rename: who starts meanwhile sees the old bundle or the new one, never half of one.
  for (const file of outputFiles.toSorted((a, b) => Number(a.path === output) - Number(b.path === output))) {
    writeFileSync(`${file.path}.${process.pid}`, file.contents)
    renameSync(`${file.path}.${process.pid}`, file.path)
  }
  utimesSync(output, new Date(), age / 1000)
  const kilobytes = Math.round(outputFiles.reduce((sum, file) => sum + file.contents.length, 0) / 1024)
  say(`bundled ${entry} into ${outdir}/ (${kilobytes} KB, ${Date.now() - started} ms)`)
  return output
}

async function start(target, args) {
  return exec(process.execPath, [await build(target), ...args])
}

const drover = (args) => start(PRODUCT, args)

/** Jest over ES modules. The bundle is made first, for tests that start the command itself. */
async function jest(args) {
  if (existsSync(at(PRODUCT.entry))) await build(PRODUCT)
  const options = `${process.env.NODE_OPTIONS ?? ''} --experimental-vm-modules --disable-warning=ExperimentalWarning`.trim()
  return exec(process.execPath, [at('node_modules', 'jest', 'bin', 'jest.js'), ...args], { NODE_OPTIONS: options })
}

function testAll(args, ...without) {
  return jest([...args, '--testPathIgnorePatterns', '/node_modules/', KUBECTL_TESTS, KUBERNETES_TESTS, NODES_TESTS, ...without])
}

async function testKubectl(args) {
  if (spawnSync('kubectl', ['version', '--client'], { stdio: 'ignore' }).status !== 0) {
    refuse('these tests need kubectl (1.24 or newer) on the PATH, and it is not there')
  }
  if (!existsSync(at(KUBECTL_TESTS))) refuse(`${KUBECTL_TESTS} does not exist, so there is nothing to run`)
  const named = args.some((arg) => !arg.startsWith('-'))
  return jest(named ? args : [...args, '--testPathPatterns', KUBECTL_TESTS])
}

async function testKubernetes(args) {
  // The programs are Kubernetes' own Go modules; built once, they are found again by every later run.
  const built = await start(program('test/kubernetes/build.ts', 'kube'), [])
  if (built !== 0 || args[0] === '--build') return built
  if (args[0]?.startsWith('--nodes')) {
    await build(PRODUCT)
    return start(program('test/kubernetes/crowd.ts', 'crowd'), args)
  }
  const named = args.some((arg) => !arg.startsWith('-'))
  // Of a given cluster there is only one.
  const serial = process.env.DROVER_TEST_KUBECONFIG ? ['--runInBand'] : []
  return jest([...args, ...serial, ...(named ? [] : ['--testPathPatterns', KUBERNETES_TESTS])])
}

async function check(args) {
  const steps = {
    types: () => exec(bin('tsc'), ['-p', '.']),
    lint: () => exec(bin('oxlint'), ['--type-aware', '--deny-warnings', 'src', 'test', 'bench', 'tools']),
    format: () => exec(bin('biome'), ['format', '--error-on-warnings', '.']),
    unused: () => exec(bin('knip'), ['--no-progress']),
    tests: () => testAll(args, ...WHOLE),
  }
  const failed = []
  for (const [name, step] of Object.entries(steps)) {
    const started = Date.now()
    const code = await step()
    if (code !== 0) failed.push(name)
    say(`check ${name}: ${code === 0 ? 'ok' : `FAILED (exit code ${code})`} in ${((Date.now() - started) / 1000).toFixed(1)} s`)
  }
  if (failed.length > 0) refuse(`check failed: ${failed.join(', ')}`)
  return 0
}

function usage() {
  const width = Math.max(...Object.keys(tasks).map((name) => name.length))
  return Object.entries(tasks)
    .map(([name, { help }]) => `  npm run ${name.padEnd(width)}  ${help}\n`)
    .join('')
}

const [name, ...args] = process.argv.slice(2)
if (!Object.hasOwn(tasks, name ?? '')) {
  process.stderr.write(`${name === undefined ? 'No task named.' : `No task ${name}.`} There are:\n${usage()}`)
  process.exit(2)
}
if (Number(process.versions.node.split('.')[0]) < 20) refuse(`Node 20.20 or newer is needed; this is ${process.version}`)
await install()
process.exit(await tasks[name].run(args))
