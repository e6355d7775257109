import { isZoneName } from './zone-names.ts'

/** A time zone by IANA name. */
export interface Zone {
  readonly name: string
  readonly format: Intl.DateTimeFormat
}

/** A calendar day. `month` counts from 1; `weekday` 0 is Sunday. */
export interface LocalDay {
  readonly year: number
  readonly month: number
  readonly day: number
  readonly weekday: number
}

const DAY_MS = 86_400_000

/** Finds a zone as Go's `time.LoadLocation` does, with its error texts; empty is UTC. `Local` is UTC too, as in SUC's image. */
export function loadZone(name: string): { ok: true; zone: Zone } | { ok: false; error: string } {
  if (name.includes('..') || name.startsWith('/') || name.startsWith('\\')) return { ok: false, error: 'time: invalid location name' }
  const known = name === '' || name === 'Local' ? 'UTC' : name
  if (!isZoneName(known)) return { ok: false, error: `unknown time zone ${name}` }
  try {
    return { ok: true, zone: { name: known, format: zoneFormat(known) } }
  } catch {
    // A name that this platform's time-zone data does not have yet.
    return { ok: false, error: `unknown time zone ${name}` }
  }
}

/** How far local time is ahead of UTC at that instant, in milliseconds. */
export function offsetAt(zone: Zone, atMs: number): number {
  if (zone.name === 'UTC') return 0
  const second = Math.floor(atMs / 1000) * 1000
  return localAsUTC(zone, second) - second
}

export function localDay(zone: Zone, atMs: number): LocalDay {
  return dayOf(atMs + offsetAt(zone, atMs))
}

/** The calendar day `days` after this one. */
export function plusDays(day: LocalDay, days: number): LocalDay {
  return dayOf(Date.UTC(day.year, day.month - 1, day.day) + days * DAY_MS)
}

/**
 * The instant at which clocks show `secondOfDay` on that day. Where clocks show it twice or never, the instant that Go's `time.Date` gives: the
 * offset in force at that reading taken as UTC, or, if that leads into another period, the offset in force there.
 */
export function instantOf(zone: Zone, day: LocalDay, secondOfDay: number): number {
  const reading = Date.UTC(day.year, day.month - 1, day.day) + secondOfDay * 1000
  const guess = offsetAt(zone, reading)
  return guess === 0 ? reading : reading - offsetAt(zone, reading - guess)
}

/** The instants at which that day may begin: two where clocks change at midnight. */
export function dayStarts(zone: Zone, day: LocalDay): readonly number[] {
  const reading = Date.UTC(day.year, day.month - 1, day.day)
  const before = reading - offsetAt(zone, reading - DAY_MS)
  const after = reading - offsetAt(zone, reading + DAY_MS)
  return before === after ? [before] : [before, after]
}

function dayOf(readingMs: number): LocalDay {
  const reading = new Date(readingMs)
  return { year: reading.getUTCFullYear(), month: reading.getUTCMonth() + 1, day: reading.getUTCDate(), weekday: reading.getUTCDay() }
}

function zoneFormat(timeZone: string): Intl.DateTimeFormat {
  return new Intl.DateTimeFormat('en-US', {
    timeZone,
    calendar: 'iso8601',
    hourCycle: 'h23',
    year: 'numeric',
    month: 'numeric',
    day: 'numeric',
    hour: 'numeric',
    minute: 'numeric',
    second: 'numeric',
  })
}

function localAsUTC(zone: Zone, atMs: number): number {
  const field: Partial<Record<Intl.DateTimeFormatPartTypes, number>> = {}
  for (const part of zone.format.formatToParts(atMs)) field[part.type] = Number(part.value)
  const { year = 0, month = 1, day = 1, hour = 0, minute = 0, second = 0 } = field
  return Date.UTC(year, month - 1, day, hour, minute, second)
}
