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

type Verdict = { readonly caught: true; readonly how: string } | { readonly caught: false; readonly why: string }

const { values } = parseArgs({
  options: { seeds: { type: 'string', default: '600' }, seed: { type: 'string', default: '1' }, only: { type: 'string' } },
})
const chosen = MUTANTS.filter((mutant) => values.only === undefined || mutant.name.includes(values.only))
if (chosen.length === 0) throw new Error('there is no such mutant')

const folder = mkdtempSync(join(tmpdir(), 'drover-mutants-'))
let survived = 0
try {
  for (const [index, mutant] of chosen.entries()) {
    const verdict = await tryMutant(mutant, join(folder, `mutant-${index}.mjs`))
    if (!verdict.caught) survived += 1
    console.log(`${verdict.caught ? 'caught  ' : 'SURVIVED'}  ${mutant.name}: ${verdict.caught ? verdict.how : verdict.why}`)
  }
} finally {
  rmSync(folder, { recursive: true, force: true })
}
console.log(`${chosen.length} mutants, ${survived} survived`)
process.exitCode = survived === 0 ? 0 : 1

async function tryMutant(mutant: Mutant, output: string): Promise<Verdict> {
  const path = join(root, mutant.file)
  const source = readFileSync(path, 'utf8')
  const times = source.split(mutant.find).length - 1
  if (times !== 1) return { caught: false, why: `its pattern matches ${times} times in ${mutant.file}, not once` }
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
          pluginBuild.onLoad({ filter: /\.ts$/ }, ({ path: loaded }) =>
            loaded === path ? { contents: source.replace(mutant.find, () => mutant.replace), loader: 'ts' } : undefined,
          )
        },
      },
    ],
  })
  return simulate(output, mutant)
}

/** Plays worlds with the broken code until one breaks a promise that the mutant ought to break. */
function simulate(bundle: string, mutant: Mutant): Promise<Verdict> {
  const args = [bundle, 'simulate', '--keep-going', '--seeds', values.seeds, '--seed', values.seed]
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  let seed = ''
  let last = 'no output'
  let how: string | undefined
  createInterface({ input: child.stdout }).on('line', (line) => {
    last = line
    seed = /^seed (\d+)/.exec(line)?.[1] ?? seed
    const promise = /^ {2}promise (.*)/.exec(line)?.[1]
    if (promise === undefined || how !== undefined || !mutant.breaks.some((beginning) => promise.startsWith(beginning))) return
    how = `seed ${seed}, promise ${promise}`
    child.kill()
  })
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', () => resolve(how === undefined ? { caught: false, why: last } : { caught: true, how }))
  })
}
