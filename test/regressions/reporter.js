/**
 * After each run of jest: every test that complaints.yaml names and whose file ran has really run, and in a run of everything its file did.
 * complaints.test.ts says what the file itself must look like.
 */
import { readFileSync } from 'node:fs'
import { relative } from 'node:path'
import { parse } from 'yaml'
import { judge, nameOf } from './judge.js'

export default class ComplaintsReporter {
  #config
  #error

  constructor(config) {
    this.#config = config
  }

  onRunComplete(contexts, results) {
    // A test that a pattern leaves out has not been forgotten; on a cluster that was given, what it cannot serve is skipped aloud.
    if (this.#config.testNamePattern || process.env.DROVER_TEST_KUBECONFIG || results.wasInterrupted) return
    const root = this.#config.rootDir
    const ran = new Map()
    for (const { testFilePath, testResults, testExecError } of results.testResults) {
      // A file that does not even load fails by itself.
      if (testExecError !== undefined && testExecError !== null) continue
      ran.set(
        relative(root, testFilePath),
        testResults.map(({ ancestorTitles, title, status }) => ({ name: nameOf(ancestorTitles, title), status })),
      )
    }
    const broken = new Set(results.testResults.map(({ testFilePath }) => relative(root, testFilePath)).filter((file) => !ran.has(file)))
    const ignored = [...contexts].flatMap(({ config }) => config.testPathIgnorePatterns).map((pattern) => new RegExp(pattern))
    const some = this.#isPartial()
    const expected = (file) => !some && !broken.has(file) && !ignored.some((pattern) => pattern.test(`${root}/${file}`))
    const complaints = parse(readFileSync(new URL('complaints.yaml', import.meta.url), 'utf8'))
    const problems = judge(complaints, ran, expected)
    if (problems.length === 0) return
    this.#error = new Error(`test/regressions/complaints.yaml names tests that did not run:\n  ${problems.join('\n  ')}`)
    process.stderr.write(`${this.#error.message}\n`)
  }

  /** Makes the run fail. */
  getLastError() {
    return this.#error
  }

  #isPartial() {
    const { testPathPatterns, onlyChanged, onlyFailures, findRelatedTests, runTestsByPath, shard, filter } = this.#config
    const patterns = testPathPatterns?.patterns ?? []
    return (
      patterns.length > 0 ||
      onlyChanged ||
      onlyFailures ||
      findRelatedTests ||
      runTestsByPath ||
      shard !== undefined ||
      filter !== undefined
    )
  }
}
