/** Scenarios that wait most of their time, several at once. */
import { afterAll, beforeAll, test } from '@jest/globals'
import pLimit from 'p-limit'

export interface Scenario {
  readonly what: string
  run(): Promise<void>
}

/**
 * Each scenario is a test of its own, on machines of its own; up to `lanes` of them run at once, in their order. To be called where a test is
 * declared, after the hooks that the scenarios need.
 */
export function sideBySide(lanes: number, limitMs: number, scenarios: readonly Scenario[]): void {
  const outcomes = new Map<Scenario, Promise<void>>()
  beforeAll(() => {
    const lane = pLimit(lanes)
    for (const scenario of scenarios) {
      const outcome = lane(() => scenario.run())
      // A failure is told by its own test, which may not have begun yet.
      outcome.catch(() => {})
      outcomes.set(scenario, outcome)
    }
  })
  afterAll(async () => {
    await Promise.allSettled(outcomes.values())
  }, limitMs)
  test.each(scenarios.map((scenario) => [scenario.what, scenario] as const))(
    '%s',
    async (what, scenario) => {
      const outcome = outcomes.get(scenario)
      if (outcome === undefined) throw new Error(`${what} never began`)
      await outcome
    },
    limitMs,
  )
}
