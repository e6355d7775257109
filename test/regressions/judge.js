/**
 * Compares what complaints.yaml promises with what a run of jest did. Plain JavaScript, because jest loads reporters without compiling them.
 */

/** Full name of a test as complaints.yaml writes it. */
export const nameOf = (ancestors, title) => [...ancestors, title].join(' > ')

/**
 * What is missing, one line each. `ran` has each file that ran, with its tests; `expected` says whether a file that did not run should have.
 */
export function judge(complaints, ran, expected) {
  const problems = new Set()
  for (const { id, tests } of complaints) {
    for (const { file, titles } of tests ?? []) {
      const results = ran.get(file)
      if (results === undefined) {
        if (expected(file)) problems.add(`${id}: ${file} did not run`)
        continue
      }
      for (const title of titles) {
        const found = results.filter((result) => result.name === title)
        if (found.length === 0) problems.add(`${id}: ${file} has no test "${title}"`)
        else if (found.some(({ status }) => status !== 'passed' && status !== 'failed'))
          problems.add(`${id}: "${title}" in ${file} did not run`)
      }
    }
  }
  return [...problems]
}
