/** `lead`: will it fit. Openings of a Plan's own window and its policy's calendar together, what is learned, and who is held. */
import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import type { RolloutMemory } from '../../../src/api/memory.ts'
import type { TimeWindowSpec } from '../../../src/api/plan.ts'
import { decide } from '../../../src/rollout/decide.ts'
import { type Calendar, isTooLong, opening, readCalendar } from '../../../src/rollout/policy/calendar.ts'
import { lastOccurrence, nextOccurrence, parseCron } from '../../../src/rollout/policy/cron.ts'
import { openingFrom, openingsOf, roomyOpening } from '../../../src/rollout/policy/openings.ts'
import { faultsOf } from '../../../src/rollout/policy/rules.ts'
import { isInside, overnightWarning, parseWindow } from '../../../src/rollout/window.ts'
import type { NodeView, World } from '../../../src/rollout/world.ts'
import { instantOf, loadZone, localDay, plusDays } from '../../../src/rollout/zone.ts'
import {
  actions,
  aNode,
  aPlan,
  aPolicy,
  aRecord,
  aWork,
  aWorld,
  hashOf,
  type KnownPlan,
  NEW,
  NOW,
  planHolds,
  pulledAndTried,
  remembering,
  settings,
} from '../build.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR
const PLAN = 'system-upgrade/p'
const at = (text: string): number => Date.parse(text)
const iso = (ms: number | undefined): string | undefined => (ms === undefined ? undefined : new Date(ms).toISOString())

function calendar(windows: readonly [start: string, hours: number][], exclusions: readonly [from: string, to: string][] = []): Calendar {
  const read = readCalendar(
    windows.map(([start, hours]) => ({ start, durationMs: hours * HOUR, timeZone: 'UTC' })),
    exclusions.map(([from, to]) => ({ fromMs: at(from), toMs: at(to), reason: '' })),
  )
  if (!read.ok) throw new Error(read.error)
  return read.calendar
}

function openings(window: TimeWindowSpec | undefined, read: Calendar | undefined) {
  const found = openingsOf(window, read)
  if (found === undefined) throw new Error('always open')
  return found
}

test('occurrences are those that each minute of each day gives, also where clocks change', () => {
  fc.assert(
    fc.property(
      fc.constantFrom('UTC', 'Europe/Berlin', 'America/New_York', 'Australia/Lord_Howe', 'Asia/Kathmandu'),
      fc.subarray([0, 1, 2, 3, 4, 5, 12, 22, 23], { minLength: 1 }),
      fc.subarray([0, 7, 15, 30, 59], { minLength: 1 }),
      // Around the days on which clocks change in these zones, and between.
      fc.constantFrom('2026-03-08', '2026-03-29', '2026-04-05', '2026-07-01', '2026-10-04', '2026-10-25', '2026-11-01'),
      fc.integer({ min: -30 * 60, max: 30 * 60 }),
      (name, hours, minutes, date, offset) => {
        const cron = parseCron(`${minutes.join()} ${hours.join()} * * *`)
        const zone = loadZone(name)
        if (!cron.ok || !zone.ok) throw new Error('bad case')
        const from = at(`${date}T00:00:00Z`) + offset * MINUTE
        const all: number[] = []
        for (let day = -3; day <= 3; day++)
          for (const hour of hours)
            for (const minute of minutes)
              all.push(instantOf(zone.zone, plusDays(localDay(zone.zone, from), day), hour * 3600 + minute * 60))
        expect(iso(nextOccurrence(cron.cron, zone.zone, from))).toBe(iso(Math.min(...all.filter((one) => one > from))))
        expect(iso(lastOccurrence(cron.cron, zone.zone, from, DAY))).toBe(iso(Math.max(...all.filter((one) => one <= from))))
      },
    ),
    { numRuns: 300 },
  )
})

describe('the opening from an instant on', () => {
  test.each([
    ['open now', '2026-03-02T22:30:00Z', '2026-03-02T22:30:00.000Z', '2026-03-03T01:00:00.000Z'],
    ['closed now', '2026-03-02T12:00:00Z', '2026-03-02T22:00:00.000Z', '2026-03-03T01:00:00.000Z'],
    ['at its end', '2026-03-03T01:00:00Z', '2026-03-03T22:00:00.000Z', '2026-03-04T01:00:00.000Z'],
  ])('%s', (_name, from, opens, closes) => {
    const found = openingFrom(openings(undefined, calendar([['0 22 * * *', 3]])), at(from))
    expect([iso(found?.at), iso(found?.until)]).toEqual([opens, closes])
  })

  test('windows that overlap or follow each other are one opening', () => {
    const read = calendar([
      ['0 22 * * *', 2],
      ['30 23 * * *', 1],
      ['30 0 * * *', 1],
    ])
    expect(iso(openingFrom(openings(undefined, read), at('2026-03-02T22:00:00Z'))?.until)).toBe('2026-03-03T01:30:00.000Z')
  })

  test('an exclusion ends it, also where there are no windows', () => {
    const freeze = [['2026-03-02T23:00:00Z', '2026-03-04T00:00:00Z']] as const
    const found = openingFrom(openings(undefined, calendar([['0 22 * * *', 3]], [...freeze] as never)), at('2026-03-02T22:00:00Z'))
    expect(iso(found?.until)).toBe('2026-03-02T23:00:00.000Z')
    expect(iso(openingFrom(openings(undefined, calendar([], [...freeze] as never)), NOW.wall)?.until)).toBe('2026-03-02T23:00:00.000Z')
    const after = openingFrom(openings(undefined, calendar([], [...freeze] as never)), at('2026-03-03T00:00:00Z'))
    expect([iso(after?.at), after?.until]).toEqual(['2026-03-04T00:00:00.000Z', undefined])
  })

  test('of a window and a calendar is when both are open', () => {
    const own = { days: ['mo', 'tu'], startTime: '21:00', endTime: '23:00', timeZone: 'UTC' }
    const found = openingFrom(openings(own, calendar([['0 22 * * *', 3]])), NOW.wall)
    expect([iso(found?.at), iso(found?.until)]).toEqual(['2026-03-02T22:00:00.000Z', '2026-03-02T23:00:01.000Z'])
    expect(openingFrom(openings(own, calendar([['0 1 * * *', 3]])), NOW.wall)).toBeUndefined()
  })

  test('closes exactly where the window says that it is closed, whatever its days, hours and zone', () => {
    fc.assert(
      fc.property(
        fc.subarray(['su', 'mo', 'tu', 'we', 'th', 'fr', 'sa'], { minLength: 1 }),
        fc.integer({ min: 0, max: 23 }),
        fc.integer({ min: 0, max: 23 }),
        fc.constantFrom('UTC', 'Europe/Berlin', 'America/New_York', 'Australia/Lord_Howe'),
        fc.integer({ min: at('2026-01-01T00:00:00Z') / MINUTE, max: at('2026-12-31T00:00:00Z') / MINUTE }),
        (days, start, end, timeZone, minute) => {
          const spec = { days, startTime: `${start}:00`, endTime: `${end}:59`, timeZone }
          const parsed = parseWindow(spec)
          if (!parsed.ok) throw new Error(parsed.error)
          // Half a minute past: a window to 23:59 is closed for the last minute of the day.
          const from = minute * MINUTE + MINUTE / 2
          const found = openingFrom(openings(spec, undefined), from)
          // By looking at each minute of what it says.
          let seen = from
          while (seen < from + 16 * DAY && !isInside(parsed.window, seen)) seen += MINUTE
          expect(found).toBeDefined()
          expect(seen - (found?.at ?? 0)).toBeGreaterThanOrEqual(0)
          expect(seen - (found?.at ?? 0)).toBeLessThan(MINUTE)
          while (seen < from + 10 * DAY && isInside(parsed.window, seen)) seen += MINUTE
          if (seen >= from + 10 * DAY) return
          expect(found?.until).toBeDefined()
          expect(seen - (found?.until ?? 0)).toBeGreaterThanOrEqual(0)
          expect(seen - (found?.until ?? 0)).toBeLessThan(MINUTE)
        },
      ),
      { numRuns: 25 },
    )
  })

  test('closes exactly where the calendar says that it is closed', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.integer({ min: 0, max: 23 }), fc.integer({ min: 1, max: 20 })), { minLength: 1, maxLength: 3 }),
        fc.integer({ min: 0, max: 40 }),
        (windows, excluded) => {
          const read = calendar(
            windows.map(([hour, hours]) => [`0 ${hour} * * MON,WED`, hours]),
            [[iso(NOW.wall + excluded * HOUR) ?? '', iso(NOW.wall + (excluded + 5) * HOUR) ?? '']],
          )
          const found = openingFrom(openings(undefined, read), NOW.wall)
          let seen = NOW.wall
          while (!opening(read, seen).open) seen += HOUR
          expect(iso(found?.at)).toBe(iso(seen))
          while (opening(read, seen).open) seen += HOUR
          expect(iso(found?.until)).toBe(iso(seen))
        },
      ),
      { numRuns: 50 },
    )
  })

  test('with a lead is the first that is long enough', () => {
    const read = calendar([
      ['0 22 * * MON-FRI', 1],
      ['0 22 * * SAT', 6],
    ])
    expect(iso(roomyOpening(openings(undefined, read), NOW.wall, HOUR)?.at)).toBe('2026-03-02T22:00:00.000Z')
    expect(iso(roomyOpening(openings(undefined, read), NOW.wall, 2 * HOUR)?.at)).toBe('2026-03-07T22:00:00.000Z')
    expect(roomyOpening(openings(undefined, read), NOW.wall, 7 * HOUR)).toBeUndefined()
    // Asked again a little later, and when that opening has begun, and when too little of it is left.
    const saturday = at('2026-03-07T22:00:00Z')
    for (const [now, opens] of [
      [NOW.wall, saturday],
      [saturday - 1, saturday],
      [saturday, saturday],
      [saturday + HOUR, saturday + HOUR],
      [saturday + 5 * HOUR, saturday + 7 * DAY],
    ] as const)
      expect(iso(roomyOpening(openings(undefined, read), now, 2 * HOUR)?.at)).toBe(iso(opens))
  })
})

describe('lead', () => {
  test.each([
    ['Auto', undefined],
    [undefined, undefined],
    ['0s', 0],
    ['45m', 45 * MINUTE],
  ])('%s is read', (lead, leadMs) => {
    const view = aPolicy({ lead })
    expect(view.ok && view.policy.spec.leadMs).toBe(leadMs)
  })

  test.each([
    ['auto', /^spec\.lead: must be Auto or a duration/],
    ['-1h', /^spec\.lead: must be Auto or a duration: must not be negative/],
    [30, /^spec\.lead: must be text/],
  ])('%j is refused', (lead, error) => {
    const view = aPolicy({ lead })
    expect(view.ok ? '' : view.error).toMatch(error)
  })

  test.each([
    ['7h', [['0 22 * * SAT', 6]], true],
    ['6h', [['0 22 * * SAT', 6]], false],
    ['7h', [], false],
    // Hour after hour: it never closes.
    ['100h', [['0 * * * *', 1]], false],
    [
      '4h',
      [
        ['0 22 * * *', 2],
        ['0 0 * * *', 2],
      ],
      false,
    ],
    [
      '5h',
      [
        ['0 22 * * *', 2],
        ['0 0 * * *', 2],
      ],
      true,
    ],
    ['Auto', [['0 22 * * SAT', 1]], false],
  ] as [string, [string, number][], boolean][])('of %s with windows %j is a fault: %s', (lead, windows, fault) => {
    const view = aPolicy({ lead, windows: windows.map(([start, hours]) => ({ start, duration: `${hours}h` })) })
    if (!view.ok) throw new Error(view.error)
    expect(faultsOf(view.policy)).toEqual(fault ? ['spec.lead: longer than any of spec.windows stays open'] : [])
    expect(isTooLong(calendar(windows), view.policy.spec.leadMs ?? 0)).toBe(fault)
  })

  /** Monday noon UTC; nothing but gates stands before a claim. */
  function ready(view: KnownPlan, spec: object | undefined, more: Partial<World> = {}, nodes: readonly NodeView[] = [aNode('a')]): World {
    const { pods, dryRuns } = pulledAndTried([view], nodes)
    return aWorld({
      ...more,
      plans: [view],
      policies: spec === undefined ? [] : [aPolicy(spec)],
      nodes,
      pods,
      observed: { dryRuns },
    })
  }

  function plan(spec: Parameters<typeof aPlan>[1] = {}, memory: Partial<RolloutMemory> = {}, governed = true): KnownPlan {
    const view = aPlan('p', { concurrency: 5, ...spec })
    return governed ? remembering(view, memory) : { ...view, memory: { ok: true, memory: { v: 1, adopt: [], ...memory } } }
  }

  const claimed = (world: World) => actions(decide(world), 'writeStatus').flatMap((action) => action.confirm)
  const noonToTwo = { windows: [{ start: '0 12 * * *', duration: '2h' }] }
  const later = (ms: number) => ({ now: { wall: NOW.wall + ms, mono: NOW.mono + ms } })

  test('lets a node be taken while exactly so much is left, and no longer', () => {
    const spec = { ...noonToTwo, lead: '1h' }
    expect(claimed(ready(plan(), spec, later(HOUR)))).toEqual(['a'])
    expect(claimed(ready(plan(), spec, later(HOUR + 1)))).toEqual([])
    const decision = decide(ready(plan(), spec, later(HOUR + 10 * MINUTE)))
    expect(decision.reports.get(PLAN)?.holds).toMatchObject([
      {
        reason: 'WindowTooShort',
        endedBy: 'time',
        message:
          'open until 2026-03-02T14:00:00Z only, and RolloutPolicy default asks for 1h0m0s; the next opening is at 2026-03-03T12:00:00Z',
        retryAt: at('2026-03-03T12:00:00Z'),
      },
    ])
  })

  test('0s takes whatever is left; without windows nothing is asked', () => {
    expect(claimed(ready(plan(), { ...noonToTwo, lead: '0s' }, later(2 * HOUR - 1)))).toEqual(['a'])
    expect(claimed(ready(plan({}, { durations: { hash: 'x', longestSeconds: 99_999 } }), { lead: '99h' }))).toEqual(['a'])
  })

  test("Auto is the longest of the Plan's own durations, and nothing while none is known", () => {
    expect(claimed(ready(plan(), noonToTwo, later(2 * HOUR - 1)))).toEqual(['a'])
    const known = { durations: { hash: hashOf(aPlan('p')), longestSeconds: 1800 } }
    expect(claimed(ready(plan({}, known), noonToTwo, later(90 * MINUTE)))).toEqual(['a'])
    const decision = decide(ready(plan({}, known), noonToTwo, later(91 * MINUTE)))
    expect(decision.reports.get(PLAN)?.holds.map(({ message }) => message)).toEqual([
      'open until 2026-03-02T14:00:00Z only, and a node took 30m0s; the next opening is at 2026-03-03T12:00:00Z',
    ])
  })

  test("Auto holds for the Plan's own window, with or without a policy", () => {
    const window = { days: ['mo', 'we'], startTime: '12:00', endTime: '14:00', timeZone: 'UTC' }
    const known = { durations: { hash: 'x', longestSeconds: 3600 } }
    for (const spec of [undefined, {}])
      expect(planHolds(decide(ready(plan({ window }, known, spec !== undefined), spec, later(61 * MINUTE))), PLAN)).toEqual([
        'WindowTooShort',
      ])
  })

  test('Auto longer than every window: a person is asked under a policy, and without one the Plan goes on as with SUC', () => {
    const known = { durations: { hash: 'x', longestSeconds: 3 * 3600 } }
    const held = decide(ready(plan({}, known), noonToTwo)).reports.get(PLAN)?.holds
    expect(held).toMatchObject([{ reason: 'WindowTooShort', endedBy: 'person' }])
    expect(held?.[0]?.message).toContain('no opening to come is long enough')
    const window = { days: ['mo'], startTime: '12:00', endTime: '14:00', timeZone: 'UTC' }
    expect(claimed(ready(plan({ window }, known, false), undefined))).toEqual(['a'])
  })

  test('a closed window names the first opening that is long enough', () => {
    const spec = {
      lead: '2h',
      windows: [
        { start: '0 22 * * MON', duration: '1h' },
        { start: '0 22 * * SAT', duration: '6h' },
      ],
    }
    expect(decide(ready(plan(), spec)).reports.get(PLAN)?.holds).toMatchObject([
      {
        reason: 'OutsideWindow',
        message:
          'no window of RolloutPolicy default is open; the next opening is at 2026-03-02T22:00:00.000Z; nodes are taken from 2026-03-07T22:00:00.000Z on',
        retryAt: at('2026-03-07T22:00:00Z'),
      },
    ])
  })

  test('keeps no hands off a node that has been taken', () => {
    const view = plan()
    const node = aNode('a', {
      unschedulable: true,
      cordonOwner: 'drover',
      record: aRecord('a', { work: aWork(view), cordon: { at: '2026-03-02T11:00:00Z', plan: PLAN } }),
    })
    const applying = { ...view, plan: { ...view.plan, status: { ...view.plan.status, applying: ['a'] } } }
    const decision = decide(ready(applying, { ...noonToTwo, lead: '1h' }, later(110 * MINUTE), [node]))
    expect(planHolds(decision, PLAN)).toEqual(['WindowTooShort'])
    expect(actions(decision, 'patchNode')).toEqual([])
    expect(actions(decision, 'createJob').length).toBe(1)
  })

  describe('what is learned', () => {
    const proven = (view: KnownPlan, more: Partial<Parameters<typeof aWork>[1]> = {}) =>
      aNode('a', {
        kubeletVersion: NEW,
        record: aRecord('a', {
          work: aWork(view, { claimedAt: '2026-03-02T11:40:30Z', startedAt: '2026-03-02T11:45:00Z', jobUID: 'j', ...more }),
        }),
      })
    const zeroMinReady = { settings: { ...settings, verify: { ...settings.verify, minReadyMs: 0 } } }
    const learned = (view: KnownPlan, spec: object | undefined, node = proven(view)) =>
      actions(decide(ready(view, spec, zeroMinReady, [node])), 'annotatePlan').map(({ memory }) => memory.durations)

    test('is how long the node took, in whole minutes', () => {
      expect(learned(plan(), noonToTwo)).toEqual([{ hash: hashOf(aPlan('p')), longestSeconds: 20 * 60 }])
    })

    test('is written only where it is asked for, and only when it is the longest', () => {
      expect(learned(plan(), {})).toEqual([])
      expect(learned(plan(), { ...noonToTwo, lead: '1h' })).toEqual([])
      expect(learned(plan({}, { durations: { hash: hashOf(aPlan('p')), longestSeconds: 20 * 60 } }), noonToTwo)).toEqual([])
      expect(learned(plan({}, { durations: { hash: 'older', longestSeconds: 20 * 60 } }), noonToTwo).length).toBe(1)
    })

    test('counts no soak, and no work whose beginning nobody saw', () => {
      const soaked = proven(plan(), { provenAt: '2026-03-02T11:50:00Z', delaySeconds: 60 })
      expect(learned(plan(), noonToTwo, soaked)).toEqual([{ hash: hashOf(aPlan('p')), longestSeconds: 10 * 60 }])
      expect(learned(plan(), noonToTwo, proven(plan(), { adopted: true, provenAt: '2026-03-02T11:50:00Z' }))).toEqual([])
    })
  })
})

test.each([
  [['sat'], '22:00', '06:00', true],
  [['sat', 'sun'], '22:00', '06:00', true],
  [['su', 'mo', 'tu', 'we', 'th', 'fr', 'sa'], '22:00', '06:00', false],
  [['sat'], '06:00', '22:00', false],
  [[], '22:00', '06:00', false],
  [['nonsense'], '22:00', '06:00', false],
])('an overnight window on %j from %s to %s is explained: %s', (days, startTime, endTime, told) => {
  const warning = overnightWarning({ days, startTime, endTime, timeZone: 'UTC' })
  expect(warning !== undefined).toBe(told)
  if (told) expect(warning).toContain(`from midnight to ${endTime} and from ${startTime} to midnight`)
})
