import { readFile, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { messageOf } from '../../src/base/errors.ts'
import { parseJson } from '../../src/base/json.ts'
import { type Case, type Replay, caseOf } from './case.ts'
import { differences, formatDifference } from './compare.ts'
import { REPLAYS } from './replay.ts'

export interface Report {
  /** What is to be printed, in order. */
  readonly lines: readonly string[]
  readonly passed: number
  readonly failed: number
}

const MAX_DIFFERENCES = 10

/**
 * Replays the vectors of a folder. Names in `only` may go without `.jsonl`. Throws where there is nothing to replay: a folder without vectors,
 * a file that is not there or that nothing replays.
 */
export async function runFolder(folder: string, only: readonly string[]): Promise<Report> {
  const present = (await readdir(folder)).filter((name) => name.endsWith('.jsonl')).map((name) => name.slice(0, -'.jsonl'.length))
  const asked = only.map((name) => name.replace(/\.jsonl$/, ''))
  for (const name of asked) if (!present.includes(name)) throw new Error(`there is no ${name}.jsonl in ${folder}`)
  const chosen = (asked.length > 0 ? asked : present).toSorted()
  if (!chosen.some((name) => REPLAYS[name] !== undefined))
    throw new Error(`nothing in ${folder} can be replayed: ${chosen.join(', ') || 'no .jsonl file'}`)

  const lines: string[] = []
  let [passed, failed] = [0, 0]
  for (const name of chosen) {
    const cases = await readCases(join(folder, `${name}.jsonl`))
    const replay = REPLAYS[name]
    if (replay === undefined) {
      // Neither passed nor failed, and so not silently either.
      lines.push(`${name}: ${cases.length} cases not run: nothing here knows such a file`)
      continue
    }
    const faults = await replayAll(cases, replay)
    lines.push(`${name}: ${cases.length - faults.length} passed, ${faults.length} failed`, ...faults)
    passed += cases.length - faults.length
    failed += faults.length
  }
  return { lines: [...lines, `${passed} passed, ${failed} failed`], passed, failed }
}

/** One text for each case that failed. */
async function replayAll(cases: readonly Case[], replay: Replay): Promise<string[]> {
  const faults: string[] = []
  for (const vector of cases) {
    const fault = await replayOne(vector, replay)
    if (fault !== undefined) faults.push(`  ${vector.id}\n${fault}`)
  }
  return faults
}

async function replayOne(vector: Case, replay: Replay): Promise<string | undefined> {
  try {
    const found = differences(vector.expect, await replay(vector))
    if (found.length === 0) return undefined
    const more = found.length > MAX_DIFFERENCES ? [`    and ${found.length - MAX_DIFFERENCES} more differences`] : []
    return [...found.slice(0, MAX_DIFFERENCES).map(formatDifference), ...more].join('\n')
  } catch (error) {
    return `    ${messageOf(error)}`
  }
}

async function readCases(file: string): Promise<Case[]> {
  const lines = (await readFile(file, 'utf8')).split('\n').filter((line) => line.trim() !== '')
  return lines.map((line, i) => {
    try {
      return caseOf(parseJson(line))
    } catch (error) {
      throw new Error(`${file}, case ${i + 1}: ${messageOf(error)}`, { cause: error })
    }
  })
}
