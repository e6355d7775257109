import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { DateTime, IANAZone } from 'luxon'
import type { TimeWindowSpec } from '../../src/api/plan.ts'
import { type Window, isInside, nextOpening, parseWindow } from '../../src/rollout/window.ts'
import { dayStarts, instantOf, loadZone, offsetAt } from '../../src/rollout/zone.ts'

const ALL_DAYS = ['su', 'mo', 'tu', 'we', 'th', 'fr', 'sa']
const MINUTE = 60_000
const DAY = 86_400_000

function windowOf(spec: TimeWindowSpec): Window {
  const result = parseWindow(spec)
  if (!result.ok) throw new Error(result.error)
  return result.window
}

function errorOf(spec: TimeWindowSpec): string | undefined {
  const result = parseWindow(spec)
  return result.ok ? undefined : result.error
}

const at = (text: string): number => Date.parse(text)

describe('parseWindow', () => {
  test.each([
    ['09:00', 9 * 3600],
    ['9:00', 9 * 3600],
    ['9', 9 * 3600],
    ['23', 23 * 3600],
    ['09:00:30', 9 * 3600 + 30],
    ['09:00:30.25', 9 * 3600 + 30],
    ['09:00:30,25', 9 * 3600 + 30],
    ['03:04pm', 15 * 3600 + 240],
    ['12:00am', 0],
    ['00:30am', 1800],
    ['12:00pm', 12 * 3600],
    ['00pm', 12 * 3600],
    ['3pm', 15 * 3600],
    ['12am', 0],
  ])('reads %s', (startTime, seconds) => {
    expect(windowOf({ days: ['mo'], startTime, endTime: '23:59' }).start).toBe(seconds)
  })

  test.each([
    '',
    '24:00',
    '09:60',
    '9:00am',
    '09:00AM',
    '13pm',
    '09:00:60',
    '09.00',
    ' 09:00',
    '09:00 ',
    '9:5',
    '009:00',
    '09:00:00.',
    '-1',
    '٩:٠٠',
  ])('refuses %j', (endTime) => {
    expect(errorOf({ days: ['mo'], startTime: '09:00', endTime })).toBe(`spec.window is invalid, Invalid time format: ${endTime}`)
  })

  test('checks days, zone, start and end in that order', () => {
    const bad = { days: ['noday'], timeZone: 'Mars/Olympus', startTime: 'a', endTime: 'b' }
    expect(errorOf(bad)).toBe('spec.window is invalid, Invalid weekday: noday')
    expect(errorOf({ ...bad, days: ['7'] })).toBe('spec.window is invalid, Invalid weekday, number out of range: 7')
    expect(errorOf({ ...bad, days: [''] })).toBe('spec.window is invalid, unknown time zone Mars/Olympus')
    expect(errorOf({ ...bad, days: ['+3'], timeZone: '' })).toBe('spec.window is invalid, Invalid time format: a')
    expect(errorOf({ ...bad, days: [], timeZone: 'UTC', startTime: '1' })).toBe('spec.window is invalid, Invalid time format: b')
  })

  test.each([
    'US/Pacific',
    'EST',
    'CET',
    'Asia/Kolkata',
    'Asia/Calcutta',
    'Europe/Kyiv',
    'Etc/GMT+12',
    'GB-Eire',
    'EST5EDT',
    'UTC',
    '',
    'Local',
  ])('knows zone %j', (timeZone) => {
    expect(errorOf({ days: ['mo'], startTime: '1', endTime: '2', timeZone })).toBeUndefined()
  })

  test.each(['PST', 'JST', 'europe/berlin', 'utc', '+02:00', 'UTC+2', 'GMT+1', 'Europe', 'Europe/Berlin '])(
    'does not know zone %j',
    (timeZone) => {
      expect(errorOf({ days: ['mo'], startTime: '1', endTime: '2', timeZone })).toBe(
        `spec.window is invalid, unknown time zone ${timeZone}`,
      )
    },
  )

  test.each(['../etc', '/etc/localtime', '\\x'])('takes %j for no zone name at all', (timeZone) => {
    expect(errorOf({ days: ['mo'], startTime: '1', endTime: '2', timeZone })).toBe('spec.window is invalid, time: invalid location name')
  })
})

describe('isInside', () => {
  test('a window over midnight belongs to the day it is asked on, and leaves out its very last nanosecond', () => {
    const window = windowOf({ days: ['mo'], startTime: '22:00', endTime: '02:00' })
    expect(isInside(window, at('2026-03-02T01:00:00Z'))).toBe(true)
    expect(isInside(window, at('2026-03-03T01:00:00Z'))).toBe(false)
    expect(isInside(window, { ms: at('2026-03-02T02:00:00.999Z'), ns: 999_998 })).toBe(true)
    expect(isInside(window, { ms: at('2026-03-02T02:00:00.999Z'), ns: 999_999 })).toBe(false)
    expect(isInside(window, { ms: at('2026-03-02T02:00:01Z') })).toBe(false)
  })

  test('a window within one day counts its end second whole', () => {
    const window = windowOf({ days: ['mo'], startTime: '09:00', endTime: '17:00' })
    expect(isInside(window, { ms: at('2026-03-02T17:00:00.999Z'), ns: 999_999 })).toBe(true)
    expect(isInside(window, at('2026-03-02T17:00:01Z'))).toBe(false)
    expect(isInside(window, at('2026-03-02T08:59:59.999Z'))).toBe(false)
  })

  test('fractions of a second decide only which time is the later one', () => {
    expect(windowOf({ days: ['mo'], startTime: '09:00:00.2', endTime: '09:00:00.1' }).wraps).toBe(true)
    expect(windowOf({ days: ['mo'], startTime: '09:00:00.1', endTime: '09:00:00.2' }).wraps).toBe(false)
  })
})

const ZONES = [
  'UTC',
  'Europe/Berlin',
  'America/New_York',
  'America/Havana',
  'America/St_Johns',
  'Asia/Beirut',
  'Asia/Kathmandu',
  'Australia/Lord_Howe',
  'Africa/Casablanca',
  'Pacific/Apia',
  'Pacific/Honolulu',
  'America/Santiago',
]
const zones = fc.constantFrom(...ZONES)
const secondsOfDay = fc.integer({ min: 0, max: 86_399 })
const instants = fc
  .integer({ min: at('2010-01-01T00:00:00Z') / 1000, max: at('2030-01-01T00:00:00Z') / 1000 })
  .map((second) => second * 1000)
const clock = (second: number): string => new Date(second * 1000).toISOString().slice(11, 19)

/** Instants close to a change of clocks are rare by chance; half of the drawn ones are moved to such a day. */
const instantsNearChanges = fc
  .tuple(zones, instants, fc.boolean(), fc.integer({ min: -30 * 60, max: 30 * 60 }))
  .map(([zone, ms, near, minutes]) => {
    if (!near) return { zone, ms }
    const luxonZone = IANAZone.create(zone)
    for (let day = 0; day < 366; day++) {
      const here = ms + day * DAY
      if (luxonZone.offset(here) !== luxonZone.offset(here + DAY)) return { zone, ms: here + minutes * MINUTE }
    }
    return { zone, ms }
  })

describe('against luxon', () => {
  test('offsets agree', () => {
    fc.assert(
      fc.property(instantsNearChanges, ({ zone, ms }) => {
        const loaded = loadZone(zone)
        expect(loaded.ok && offsetAt(loaded.zone, ms)).toBe(IANAZone.create(zone).offset(ms) * MINUTE)
      }),
      { numRuns: 400 },
    )
  })

  test('far from changes of the clock, inside means that the clock on the wall reads between the two times', () => {
    fc.assert(
      fc.property(zones, instants, secondsOfDay, secondsOfDay, fc.subarray(ALL_DAYS), (timeZone, ms, start, end, days) => {
        const luxonZone = IANAZone.create(timeZone)
        const offsets = [-2, -1, 0, 1, 2].map((day) => luxonZone.offset(ms + day * DAY))
        fc.pre(new Set(offsets).size === 1)
        const local = DateTime.fromMillis(ms, { zone: timeZone })
        const second = local.hour * 3600 + local.minute * 60 + local.second
        const between = start <= end ? second >= start && second <= end : second >= start || second <= end
        const expected = days.includes(ALL_DAYS[local.weekday % 7] ?? '') && between
        const window = windowOf({ days, startTime: clock(start), endTime: clock(end), timeZone })
        expect(isInside(window, ms)).toBe(expected)
      }),
      { numRuns: 600 },
    )
  })

  test('a reading that clocks show once is found exactly', () => {
    fc.assert(
      fc.property(instantsNearChanges, ({ zone, ms }) => {
        const local = DateTime.fromMillis(ms, { zone })
        fc.pre(local.getPossibleOffsets().length === 1)
        const loaded = loadZone(zone)
        if (!loaded.ok) throw new Error(loaded.error)
        const day = { year: local.year, month: local.month, day: local.day, weekday: local.weekday % 7 }
        expect(instantOf(loaded.zone, day, local.hour * 3600 + local.minute * 60 + local.second)).toBe(ms)
      }),
      { numRuns: 400 },
    )
  })

  test('the day begins at one of its possible starts', () => {
    fc.assert(
      fc.property(instantsNearChanges, ({ zone, ms }) => {
        const local = DateTime.fromMillis(ms, { zone })
        const loaded = loadZone(zone)
        if (!loaded.ok) throw new Error(loaded.error)
        const day = { year: local.year, month: local.month, day: local.day, weekday: local.weekday % 7 }
        expect(dayStarts(loaded.zone, day)).toContain(local.startOf('day').toMillis())
      }),
      { numRuns: 300 },
    )
  })
})

describe('nextOpening', () => {
  test('names the coming opening', () => {
    const window = windowOf({ days: ['mo', 'fr'], startTime: '22:00', endTime: '02:00', timeZone: 'Europe/Berlin' })
    expect(nextOpening(window, at('2026-07-14T12:00:00Z'))).toBe(at('2026-07-16T22:00:00Z'))
    expect(nextOpening(window, at('2026-07-17T00:00:01Z'))).toBe(at('2026-07-17T20:00:00Z'))
    expect(nextOpening(window, at('2026-07-17T20:30:00Z'))).toBe(at('2026-07-17T20:30:00Z'))
  })

  test('there is none without days', () => {
    expect(nextOpening(windowOf({ startTime: '00:00', endTime: '23:59:59' }), 0)).toBeUndefined()
  })

  test('it is inside, and no minute before it is', () => {
    fc.assert(
      fc.property(
        instantsNearChanges,
        secondsOfDay,
        secondsOfDay,
        fc.subarray(ALL_DAYS, { minLength: 1 }),
        ({ zone, ms }, start, end, days) => {
          const window = windowOf({ days, startTime: clock(start), endTime: clock(end), timeZone: zone })
          const opening = nextOpening(window, ms)
          if (opening === undefined) throw new Error('no opening found')
          expect(isInside(window, opening)).toBe(true)
          const stepMs = Math.max(MINUTE, (opening - ms) / 200)
          let early: number | undefined
          for (let before = ms; before < opening && early === undefined; before += stepMs) if (isInside(window, before)) early = before
          expect(early).toBeUndefined()
          if (opening > ms) expect(isInside(window, opening - 1000)).toBe(false)
        },
      ),
      { numRuns: 150 },
    )
  })
})
