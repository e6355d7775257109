import { describe, expect, test } from '@jest/globals'
import { forwardOnly } from '../../../src/simulation/checkers/forward-only.ts'
import { story } from './story.ts'

function run(from: string, to: string, role: 'server' | 'agent', server = 'v1.33.4+rke2r1', image?: string) {
  const s = story(forwardOnly)
  s.node('a', { role, version: from })
  s.node('s', { role: 'server', version: server })
  s.plan('p')
  s.wait(60_000)
  s.job('j', { plan: 'p', node: 'a', version: to, parallelism: 1, ...(image === undefined ? {} : { image }) })
  return s
}

describe('promise 6', () => {
  test('up, and the same again', () => {
    expect(run('v1.33.3+rke2r1', 'v1.33.4-rke2r1', 'server').said).toEqual([])
    expect(run('v1.33.4+rke2r1', 'v1.33.4-rke2r1', 'agent').said).toEqual([])
    expect(run('v1.32.9+rke2r1', 'v1.33.1-rke2r1', 'server').said).toEqual([])
    expect(run('v1.31.9+rke2r1', 'v1.33.1-rke2r1', 'agent').said).toEqual([])
  })

  test.each([
    ['v1.33.4+rke2r2', 'v1.33.4-rke2r1', 'agent', 'lower'],
    ['v1.33.10+rke2r1', 'v1.33.9-rke2r1', 'server', 'lower'],
    ['v1.31.9+rke2r1', 'v1.33.1-rke2r1', 'server', 'a server skips a minor'],
    ['v1.33.3+rke2r1', 'v1.33.5-rke2r1', 'agent', 'above server s at v1.33.4+rke2r1'],
  ] as const)('%s to %s of a(n) %s: %s', (from, to, role, why) => {
    const s = run(from, to, role)
    expect(s.said).toEqual([`run of a from ${from} to ${to}: ${why}`])
  })

  test('other images are free', () => {
    expect(run('v1.33.4+rke2r1', 'v1.33.1-rke2r1', 'agent', 'v1.33.4+rke2r1', 'registry/script').said).toEqual([])
  })
})
