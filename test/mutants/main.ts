/**
 * `npm run mutants`: breaks the code on purpose, one safeguard at a time, and plays simulated worlds until a checker notices. A mutant that no world
 * betrays survives, and fails the run: then either the worlds are too kind or a checker is blind.
 */
import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { build } from 'esbuild'
import { MUTANTS, type Mutant } from './mutants.ts'

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))
const ENTRY = "import { run } from './src/cli/simulate.ts'\nprocess.exitCode = await run(process.argv.slice(3))\n"

type Verdict = { readonly caught: true; readonly seed: number; readonly how: string } | { readonly caught: false; readonly why: string }

const { values } = parseArgs({
  options: { seeds: { type: 'string', default: '600' }, seed: { type: 'string', default: '1' }, only: { type: 'string' } },
})
const chosen = MUTANTS.filter((mutant) => values.only === undefined || mutant.name.includes(values.only))
if (chosen.length === 0) throw new Error('there is no such mutant')

const folder = mkdtempSync(join(tmpdir(), 'drover-mutants-'))
let survived = 0
try {
  const sound = join(folder, 'sound.mjs')
  await bundle(sound)
  for (const [index, mutant] of chosen.entries()) {
    const verdict = await tryMutant(mutant, join(folder, `mutant-${index}.mjs`), sound)
    if (!verdict.caught) survived += 1
    console.log(`${verdict.caught ? 'caught  ' : 'SURVIVED'}  ${mutant.name}: ${verdict.caught ? verdict.how : verdict.why}`)
  }
} finally {
  rmSync(folder, { recursive: true, force: true })
}
console.log(`${chosen.length} mutants, ${survived} survived`)
process.exitCode = survived === 0 ? 0 : 1

async function tryMutant(mutant: Mutant, output: string, sound: string): Promise<Verdict> {
  const path = join(root, mutant.file)
  const source = readFileSync(path, 'utf8')
  const times = source.split(mutant.find).length - 1
  if (times !== 1) return { caught: false, why: `its pattern matches ${times} times in ${mutant.file}, not once` }
  await bundle(output, { path, contents: source.replace(mutant.find, () => mutant.replace) })
  let verdict: Verdict | undefined
  for (const seed of mutant.seeds ?? []) if (verdict?.caught !== true) verdict = await simulate(output, mutant, seed, 1)
  if (verdict?.caught !== true) verdict = await simulate(output, mutant, Number(values.seed), Number(values.seeds))
  if (!verdict.caught) return verdict
  // What the sound code breaks as well says nothing of the mutant.
  return (await isKept(sound, verdict.seed))
    ? verdict
    : { caught: false, why: `the code as it is breaks a promise in seed ${verdict.seed}, too` }
}

/** The simulation as one file, with one source file replaced. */
async function bundle(output: string, changed?: { readonly path: string; readonly contents: string }): Promise<void> {
  await build({
    stdin: { contents: ENTRY, resolveDir: root, loader: 'ts' },
    absWorkingDir: root,
    outfile: output,
    bundle: true,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    logLevel: 'error',
    banner: { js: "import { createRequire as __createRequire } from 'node:module';const require = __createRequire(import.meta.url);" },
    plugins: [
      {
        name: 'mutate',
        setup(pluginBuild) {
          pluginBuild.onLoad({ filter: /\.ts$/ }, ({ path }) =>
            path === changed?.path ? { contents: changed.contents, loader: 'ts' } : undefined,
          )
        },
      },
    ],
  })
}

function command(file: string, seed: number, seeds: number): readonly string[] {
  return [file, 'simulate', '--keep-going', '--seeds', String(seeds), '--seed', String(seed)]
}

/** The code as it is keeps every promise in that world. */
function isKept(file: string, seed: number): Promise<boolean> {
  const child = spawn(process.execPath, command(file, seed, 1), { stdio: ['ignore', 'ignore', 'inherit'] })
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code) => resolve(code === 0))
  })
}

/** Plays worlds with the broken code until one breaks a promise that the mutant ought to break. */
function simulate(file: string, mutant: Mutant, first: number, seeds: number): Promise<Verdict> {
  const child = spawn(process.execPath, command(file, first, seeds), { stdio: ['ignore', 'pipe', 'inherit'] })
  let seed = 0
  let last = 'no output'
  let how: Verdict | undefined
  createInterface({ input: child.stdout }).on('line', (line) => {
    last = line
    seed = Number(/^seed (\d+)/.exec(line)?.[1] ?? seed)
    const promise = /^ {2}promise (.*)/.exec(line)?.[1]
    if (promise === undefined || how !== undefined || !mutant.breaks.some((beginning) => promise.startsWith(beginning))) return
    how = { caught: true, seed, how: `seed ${seed}, promise ${promise}` }
    child.kill()
  })
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', () => resolve(how ?? { caught: false, why: last }))
  })
}
