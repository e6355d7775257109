/**
 * `npm run bench`: what Drover costs, each figure beside its limit; exit code 1 when one is exceeded. Counts come from virtual time; memory and
 * CPU time from the bundled controller as a process of its own (Linux only). `bench -- --part NAME…` runs some parts.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { measureDecide } from './decide.ts'
import { exceeded, type Figure, line } from './figure.ts'
import { measureMemory, type MemoryBench } from './memory.ts'
import { measureRequests } from './requests.ts'
import { type Shipped, shipped } from './shipped.ts'
import { measureStart, type StartBench } from './start.ts'

const THOUSAND: MemoryBench = {
  nodes: 1_000,
  restMs: 60_000,
  limits: { restMB: 90, restCpu: 1, rolloutMB: 110 },
  rollout: true,
}
const FIVE_THOUSAND: MemoryBench = { nodes: 5_000, restMs: 15_000, limits: { restMB: 150 }, rollout: false }
const START: StartBench = { nodes: 1_000, starts: 5, limitMs: 500 }
const BIG_START: StartBench = { nodes: 5_000, starts: 1 }

const PARTS: Readonly<Record<string, () => AsyncIterable<Figure> | Iterable<Figure>>> = {
  decide: measureDecide,
  requests: measureRequests,
  'start-1000': () => withBundle((bundle) => measureStart(bundle, START)),
  'start-5000': () => withBundle((bundle) => measureStart(bundle, BIG_START)),
  'nodes-1000': () => withBundle((bundle) => measureMemory(bundle, THOUSAND)),
  'nodes-5000': () => withBundle((bundle) => measureMemory(bundle, FIVE_THOUSAND)),
}

async function* withBundle(measure: (bundle: Shipped) => AsyncGenerator<Figure>): AsyncGenerator<Figure> {
  if (!existsSync('/proc/self/status')) throw new Error('memory and CPU time are read from /proc, which only Linux has')
  const folder = mkdtempSync(join(tmpdir(), 'drover-bundle-'))
  try {
    yield* measure(shipped(process.cwd(), folder))
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** In this process. True when all figures are kept. */
async function runPart(name: string): Promise<boolean> {
  const part = PARTS[name]
  if (part === undefined) throw new Error(`there is no part ${name}; there are ${Object.keys(PARTS).join(', ')}`)
  let kept = true
  for await (const figure of part()) {
    console.log(line(figure))
    kept &&= !exceeded(figure)
  }
  return kept
}

/** In a process of its own, so that no part pays for another's garbage. */
async function startPart(name: string): Promise<boolean> {
  const child = spawn(process.execPath, [process.argv[1] ?? '', '--part', name], { stdio: 'inherit' })
  const [code] = (await once(child, 'exit')) as [number | null]
  return code === 0
}

/** CPU time is dearer on a busy machine, so what is bounded in it runs alone; the long part is mostly waiting. */
async function runAll(): Promise<boolean> {
  const alone = [await startPart('decide'), await startPart('start-1000')]
  const others = async (): Promise<readonly boolean[]> => [
    await startPart('requests'),
    await startPart('start-5000'),
    await startPart('nodes-5000'),
  ]
  const [long, beside] = await Promise.all([startPart('nodes-1000'), others()])
  return [...alone, long, ...beside].every(Boolean)
}

const { values } = parseArgs({ options: { part: { type: 'string', multiple: true } } })
let kept = true
if (values.part === undefined) kept = await runAll()
else for (const name of values.part) kept = (await runPart(name)) && kept
process.exit(kept ? 0 : 1)
