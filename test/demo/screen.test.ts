import { describe, expect, test } from '@jest/globals'
import { modelOf } from '../../src/cli/demo/model.ts'
import { openScreen } from '../../src/cli/demo/screen.ts'
import { node, plan, planOf } from './fixtures.ts'

const ESCAPE = '\u001b['
const model = modelOf([plan('agent-plan', {})], [node('a', 'agent')], planOf)
const later = modelOf([plan('agent-plan', { nodeStatuses: [{ name: 'a', phase: 'Draining' }] })], [node('a', 'agent')], planOf)

function recorder(isTTY: boolean) {
  const written: string[] = []
  return { written, isTTY, columns: 80, write: (text: string) => written.push(text) }
}

describe('openScreen', () => {
  test('not a terminal: lines for changes, without escape sequences', () => {
    const output = recorder(false)
    const screen = openScreen(output, {})
    screen.print(['hello'])
    screen.show(model, 0, 0)
    screen.show(model, 1000, 0)
    screen.show(later, 2000, 0)
    screen.note('something happened')
    screen.close()
    const text = output.written.join('')
    expect(text).not.toContain(ESCAPE)
    expect(text.split('\n')).toEqual([
      'hello',
      '    0s  agent-plan: no word yet (target v1.33.5-rke2r1)',
      '    0s  a (agent, v1.33.4+rke2r1): Pending',
      '    2s  a (agent, v1.33.4+rke2r1): Pending -> Draining',
      '        something happened',
      '',
    ])
  })

  test('a terminal: the frame is redrawn in place, and the cursor comes back', () => {
    const output = recorder(true)
    const screen = openScreen(output, {})
    screen.show(model, 0, 0)
    const lines = output.written.at(-1)!.split('\n').length - 1
    screen.show(later, 1000, 0)
    expect(output.written.at(-2)).toContain(`${ESCAPE}${lines}A`)
    screen.close()
    expect(output.written.at(-1)).toBe(`${ESCAPE}?25h`)
  })

  test('what is printed is never erased by the next frame', () => {
    const output = recorder(true)
    const screen = openScreen(output, {})
    screen.show(model, 0, 0)
    screen.print(['stays'])
    const before = output.written.length
    screen.show(model, 0, 0)
    expect(output.written.slice(before).join('')).not.toMatch(/\[\d+A/)
  })

  test('NO_COLOR takes the colours, not the frame', () => {
    const colours = (env: Record<string, string>) => {
      const output = recorder(true)
      openScreen(output, env).show(later, 0, 0)
      return output.written.join('').match(/\[\d+m/g)?.length ?? 0
    }
    expect(colours({})).toBeGreaterThan(0)
    expect(colours({ NO_COLOR: '1' })).toBe(0)
    expect(colours({ NO_COLOR: '' })).toBeGreaterThan(0)
  })

  test('a dumb terminal gets lines', () => {
    const output = recorder(true)
    openScreen(output, { TERM: 'dumb' }).show(model, 0, 0)
    expect(output.written.join('')).not.toContain(ESCAPE)
  })
})
