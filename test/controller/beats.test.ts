import { describe, expect, test } from '@jest/globals'
import { createBeats } from '../../src/controller/beats.ts'

describe('heartbeats as seen', () => {
  test('the first text of a node is no heartbeat, a later one is, an earlier one is not', () => {
    const beats = createBeats()
    beats.sawNode('a', '2026-01-01T00:00:10Z', 1)
    expect(beats.all.get('a')?.advancedAt).toBeUndefined()
    beats.sawNode('a', '2026-01-01T00:00:20Z', 2)
    expect(beats.all.get('a')?.advancedAt).toBe(2)
    beats.sawNode('a', '2026-01-01T00:00:15Z', 3)
    expect(beats.all.get('a')?.advancedAt).toBe(2)
  })

  test('a Lease that advanced between two reads proves a heartbeat after the first read began, not after the second', () => {
    const beats = createBeats()
    beats.sawLease('a', 't1', 100, 110)
    expect(beats.all.get('a')?.after).toBeUndefined()
    beats.sawLease('a', 't1', 200, 210)
    beats.sawLease('a', 't2', 300, 310)
    expect(beats.all.get('a')).toMatchObject({ advancedAt: 310, after: 200 })
  })

  test("a Lease counts when it changes, also after the machine's clock was set back; a late event of a watch does not", () => {
    const beats = createBeats()
    beats.sawLease('a', '2026-01-01T10:00:00Z', 100, 110)
    beats.sawLease('a', '2026-01-01T09:00:05Z', 200, 210)
    expect(beats.all.get('a')).toMatchObject({ advancedAt: 210, after: 100 })
    beats.sawLease('a', '2026-01-01T09:00:05Z', 300, 310)
    expect(beats.all.get('a')).toMatchObject({ advancedAt: 210, after: 100 })
    beats.sawLease('a', '2026-01-01T09:00:15Z', 400, 410)
    expect(beats.all.get('a')).toMatchObject({ advancedAt: 410, after: 300 })
  })

  test('a watch proves nothing about when: its events may be late', () => {
    const beats = createBeats()
    beats.sawNode('a', 't1', 1)
    beats.sawNode('a', 't2', 2)
    expect(beats.all.get('a')?.after).toBeUndefined()
  })

  test('a node without a text, and one that is gone', () => {
    const beats = createBeats()
    beats.sawNode('a', '', 1)
    expect(beats.all.has('a')).toBe(false)
    beats.sawLease('a', 't1', 1, 2)
    beats.forget('a')
    expect(beats.all.has('a')).toBe(false)
  })
})
