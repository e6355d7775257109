import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import type { OutsideResponse } from '../../src/base/process.ts'
import { type ChannelMemory, channelHeaders, checkChannelURL, considerSighting, interpretAnswer } from '../../src/rollout/channel.ts'
import { compareVersionTexts } from '../../src/rollout/version.ts'

const URL_ = 'https://update.rke2.io/v1-release/channels/stable'

function answer(statusLine: string, headers: Record<string, string> = {}, body = ''): OutsideResponse {
  return { status: Number(statusLine.split(' ')[1]), statusLine, headers, body }
}

const redirect = (location: string): OutsideResponse => answer('HTTP/1.1 302 Found', { location })
const strict = (url: string, response: OutsideResponse): string => textOf(interpretAnswer(url, response, 'strict'))
const native = (url: string, response: OutsideResponse): string => textOf(interpretAnswer(url, response, 'native'))

function textOf(result: ReturnType<typeof interpretAnswer>): string {
  return result.ok ? result.version : `error: ${result.error}`
}

describe('channelHeaders', () => {
  test('leaves out what is not known', () => {
    expect(channelHeaders('', '')).toEqual({})
    expect(channelHeaders('uid', 'v1')).toEqual({ 'X-SUC-Cluster-ID': 'uid', 'X-SUC-Latest-Version': 'v1' })
  })
})

describe('checkChannelURL', () => {
  test('says in words of Go what is wrong before anything is sent', () => {
    expect(checkChannelURL(URL_)).toBeUndefined()
    expect(checkChannelURL('http://[::1/x')).toBe(`parse "http://[::1/x": missing ']' in host`)
  })
})

describe('strict', () => {
  test('takes the last element of the raw URL for any other success', () => {
    expect(strict(`${URL_}?a=b`, answer('HTTP/1.1 200 OK'))).toBe('stable?a=b')
    expect(strict(URL_, answer('HTTP/1.1 399 Odd'))).toBe('stable')
  })

  test.each(['HTTP/1.1 101 Switching Protocols', 'HTTP/1.1 199 Odd', 'HTTP/1.1 400 Bad Request', 'HTTP/1.1 600 Odd'])(
    'refuses %s',
    (statusLine) => {
      expect(strict(URL_, answer(statusLine))).toBe(`error: unexpected response: ${statusLine}`)
    },
  )

  test('takes any text for a version', () => {
    expect(strict(URL_, redirect('/login?next=x'))).toBe('login')
  })
})

describe('native', () => {
  test.each([
    ['https://github.com/rancher/rke2/releases/tag/v1.33.4%2Brke2r1', 'v1.33.4-rke2r1'],
    ['v1.33.4+k3s1', 'v1.33.4-k3s1'],
    ['/releases/v1.34.0-rc2+rke2r1/', 'v1.34.0-rc2-rke2r1'],
    ['/releases/1.2.3', '1.2.3'],
    ['/releases/v0.3.13-suc', 'v0.3.13-suc'],
  ])('takes %s', (location, version) => {
    expect(native(URL_, redirect(location))).toBe(version)
  })

  test.each([
    '/login',
    'https://example.com',
    '/releases/v1.33',
    '/releases/latest',
    '/v1.2.3-',
    '/v1.2.3+a b',
    `/v1.2.3-${'x'.repeat(60)}`,
  ])('a redirection to %s names what is wrong', (location) => {
    expect(native(URL_, redirect(location))).toMatch(/^error: the channel redirects to ".*", and ".*" is no version such as/)
  })

  test('an HTML page is never a version, even if its address ends in one', () => {
    const page = answer('HTTP/1.1 200 OK', { 'content-type': 'text/html; charset=utf-8' }, '<html>')
    expect(native('https://github.com/rancher/rke2/releases/tag/v1.33.4+rke2r1', page)).toBe(
      'error: the channel answers HTTP/1.1 200 OK with an HTML page, not with a redirection (302) to a version',
    )
    expect(native('https://x/v1.33.4+rke2r1', answer('HTTP/1.1 200 OK', {}, '\n<!DOCTYPE html>'))).toContain('an HTML page')
  })

  test('a success that is no redirection names a version only if the URL does', () => {
    expect(native('https://x/v1.33.4%2Brke2r1?a=/b', answer('HTTP/1.1 200 OK'))).toBe('v1.33.4-rke2r1')
    expect(native(URL_, answer('HTTP/1.1 200 OK'))).toContain('"stable" in its URL is no version')
  })

  test('other redirections are not followed, and named', () => {
    expect(native(URL_, answer('HTTP/1.1 301 Moved Permanently', { location: 'https://new.example/v1.2.3' }))).toBe(
      'error: the channel redirects by HTTP/1.1 301 Moved Permanently to "https://new.example/v1.2.3"; only 302 names a version',
    )
  })

  test('what it takes is fit to be a label and a tag', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(...'v1.2.30+-_rke2rk3sabc/%'.split('')) }), (text) => {
        const result = interpretAnswer(URL_, redirect(`/x/v1.2.3${text}`), 'native')
        if (result.ok) expect(result.version).toMatch(/^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$/)
      }),
      { numRuns: 2000 },
    )
  })

  test('a password in the URL is not shown', () => {
    expect(native('https://user:secret@x/y', redirect('/%zz'))).toContain('Get "https://user:***@x/y"')
  })
})

const MINUTE = 60_000
const [A, B] = ['v1.33.3-rke2r1', 'v1.33.4-rke2r1']

/** The version in force after each sighting. */
function watch(sightings: readonly (readonly [atMs: number, version: string])[], agreementMs = MINUTE): string[] {
  let memory: ChannelMemory | undefined
  return sightings.map(([at, version]) => {
    memory = considerSighting(memory, version, at, agreementMs)
    return memory.version
  })
}

describe('considerSighting', () => {
  test('the first answer counts at once', () => {
    expect(watch([[0, A]])).toEqual([A])
  })

  test('a change counts when the channel has agreed with itself for the time asked', () => {
    expect(
      watch([
        [0, A],
        [1000, B],
        [MINUTE, B],
        [MINUTE + 1000, B],
      ]),
    ).toEqual([A, A, A, B])
  })

  test('any other answer in between starts the time anew', () => {
    expect(
      watch([
        [0, A],
        [1000, B],
        [2000, A],
        [MINUTE + 2000, B],
        [2 * MINUTE + 2000, B],
      ]),
    ).toEqual([A, A, A, A, B])
  })

  test('never backwards', () => {
    const back = Array.from({ length: 50 }, (_, i) => [i * MINUTE, A] as const)
    expect(new Set(watch([[-1, B], ...back]))).toEqual(new Set([B]))
  })

  test('versions that are plain semver do not go backwards either; texts that cannot be compared may change', () => {
    const then = (from: string, to: string): string | undefined =>
      watch([
        [0, from],
        [1, to],
        [MINUTE + 1, to],
      ]).at(-1)
    expect(then('v1.10.0', 'v1.9.0')).toBe('v1.10.0')
    expect(then('v1.9.0', 'v1.10.0')).toBe('v1.10.0')
    expect(then('v1.33.4-rke2r1', 'v1.33.3-k3s1')).toBe('v1.33.3-k3s1')
    expect(then('stable', 'latest')).toBe('latest')
  })

  test('a clock that goes back does not make the wait endless', () => {
    expect(
      watch([
        [10 * MINUTE, A],
        [10 * MINUTE, B],
        [0, B],
        [MINUTE, B],
      ]),
    ).toEqual([A, A, A, B])
  })

  const VERSIONS = [A, B, 'v1.33.4-rke2r2', 'v1.34.0-rke2r1', 'v1.34.0-rc1-rke2r1']
  const sightings = fc
    .array(fc.tuple(fc.integer({ min: 1, max: 2 * MINUTE }), fc.constantFrom(...VERSIONS)), { minLength: 1, maxLength: 60 })
    .map((steps) => {
      let at = 0
      return steps.map(([gap, version]) => [(at += gap), version] as const)
    })

  test('whatever a channel says: only forward, and only to what it said without a break for the time asked', () => {
    fc.assert(
      fc.property(sightings, (seen) => {
        const inForce = watch(seen)
        for (let i = 1; i < seen.length; i++) {
          const [before, now] = [inForce[i - 1] ?? '', inForce[i] ?? '']
          if (now === before) continue
          expect(compareVersionTexts(now, before)).toBe(1)
          let run = i
          while (run > 0 && seen[run - 1]?.[1] === now) run--
          expect((seen[i]?.[0] ?? 0) - (seen[run]?.[0] ?? 0)).toBeGreaterThanOrEqual(MINUTE)
        }
      }),
    )
  })

  test('a channel that flaps between two versions changes what is in force at most once, to the higher one', () => {
    fc.assert(
      fc.property(sightings, (seen) => {
        const inForce = watch(seen.map(([at, version]) => [at, version === A ? A : B] as const))
        const changes = inForce.filter((version, i) => i > 0 && version !== inForce[i - 1])
        expect(changes.length).toBeLessThanOrEqual(1)
        expect(changes.every((version) => version === B)).toBe(true)
      }),
    )
  })

  test('a channel that settles on the highest version is believed in the end', () => {
    fc.assert(
      fc.property(sightings, (seen) => {
        const last = seen.at(-1)?.[0] ?? 0
        const settled = [1, 2].map((minutes) => [last + minutes * MINUTE, 'v1.35.0-rke2r1'] as const)
        expect(watch([...seen, ...settled]).at(-1)).toBe('v1.35.0-rke2r1')
      }),
    )
  })
})
