import { readFileSync } from 'node:fs'
import { expect, test } from '@jest/globals'
import { parseAllDocuments } from 'yaml'
import type { JsonObject } from '../../src/base/json.ts'
import { plans } from '../../src/cli/demo/scenario.ts'

test("the demo's Plans are the example's, but for the channel, and agents that go two at a time and are drained", () => {
  const text = readFileSync(new URL('../../examples/rke2/by-channel.yaml', import.meta.url), 'utf8')
  const [server, agent] = parseAllDocuments(text).map((document) => document.toJS() as JsonObject & { spec: JsonObject })
  const channel = 'http://127.0.0.1:1/v1-release/channels/stable'
  expect(plans(channel)).toEqual([
    { ...server, spec: { ...server!.spec, channel } },
    { ...agent, spec: { ...agent!.spec, channel, concurrency: 2, drain: { force: true } } },
  ])
})
