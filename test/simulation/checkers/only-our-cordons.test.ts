import { describe, expect, test } from '@jest/globals'
import { onlyOurCordons } from '../../../src/simulation/checkers/only-our-cordons.ts'
import { NAMESPACE, story, working } from './story.ts'

function begun() {
  const s = story(onlyOurCordons)
  s.node('a')
  s.plan('p')
  s.claim('p', ['a'])
  return s
}

describe('promise 3', () => {
  test('cordon with record in one PATCH, later uncordon', () => {
    const s = begun()
    s.patchNode('a', { unschedulable: true, record: working('p') })
    s.patchNode('a', { unschedulable: false, record: {} })
    expect(s.said).toEqual([])
    expect(s.checker.checks()).toBe(2)
  })

  test('a cordon of somebody else is not lifted, nor claimed in the record', () => {
    const s = begun()
    s.patchNode('a', { unschedulable: true }, 'person')
    s.patchNode('a', { record: working('p') })
    s.patchNode('a', { unschedulable: false, record: {} })
    expect(s.said).toEqual(['the record of a (a) claims a cordon set by person', 'uncordon of a, which was cordoned by person'])
  })

  test('a cordon that a person lifted and set again is theirs', () => {
    const s = begun()
    s.patchNode('a', { unschedulable: true, record: working('p') })
    s.patchNode('a', { unschedulable: false }, 'person')
    s.patchNode('a', { unschedulable: true }, 'person')
    s.patchNode('a', { unschedulable: false, record: {} })
    expect(s.said).toEqual(['uncordon of a, which was cordoned by person'])
  })

  test('a cordon without its record is caught', () => {
    const s = begun()
    s.patchNode('a', { unschedulable: true })
    expect(s.said).toEqual(['cordon of a without its record in the same PATCH'])
  })

  test("SUC's cordon may be lifted only once adopted", () => {
    const record = { cordon: { plan: `${NAMESPACE}/p`, adopted: true } }
    const good = begun()
    good.patchNode('a', { unschedulable: true }, 'suc')
    good.patchNode('a', { record })
    good.patchNode('a', { unschedulable: false })
    expect(good.said).toEqual([])
    const bad = begun()
    bad.patchNode('a', { unschedulable: true }, 'suc')
    bad.patchNode('a', { unschedulable: false })
    expect(bad.said).toEqual(['uncordon of a, which was cordoned by suc'])
  })
})
