import { describe, expect, test } from '@jest/globals'
import { basicAuthorization, proxyFor } from '../../../src/kube/client/proxy.ts'

const chosen = (url: string, env: Record<string, string>): string | undefined => proxyFor(new URL(url), env)?.href

describe('proxyFor', () => {
  const env = { HTTPS_PROXY: 'http://secure:3128', HTTP_PROXY: 'plain:3128' }

  test('goes by the scheme, and reads a proxy without one as http', () => {
    expect(chosen('https://update.rke2.io/x', env)).toBe('http://secure:3128/')
    expect(chosen('http://update.rke2.io/x', env)).toBe('http://plain:3128/')
    expect(chosen('https://update.rke2.io/x', { HTTP_PROXY: 'plain:3128' })).toBeUndefined()
    expect(chosen('https://update.rke2.io/x', { https_proxy: 'https://lower:1' })).toBe('https://lower:1/')
  })

  test.each(['https://localhost/x', 'https://127.0.0.1:8443/x', 'http://127.8.9.1/', 'https://[::1]:443/'])(
    'never proxies loopback: %s',
    (url) => {
      expect(chosen(url, env)).toBeUndefined()
    },
  )

  test.each([
    ['*', 'https://a.example', true],
    ['example.com', 'https://example.com', true],
    ['example.com', 'https://a.EXAMPLE.com', true],
    ['example.com', 'https://badexample.com', false],
    ['.example.com', 'https://a.example.com', true],
    ['.example.com', 'https://example.com', false],
    ['*.example.com', 'https://a.example.com', true],
    ['example.com:8443', 'https://example.com:8443', true],
    ['example.com:8443', 'https://example.com', false],
    ['example.com:443', 'https://example.com', true],
    ['example.com:80', 'http://example.com', true],
    ['10.0.0.0/8', 'https://10.1.2.3', true],
    ['10.0.0.0/8', 'https://11.1.2.3', false],
    ['10.0.0.0/99', 'https://10.1.2.3', false],
    ['192.168.1.5', 'https://192.168.1.5:6443', true],
    ['fd00::/8', 'https://[fd12::1]/', true],
    ['[fd12::1]', 'https://[fd12::1]/', true],
    ['127.0.0.0/8,10.0.0.0/8, .svc,.cluster.local', 'https://rancher.cattle-system.svc', true],
    ['', 'https://example.com', false],
  ])('NO_PROXY %s for %s: %s', (noProxy, url, direct) => {
    expect(chosen(url, { ...env, NO_PROXY: noProxy }) === undefined).toBe(direct)
  })
})

test('credentials of a URL become a header', () => {
  expect(basicAuthorization('proxy-authorization', new URL('http://us%20er:p%3Aw@proxy'))).toEqual({
    'proxy-authorization': `Basic ${Buffer.from('us er:p:w').toString('base64')}`,
  })
  expect(basicAuthorization('authorization', new URL('http://proxy'))).toEqual({})
})
