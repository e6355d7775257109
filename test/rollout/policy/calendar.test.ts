import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { DateTime } from 'luxon'
import { opening, readCalendar } from '../../../src/rollout/policy/calendar.ts'
import { lastOccurrence, nextOccurrence, parseCron } from '../../../src/rollout/policy/cron.ts'
import { loadZone } from '../../../src/rollout/zone.ts'

const HOUR = 3_600_000
const at = (text: string): number => Date.parse(text)
const iso = (ms: number | undefined): string | undefined => (ms === undefined ? undefined : new Date(ms).toISOString())

function cron(text: string) {
  const result = parseCron(text)
  if (!result.ok) throw new Error(result.error)
  return result.cron
}

function zone(name: string) {
  const result = loadZone(name)
  if (!result.ok) throw new Error(result.error)
  return result.zone
}

function calendar(windows: { start: string; hours: number; timeZone?: string }[], exclusions: { from: string; to: string }[] = []) {
  const result = readCalendar(
    windows.map(({ start, hours, timeZone = 'UTC' }) => ({ start, durationMs: hours * HOUR, timeZone })),
    exclusions.map(({ from, to }) => ({ fromMs: at(from), toMs: at(to), reason: 'freeze' })),
  )
  if (!result.ok) throw new Error(result.error)
  return result.calendar
}

describe('cron expressions', () => {
  test.each([
    ['0 22 * * SAT', '2026-11-21T21:59:59Z', '2026-11-21T22:00:00.000Z'],
    ['0 22 * * SAT', '2026-11-21T22:00:00Z', '2026-11-28T22:00:00.000Z'],
    ['0 22 * * 6', '2026-11-16T00:00:00Z', '2026-11-21T22:00:00.000Z'],
    ['30 1 * * 7', '2026-11-16T00:00:00Z', '2026-11-22T01:30:00.000Z'],
    ['*/20 8-9 * * mon-fri', '2026-11-21T08:00:00Z', '2026-11-23T08:00:00.000Z'],
    ['5/25 * * * *', '2026-11-21T08:31:00Z', '2026-11-21T08:55:00.000Z'],
    ['0 0 29 FEB *', '2026-11-21T00:00:00Z', '2028-02-29T00:00:00.000Z'],
    // Both kinds of day restricted: either.
    ['0 0 13 * FRI', '2026-11-21T00:00:00Z', '2026-11-27T00:00:00.000Z'],
    ['0 0 */2 * FRI', '2026-11-21T00:00:00Z', '2026-11-27T00:00:00.000Z'],
    ['0 0 31 2 *', '2026-11-21T00:00:00Z', undefined],
  ])('%s after %s is %s', (text, from, expected) => {
    expect(iso(nextOccurrence(cron(text), zone('UTC'), at(from)))).toBe(expected)
  })

  test.each([
    ['0 22 * *', 'five fields'],
    ['0 22 * * SAT *', 'five fields'],
    ['60 22 * * *', '"60" must lie within 0-59'],
    ['0 24 * * *', '"24" must lie within 0-23'],
    ['0 0 0 * *', '"0" must lie within 1-31'],
    ['0 0 * * SATURDAY', '"SATURDAY" is not understood'],
    ['0 0 * * 8', '"8" must lie within 0-7'],
    ['*/0 0 * * *', 'step 0'],
    ['5-1 0 * * *', '"5-1" must lie within 0-59'],
    ['0 0 1,,2 * *', '"" is not understood'],
    ['', 'five fields'],
  ])('%s is refused', (text, error) => {
    const result = parseCron(text)
    expect(result.ok ? 'accepted' : result.error).toContain(error)
  })

  test('the next occurrence is the first minute that an independent calendar finds', () => {
    const zones = ['UTC', 'Europe/Berlin', 'America/New_York', 'Asia/Kolkata', 'Australia/Lord_Howe']
    fc.assert(
      fc.property(
        fc.constantFrom(...zones),
        fc.integer({ min: 0, max: 59 }),
        fc.integer({ min: 4, max: 23 }),
        fc.subarray([0, 1, 2, 3, 4, 5, 6], { minLength: 1 }),
        fc.integer({ min: at('2026-01-01T00:00:00Z'), max: at('2027-12-31T00:00:00Z') }),
        (name, minute, hour, days, from) => {
          const found = nextOccurrence(cron(`${minute} ${hour} * * ${days.join(',')}`), zone(name), from)
          let day = DateTime.fromMillis(from, { zone: name }).startOf('day')
          for (;;) {
            const candidate = day.set({ hour, minute })
            if (candidate.toMillis() > from && days.includes(candidate.weekday % 7)) {
              expect(iso(found)).toBe(iso(candidate.toMillis()))
              return
            }
            day = day.plus({ days: 1 })
          }
        },
      ),
      { numRuns: 300 },
    )
  })

  test('the last occurrence is the one before which there is no other', () => {
    fc.assert(
      fc.property(fc.integer({ min: at('2026-01-01T00:00:00Z'), max: at('2027-12-31T00:00:00Z') }), (now) => {
        const every = cron('15 */7 * * TUE,SAT')
        const last = lastOccurrence(every, zone('UTC'), now, 5 * 86_400_000)
        expect(last).toBeDefined()
        if (last === undefined) return
        expect(last).toBeLessThanOrEqual(now)
        expect(nextOccurrence(every, zone('UTC'), last)).toBeGreaterThan(now)
      }),
    )
  })
})

describe('windows and exclusions', () => {
  const saturday = { start: '0 22 * * SAT', hours: 6, timeZone: 'Europe/Berlin' }

  test.each([
    ['before', '2026-11-21T20:59:59Z', { open: false, opensAt: '2026-11-21T21:00:00.000Z' }],
    ['at its start', '2026-11-21T21:00:00Z', { open: true }],
    ['past midnight', '2026-11-22T02:59:59Z', { open: true }],
    ['at its end', '2026-11-22T03:00:00Z', { open: false, opensAt: '2026-11-28T21:00:00.000Z' }],
  ])('a window over midnight: %s', (_name, now, expected) => {
    const found = opening(calendar([saturday]), at(now))
    expect(found.open ? { open: true } : { open: false, opensAt: iso(found.opensAt) }).toEqual(expected)
  })

  test('lasts as long as it says when the clocks change within it', () => {
    // On 25 October 2026 Berlin sets its clocks back at 03:00: the window of six hours ends at 03:00 local time, for the second time.
    const found = calendar([{ ...saturday }])
    expect(opening(found, at('2026-10-24T20:00:00Z')).open).toBe(true)
    expect(opening(found, at('2026-10-25T01:59:59Z')).open).toBe(true)
    expect(opening(found, at('2026-10-25T02:00:00Z')).open).toBe(false)
  })

  test('several windows are a union', () => {
    const found = calendar([saturday, { start: '0 2 * * *', hours: 1 }])
    expect(opening(found, at('2026-11-18T02:30:00Z')).open).toBe(true)
    expect(opening(found, at('2026-11-21T22:00:00Z')).open).toBe(true)
    expect(opening(found, at('2026-11-18T03:00:00Z'))).toMatchObject({ open: false, opensAt: at('2026-11-19T02:00:00Z') })
  })

  test('an exclusion beats every window, and the next opening lies behind it', () => {
    const found = calendar([saturday], [{ from: '2026-11-21T22:00:00Z', to: '2026-12-06T00:00:00Z' }])
    expect(opening(found, at('2026-11-21T21:30:00Z')).open).toBe(true)
    const shut = opening(found, at('2026-11-21T22:30:00Z'))
    expect(shut).toMatchObject({ open: false, exclusion: { reason: 'freeze' } })
    // It ends within the window of 5 December.
    expect(shut.open ? '' : iso(shut.opensAt)).toBe('2026-12-06T00:00:00.000Z')
  })

  test('without windows it is open but for exclusions', () => {
    const found = calendar([], [{ from: '2026-12-18T00:00:00Z', to: '2027-01-04T00:00:00Z' }])
    expect(opening(found, at('2026-12-17T23:59:59Z')).open).toBe(true)
    expect(opening(found, at('2026-12-18T00:00:00Z'))).toMatchObject({ open: false, opensAt: at('2027-01-04T00:00:00Z') })
    expect(opening(found, at('2027-01-04T00:00:00Z')).open).toBe(true)
  })

  test('a window that never opens says so', () => {
    expect(opening(calendar([{ start: '0 0 31 2 *', hours: 1 }]), at('2026-11-21T00:00:00Z'))).toEqual({
      open: false,
      exclusion: undefined,
      opensAt: undefined,
    })
  })

  test.each([
    [{ start: '0 22 * * Tuesdays', durationMs: HOUR, timeZone: 'UTC' }, 'spec.windows[0].start: cron expression'],
    [{ start: '0 22 * * *', durationMs: HOUR, timeZone: 'Europe/Bern' }, 'spec.windows[0].timeZone: unknown time zone Europe/Bern'],
    [{ start: '0 22 * * *', durationMs: 0, timeZone: 'UTC' }, 'spec.windows[0].duration: must be above 0'],
    [{ start: '0 22 * * *', durationMs: 169 * HOUR, timeZone: 'UTC' }, 'at most 168h'],
  ])('%j is refused by its field', (window, error) => {
    const result = readCalendar([window], [])
    expect(result.ok ? 'accepted' : result.error).toContain(error)
  })
})
