import { readdirSync, readFileSync } from 'node:fs'
import { expect, test } from '@jest/globals'
import { FAILURE_REASONS, HOLD_REASONS } from '../../src/api/reasons.ts'

const runbook = readFileSync(new URL('../../docs/runbook.md', import.meta.url), 'utf8')
const [holdPart, failurePart] = runbook.split('\n## Failures\n') as [string, string]

/** Text of each `### \`Reason\`` section, by reason. */
function sections(part: string): Map<string, string> {
  const found = new Map<string, string>()
  for (const piece of part.split('\n### ').slice(1)) {
    const reason = /^`(\w+)`/.exec(piece)?.[1]
    if (reason === undefined) throw new Error(`heading without a reason: ${piece.split('\n')[0]}`)
    if (found.has(reason)) throw new Error(`${reason} is documented twice`)
    found.set(reason, piece.slice(piece.indexOf('\n')).split('\n## ')[0]!.trim())
  }
  return found
}

const ENDED_BY = { time: 'Ended by time', cluster: 'Ended by the cluster', person: 'Ended by a person' }

test('every hold reason is documented, and nothing else', () => {
  expect([...sections(holdPart).keys()].toSorted()).toEqual(Object.keys(HOLD_REASONS).toSorted())
})

test.each(Object.entries(HOLD_REASONS))('%s: who ends it agrees with the code', (reason, { endedBy }) => {
  const text = sections(holdPart).get(reason) ?? ''
  const named = Object.entries(ENDED_BY).flatMap(([who, words]) => (text.includes(`\n${words}`) ? [who] : []))
  expect(named).toEqual([endedBy])
  // More than a sentence about who ends it: what it waits for stands before.
  expect(text.indexOf('\nEnded by')).toBeGreaterThan(20)
})

test('a hold that a person has to end says what to do', () => {
  const silent = Object.entries(HOLD_REASONS).filter(
    ([reason, { endedBy }]) => endedBy === 'person' && !/\nEnded by a person: \w/.test(sections(holdPart).get(reason) ?? ''),
  )
  expect(silent.map(([reason]) => reason)).toEqual([])
})

test('every failure reason is documented, and nothing else', () => {
  expect([...sections(failurePart).keys()].toSorted()).toEqual(Object.keys(FAILURE_REASONS).toSorted())
})

test('every warning that is told by event is in the table, and no other', () => {
  const source = (folder: string) =>
    readdirSync(new URL(`../../src/${folder}`, import.meta.url), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts'))
      .map((name) => readFileSync(new URL(`../../src/${folder}/${name}`, import.meta.url), 'utf8'))
  const told = [...source('rollout'), ...source('controller')].flatMap((text) =>
    [...text.matchAll(/(?:'Warning',\s*(?:reason: )?|\b(?:planWarning|warnings)\((?:[^'()]*,)?\s*)'(\w+)'/g)].map(
      ([, reason = '']) => reason,
    ),
  )
  const table = runbook.slice(runbook.indexOf('\n## Warnings\n'))
  const listed = [...table.matchAll(/^\| (`\w+`(?:, `\w+`)*) \|/gm)].flatMap(([, names = '']) => names.replaceAll('`', '').split(', '))
  expect(told.length).toBeGreaterThan(10)
  // Failures have sections of their own; a drain that ran out of time may be none.
  const others = [...new Set(told)].filter((reason) => reason === 'DrainTimeout' || !(reason in FAILURE_REASONS))
  expect(listed.toSorted()).toEqual(others.toSorted())
})
