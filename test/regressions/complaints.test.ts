/** The list of complaints is whole, and what it names exists. That the named tests have run, reporter.js looks at after each run of jest. */
import { existsSync, readFileSync } from 'node:fs'
import { expect, test } from '@jest/globals'
import { parse } from 'yaml'
import { type Complaint, judge, nameOf, type Ran } from './judge.js'

const root = new URL('../../', import.meta.url)
const complaints = parse(readFileSync(new URL('complaints.yaml', import.meta.url), 'utf8')) as readonly Complaint[]
const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => String(from + i))
const lettered = (letter: string, count: number) => range(1, count).map((i) => letter + i)

/** Those that were found in 2026 and promised to be impossible here; the numbers between are wishes, or have no place in a controller. */
const PROMISED = [
  ...[range(1, 13), range(15, 20), ['23'], range(26, 32), range(36, 40)].flat(),
  ...(Object.entries({ A: 6, B: 2, C: 1, D: 5, E: 3, F: 6, G: 1, H: 1, I: 6 }) as [string, number][]).flatMap(([letter, count]) =>
    lettered(letter, count),
  ),
]

test('every complaint is there, once', () => {
  expect(complaints.map(({ id }) => id)).toEqual(PROMISED)
})

test.each(complaints.map((entry) => [entry.id, entry] as const))(
  '%s: tests, or a reason why there can be none',
  (_, { complaint, reason, tests }) => {
    expect(complaint.length).toBeGreaterThan(20)
    // Either, and a reason is a sentence.
    expect([(reason ?? '').length > 40, (tests ?? []).flatMap(({ titles }) => titles).length > 0].filter(Boolean)).toHaveLength(1)
  },
)

test('where they were reported can be looked up', () => {
  const odd = complaints.flatMap(({ seen }) => seen ?? []).filter((entry) => !/^[\w.-]+\/[\w.-]+#\d+$/.test(entry))
  expect(odd).toEqual([])
})

/** Titles that are put together by the test file (test.each, template strings) are seen by the reporter only. */
test.each([...new Set(complaints.flatMap(({ tests }) => (tests ?? []).map(({ file }) => file)))])(
  '%s exists and is never skipped',
  (file) => {
    expect([file, existsSync(new URL(file, root))]).toEqual([file, true])
    expect(file).toMatch(/^test\/.*\.test\.ts$/)
    expect(readFileSync(new URL(file, root), 'utf8')).not.toMatch(/\b(test|describe|story|it)\.(skip|todo|only)\b|\bx(test|it|describe)\(/)
  },
)

test('every named title is in its file, but for those that the file puts together', () => {
  const missing: string[] = []
  for (const { id, tests } of complaints)
    for (const { file, titles } of tests ?? []) {
      const source = readFileSync(new URL(file, root), 'utf8')
      for (const title of titles)
        if (!isIn(title.split(' > ').at(-1) ?? '', source) && !/\.each|\$\{|story\(name|\/suite\//.test(source))
          missing.push(`${id}: ${title}`)
    }
  expect(missing).toEqual([])
})

function isIn(title: string, source: string): boolean {
  const quoted = [`'${title.replaceAll("'", "\\'")}'`, `"${title}"`, `\`${title}\``]
  return quoted.some((text) => source.includes(text))
}

const named: readonly Complaint[] = [
  { id: '1', complaint: '', tests: [{ file: 'a.test.ts', titles: ['x > y', 'z'] }] },
  { id: '2', complaint: '', reason: 'it cannot' },
]
const ranIn = (...tests: Ran[]): ReadonlyMap<string, readonly Ran[]> => new Map([['a.test.ts', tests]])
const always = () => true

test('the judge: all that is named has run', () => {
  const both = [
    { name: nameOf(['x'], 'y'), status: 'passed' },
    { name: nameOf([], 'z'), status: 'failed' },
  ]
  // A test that failed has run: jest says the rest.
  expect(judge(named, ranIn(...both), always)).toEqual([])
})

test.each(['pending', 'skipped', 'todo', 'disabled'])('the judge: a test that is %s has not run', (status) => {
  const tests = [
    { name: 'x > y', status },
    { name: 'z', status: 'passed' },
  ]
  expect(judge(named, ranIn(...tests), always)).toEqual(['1: "x > y" in a.test.ts did not run'])
})

test('the judge: a title that does not exist, and a file that did not run', () => {
  expect(judge(named, ranIn({ name: 'z', status: 'passed' }), always)).toEqual(['1: a.test.ts has no test "x > y"'])
  expect(judge(named, new Map(), always)).toEqual(['1: a.test.ts did not run'])
  expect(judge(named, new Map(), () => false)).toEqual([])
})
