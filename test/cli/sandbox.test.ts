import { describe, expect, test } from '@jest/globals'
import { parseSandboxFlags } from '../../src/cli/sandbox.ts'

describe('parseSandboxFlags', () => {
  test('defaults', () => {
    expect(parseSandboxFlags([])).toEqual({
      port: 0,
      servers: 3,
      agents: 3,
      version: 'v1.33.3+rke2r1',
      kubeconfig: 'sandbox.kubeconfig',
      fast: false,
    })
  })

  test('every flag', () => {
    const argv = ['--port', '6443', '--servers=1', '--agents', '0', '--version', 'v1.33.4+k3s1', '--kubeconfig', '/tmp/k', '--fast']
    expect(parseSandboxFlags(argv)).toEqual({
      port: 6443,
      servers: 1,
      agents: 0,
      version: 'v1.33.4+k3s1',
      kubeconfig: '/tmp/k',
      fast: true,
    })
  })

  test.each([
    [['--port', 'x'], /--port/],
    [['--port', '70000'], /--port/],
    [['--servers', '-1'], /--servers/],
    [['--servers', '10'], /--servers/],
    [['--agents', '1.5'], /--agents/],
    [['--servers', '0', '--agents', '0'], /needs a node/],
    [['--version', 'latest'], /--version/],
    [['--agnets', '3'], /agnets/],
    [['three'], /three/],
  ])('%j is refused', (argv, problem) => {
    const flags = parseSandboxFlags(argv)
    expect('problem' in flags ? flags.problem : '').toMatch(problem)
  })
})
