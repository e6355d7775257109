import { describe, expect, test } from '@jest/globals'
import type { Process, Request } from '../../src/base/process.ts'
import { runScenario } from '../../src/simulation/run.ts'
import type { Scenario } from '../../src/simulation/scenario.ts'
import { makeScenario } from '../../src/simulation/world.ts'

/** Three servers, two agents, the documents' server Plan, and nothing that goes wrong. */
const calm: Scenario = {
  ...makeScenario(1),
  machines: [1, 2, 3].map((i) => ({ name: `server-${i}`, role: 'server' as const, version: 'v1.33.3+rke2r1' })),
  workloads: [],
  policies: [],
  secrets: [],
  channels: {},
  leftovers: [],
  eagerOperator: false,
  splitBrain: false,
  plans: [
    {
      apiVersion: 'upgrade.cattle.io/v1',
      kind: 'Plan',
      metadata: { name: 'server-plan', namespace: 'system-upgrade' },
      spec: {
        concurrency: 1,
        version: 'v1.33.4+rke2r1',
        cordon: true,
        nodeSelector: {},
        serviceAccountName: 'system-upgrade',
        upgrade: { image: 'rancher/rke2-upgrade' },
      },
    },
  ],
  controllers: [{ skewMs: 0, startMs: 0 }],
  rates: {},
  crashRate: 0,
  happenings: [],
  calmMs: 60_000,
}

const idle = async (process: Process, _env: unknown, signal: AbortSignal) => {
  while (!signal.aborted) await process.clock.sleep(60_000, signal)
}

async function send(process: Process, request: Request) {
  return process.transport.send(request, new AbortController().signal)
}

describe('runScenario', () => {
  test('a controller that does nothing breaks promise 11', async () => {
    const { violations } = await runScenario(calm, { controller: idle })
    expect(violations.map((violation) => violation.message).sort()).toEqual(
      ['server-1', 'server-2', 'server-3'].map((name) => `${name} is not done by system-upgrade/server-plan and nothing holds it`),
    )
  })

  test('a controller that cordons without a claim, record and look is caught at that write', async () => {
    const { violations } = await runScenario(calm, {
      controller: async (process, env, signal) => {
        await send(process, {
          method: 'PATCH',
          path: '/api/v1/nodes/server-1',
          contentType: 'application/merge-patch+json',
          body: { spec: { unschedulable: true } },
        })
        await idle(process, env, signal)
      },
    })
    expect(violations.map((violation) => violation.promise)).toEqual(['2 claim first', '3 only our cordons'])
  })

  test('the same seed gives the same history', async () => {
    const scenario = makeScenario(11)
    const [first, second] = [
      await runScenario(scenario, { controller: idle, stopAtViolation: false }),
      await runScenario(scenario, { controller: idle, stopAtViolation: false }),
    ]
    expect(first.writes).toBeGreaterThan(100)
    expect(second).toEqual(first)
  })
})
