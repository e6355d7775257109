/** What the API server refuses is told where people look, within half a minute, and goes on by itself (design §2, promise 8). */
import { describe, expect } from '@jest/globals'
import type { Request, Response } from '../../../src/base/process.ts'
import { runController } from '../../../src/controller/run.ts'
import { CONTROLLER, settingsFor } from '../harness.ts'
import { agents, agentsOnly, MINUTE, NEW, SECOND, story, type Story } from './story.ts'

const AGENTS = ['agent-1', 'agent-2', 'agent-3']

const replaced = (s: Story, node: string) =>
  (s.sandbox.machines.get(node)?.timeline ?? []).filter((event) => event.what === 'replaced').length

/** A controller whose requests an admission refuses as long as `refuses` says with which text. */
async function begin(s: Story, refuses: (request: Request) => string | undefined): Promise<void> {
  s.sandbox.spawn(
    (process, signal) => {
      const { transport } = process
      const send = async (request: Request, stop: AbortSignal): Promise<Response> => {
        const message = refuses(request)
        if (message === undefined) return transport.send(request, stop)
        return { status: 403, headers: {}, body: { kind: 'Status', status: 'Failure', code: 403, reason: 'Forbidden', message } } as never
      }
      return runController(
        { ...process, transport: { ...transport, send, watch: (request, stop) => transport.watch(request, stop) } },
        settingsFor(),
        signal,
      )
    },
    { name: 'drover-1', user: CONTROLLER },
  )
  await s.until('the CRD is there', () => s.sandbox.server.peek('customresourcedefinitions', 'plans.upgrade.cattle.io') !== undefined)
  await s.wait(2 * SECOND)
}

describe('refused', () => {
  const cases: [string, (request: Request) => boolean, string][] = [
    [
      'a pull pod',
      (request) => request.method === 'POST' && request.path.endsWith('/pods') && request.query?.['dryRun'] === undefined,
      'violates PodSecurity "restricted:latest"',
    ],
    ['an apply Job', (request) => request.method === 'POST' && request.path.endsWith('/jobs'), 'exceeded quota: count/jobs.batch'],
    [
      'the labels of a node that is done',
      (request) => request.method === 'PATCH' && JSON.stringify(request.body ?? {}).includes('"plan.upgrade.cattle.io/agents":"'),
      'a webhook says no',
    ],
  ]
  for (const [what, matches, message] of cases) {
    story(`${what}: the node and the Plan say so, and go on when it is allowed`, { cluster: agentsOnly }, async (s) => {
      let allowed = false
      await begin(s, (request) => (!allowed && matches(request) ? message : undefined))
      await s.apply(agents())
      await s.until('told', () => AGENTS.some((node) => (s.nodeStatus('agents', node)?.message ?? '').includes(message)), 10 * MINUTE)
      await s.until('Stalled', () => s.condition('agents', 'Stalled').startsWith('True Refused'), MINUTE)
      expect(s.condition('agents', 'Stalled')).toContain(message)
      expect(s.condition('agents', 'Complete')).toMatch(/^False/)
      await s.wait(10 * MINUTE)
      expect(s.condition('agents', 'Stalled')).toContain(message)
      allowed = true
      await s.until('all is done', () => s.complete('agents'))
      expect(
        AGENTS.map((node) => [s.node(node).status.nodeInfo.kubeletVersion, s.cordoned(node), s.cordons(node), replaced(s, node)]),
      ).toEqual(AGENTS.map(() => [NEW, false, 1, 1]))
      expect(s.condition('agents', 'Stalled')).toMatch(/^False/)
    })
  }
})
