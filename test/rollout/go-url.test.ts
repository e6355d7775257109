import { describe, expect, test } from '@jest/globals'
import { lastElement, parseGoURL, resolvedPath, withoutPassword } from '../../src/rollout/go-url.ts'

/** Last element of the path to which `reference` leads from `base`. All expectations were printed by Go 1.26. */
function leadsTo(reference: string, base = 'http://h/v1/ch/stable'): string {
  const [from, to] = [parseGoURL(base), parseGoURL(reference)]
  if (!from.ok) return from.error
  return to.ok ? lastElement(resolvedPath(from.url, to.url)) : to.error
}

describe('a Location leads to', () => {
  test.each([
    ['', 'stable'],
    ['?x=1', 'stable'],
    ['#f', 'stable'],
    ['v1', 'v1'],
    ['.', 'ch'],
    ['..', 'v1'],
    ['../..', '/'],
    ['../../../..', '/'],
    ['v1/', 'v1'],
    ['/', '/'],
    ['///', '/'],
    ['//', 'stable'],
    ['/a%2Fb', 'b'],
    ['/a%2fb/%2e%2e', '..'],
    ['/a/b/..', 'a'],
    ['/ü', 'ü'],
    ['/a b', 'a b'],
    ['/%41?x/y#z', 'A'],
    ['https://example.com', '.'],
    ['https://example.com/', '/'],
    ['//other/v2', 'v2'],
    ['mailto:v1.2.3', '.'],
    ['http:v1', '.'],
    ['http:///v1', 'v1'],
    ['https://u:p@[::1]:80/v1', 'v1'],
    ['./a:b', 'a:b'],
  ])('%j: %s', (reference, expected) => {
    expect(leadsTo(reference)).toBe(expected)
  })

  test('from a URL without a path', () => {
    expect(leadsTo('v1', 'http://h')).toBe('v1')
    expect(leadsTo('', 'http://h')).toBe('.')
  })
})

describe('what Go refuses', () => {
  test.each([
    ['a:b/c d:', undefined],
    [':x', 'missing protocol scheme'],
    ['1a:b', 'first path segment in URL cannot contain colon'],
    ['/%zz', 'invalid URL escape "%zz"'],
    ['/%4', 'invalid URL escape "%4"'],
    ['/a\u007fb', 'net/url: invalid control character in URL'],
    ['http://[::1', "missing ']' in host"],
    ['http://a[::1]', 'invalid IP-literal'],
    ['http://h:80a/', 'invalid port ":80a" after host'],
    ['http://a b/', 'invalid character " " in host name'],
    ['http://a%2Bb/', 'invalid URL escape "%2B"'],
    ['http://u ser@h/', 'net/url: invalid userinfo'],
  ])('%j: %s', (text, cause) => {
    const parsed = parseGoURL(text)
    expect(parsed.ok ? undefined : parsed.error.replace(/^parse "[^"]*": /, '')).toBe(cause)
  })

  test('a bad fragment is told with the whole text, everything else without the fragment', () => {
    expect(parseGoURL('http://h/a#%zz')).toEqual({ ok: false, error: 'parse "http://h/a#%zz": invalid URL escape "%zz"' })
    expect(parseGoURL('http://h/%zz#a')).toEqual({ ok: false, error: 'parse "http://h/%zz": invalid URL escape "%zz"' })
  })
})

describe('withoutPassword', () => {
  test.each([
    ['https://user:secret@h/p?q', 'https://user:***@h/p?q'],
    ['https://user:s@cr:t@h/p', 'https://user:***@h/p'],
    ['https://user@h/a:b@c', 'https://user@h/a:b@c'],
    ['https://h:443/p@q', 'https://h:443/p@q'],
    ['https://h/?u=a:b@c', 'https://h/?u=a:b@c'],
  ])('%s', (url, shown) => {
    expect(withoutPassword(url)).toBe(shown)
  })
})
