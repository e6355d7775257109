import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import http from 'node:http'
import https from 'node:https'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock } from '../../../src/base/clock.ts'
import type { Outside, OutsideResponse } from '../../../src/base/process.ts'
import { createOutside } from '../../../src/kube/client/outside.ts'
import { selfSigned } from './certificate.ts'
import { type VirtualClock, virtualClock } from './clocks.ts'
import { testProcess } from './process.ts'
import { type Handler, listen, serve, type TestServer } from './servers.ts'

const forever = new AbortController().signal
const cleanups: (() => Promise<void> | void)[] = []
let directory: string

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'drover-outside-'))
})
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
  rmSync(directory, { recursive: true })
})

async function server(handler: Handler, secure = false): Promise<TestServer> {
  const made = await serve(handler, { secure })
  cleanups.push(() => made.close())
  return made
}

/** A server that answers every connection with these bytes, HTTP or not. */
async function raw(bytes: string): Promise<string> {
  const tcp = net.createServer((socket) => socket.once('data', () => socket.end(bytes)))
  const { port, close } = await listen(tcp)
  cleanups.push(close)
  return `http://127.0.0.1:${port}/v1-release/channels/stable`
}

const outside = (env: Record<string, string> = {}): Outside => createOutside({ clock: systemClock, log: testProcess().log, env })
const get = (url: string, env: Record<string, string> = {}, headers: Record<string, string> = {}): Promise<OutsideResponse> =>
  outside(env).get(url, headers, 5_000, forever)

describe('answers', () => {
  test.each([
    ['HTTP/1.1 502 Bad Gateway', 502],
    ['HTTP/1.0 404 Not Found', 404],
    ['HTTP/1.1 999 Odd', 999],
    ['HTTP/1.1 302 Moved Temporarily', 302],
    ['HTTP/1.1 200', 200],
  ])('keep the status line %s as it was sent', async (statusLine, status) => {
    const answer = await get(await raw(`${statusLine}\r\nContent-Length: 2\r\n\r\nok`))
    expect([answer.statusLine, answer.status]).toEqual([statusLine, status])
  })

  test('are not followed, and keep the first of repeated headers', async () => {
    const { requests, url } = await server((_request, response) => {
      response.writeHead(302, [
        ['Location', 'https://github.com/rancher/rke2/releases/tag/v1.33.4+rke2r1'],
        ['Location', '/second'],
        ['X-Other', 'y'],
      ] as unknown as http.OutgoingHttpHeader[])
      response.end('<a href>')
    })
    const answer = await get(`${url}/v1-release/channels/stable`, {}, { 'X-SUC-Cluster-ID': 'id', 'X-SUC-Latest-Version': 'v1' })
    expect(answer.headers).toMatchObject({ location: 'https://github.com/rancher/rke2/releases/tag/v1.33.4+rke2r1', 'x-other': 'y' })
    expect(answer.body).toBe('<a href>')
    expect(requests).toHaveLength(1)
    expect(requests[0]?.rawHeaders).toEqual(expect.arrayContaining(['X-SUC-Cluster-ID', 'id', 'X-SUC-Latest-Version', 'v1']))
  })

  test('are cut at 64 KiB, even if they never end', async () => {
    const { url } = await server((_request, response) => {
      const pump = (): void => void (response.write('x'.repeat(10_000)) ? setImmediate(pump) : response.once('drain', pump))
      pump()
    })
    expect((await get(url)).body).toHaveLength(65_536)
  })

  test('carry the credentials of the URL', async () => {
    const { requests, url } = await server((_request, response) => void response.end())
    await get(url.replace('//', '//user:pass@'))
    expect(requests[0]?.headers.authorization).toBe('Basic dXNlcjpwYXNz')
  })
})

describe('a POST', () => {
  const message = { text: 'grün', nested: { list: [1, null] } }
  /** Keeps the bodies it is sent, and answers with that status. */
  async function receiver(status: number, secure = false): Promise<TestServer & { readonly bodies: string[] }> {
    const bodies: string[] = []
    const made = await server((request, response) => {
      let body = ''
      request.setEncoding('utf8').on('data', (chunk: string) => (body += chunk))
      request.on('end', () => {
        bodies.push(body)
        response.writeHead(status, { location: '/elsewhere' }).end('thanks')
      })
    }, secure)
    return { ...made, bodies }
  }

  test('carries its JSON with its length, and is answered like a GET', async () => {
    const { url, requests, bodies } = await receiver(200)
    const answer = await outside().post(`${url}/hook?x=1`, message, 5_000, forever)
    expect(answer).toMatchObject({ status: 200, body: 'thanks' })
    expect(bodies.map((body) => JSON.parse(body) as unknown)).toEqual([message])
    expect(requests[0]).toMatchObject({ method: 'POST', url: '/hook?x=1' })
    expect(requests[0]?.headers).toMatchObject({
      'content-type': 'application/json',
      'content-length': String(Buffer.byteLength(JSON.stringify(message))),
      'user-agent': 'drover',
    })
  })

  test('is not sent where a redirect leads', async () => {
    const { url, requests } = await receiver(307)
    expect(await outside().post(url, message, 5_000, forever)).toMatchObject({ status: 307, headers: { location: '/elsewhere' } })
    expect(requests).toHaveLength(1)
  })

  test('is not sent again when the connection is lost', async () => {
    let tries = 0
    const { url } = await server((request) => {
      tries += 1
      request.socket.resetAndDestroy()
    })
    await expect(outside().post(url, message, 5_000, forever)).rejects.toMatchObject({ code: 'ConnectionLost' })
    expect(tries).toBe(1)
  })

  test('trusts the authorities of the environment', async () => {
    const { url, ca, bodies } = await receiver(200, true)
    await expect(outside().post(url, message, 5_000, forever)).rejects.toMatchObject({ code: 'ConnectionFailed' })
    const path = join(directory, 'ca.pem')
    writeFileSync(path, ca ?? '')
    await outside({ SSL_CERT_FILE: path }).post(url, message, 5_000, forever)
    expect(bodies).toHaveLength(1)
  })
})

describe('no answer', () => {
  test.each([
    ['not HTTP', 'SSH-2.0-OpenSSH_9\r\n', 'BadAnswer'],
    ['nothing', '', 'ConnectionLost'],
    ['half an answer', 'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort', 'ConnectionLost'],
  ])('%s is an error', async (_, bytes, code) => {
    await expect(get(await raw(bytes))).rejects.toMatchObject({ name: 'TransportError', code })
  })

  test('in time is a Timeout, and can be aborted', async () => {
    const { url } = await server(() => {})
    await expect(outside().get(url, {}, 100, forever)).rejects.toMatchObject({ code: 'Timeout' })
    const stop = new AbortController()
    const asking = outside().get(url, {}, 60_000, stop.signal)
    setTimeout(() => stop.abort(), 50)
    await expect(asking).rejects.toMatchObject({ code: 'Aborted' })
  })

  test('a connection that is refused is a failure to connect', async () => {
    const gone = await serve(() => {}, { secure: false })
    await gone.close()
    await expect(get(gone.url)).rejects.toMatchObject({ code: 'ConnectionFailed' })
  })

  test.each(['not a url', 'http://[::1/stable', 'ftp://example.com/x', 'file:///etc/passwd'])('%s is refused', async (url) => {
    await expect(get(url)).rejects.toMatchObject({ code: 'ConnectionFailed' })
  })
})

describe('authorities', () => {
  test('of the environment are believed, others are not', async () => {
    const { url, ca } = await server((_request, response) => void response.end('hello'), true)
    await expect(get(url)).rejects.toMatchObject({ code: 'ConnectionFailed' })
    for (const variable of ['SSL_CERT_FILE', 'NODE_EXTRA_CA_CERTS']) {
      const path = join(directory, variable)
      writeFileSync(path, ca ?? '')
      expect((await get(url, { [variable]: path })).body).toBe('hello')
    }
    expect((await get(url, { SSL_CERT_DIR: directory })).body).toBe('hello')
  })

  test('of a request are believed for it alone', async () => {
    const { url, ca } = await server((_request, response) => void response.end('hello'), true)
    const asker = outside()
    const ask = (given?: string): Promise<OutsideResponse> => asker.get(url, {}, 5_000, forever, given)
    const other = selfSigned().cert
    expect((await ask(ca)).body).toBe('hello')
    await expect(ask()).rejects.toMatchObject({ code: 'ConnectionFailed' })
    await expect(ask(other)).rejects.toMatchObject({ code: 'ConnectionFailed' })
    expect((await ask(`${other}\n${ca}`)).body).toBe('hello')
    await expect(ask('nothing of the kind')).rejects.toMatchObject({ message: expect.stringContaining('no certificates in PEM') })
    await expect(ask(`${ca}-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----`)).rejects.toThrow('no certificates in PEM')
  })

  test('are read again when their file changes', async () => {
    const { url, ca } = await server((_request, response) => void response.end('hello'), true)
    const path = join(directory, 'ca.pem')
    writeFileSync(path, selfSigned().cert)
    const clock: VirtualClock = virtualClock()
    const asker = createOutside({ clock, log: testProcess().log, env: { SSL_CERT_FILE: path } })
    const ask = (): Promise<OutsideResponse> => asker.get(url, {}, 5_000, forever)
    await expect(ask()).rejects.toMatchObject({ code: 'ConnectionFailed' })
    writeFileSync(path, `${ca}\n`)
    await expect(ask()).rejects.toMatchObject({ code: 'ConnectionFailed' })
    await clock.advance(60_000)
    expect((await ask()).body).toBe('hello')
  })
})

describe('proxies', () => {
  interface Proxy {
    readonly url: string
    readonly seen: { method: string; target: string; authorization: string | undefined }[]
  }

  /** A proxy that leads everything to `port` on loopback, so that names need not resolve. */
  async function proxy(port: number, { status = 200, tls }: { status?: number; tls?: { cert: string; key: string } } = {}): Promise<Proxy> {
    const seen: Proxy['seen'] = []
    const note = (request: http.IncomingMessage): void =>
      void seen.push({ method: request.method ?? '', target: request.url ?? '', authorization: request.headers['proxy-authorization'] })
    const plain: http.RequestListener = (request, response) => {
      note(request)
      const target = new URL(request.url ?? '')
      const onward = http.get({ port, host: '127.0.0.1', path: target.pathname, headers: request.headers }, (answer) => {
        response.writeHead(answer.statusCode ?? 500, answer.headers)
        answer.pipe(response)
      })
      onward.on('error', () => response.destroy())
    }
    const made = tls === undefined ? http.createServer(plain) : https.createServer(tls, plain)
    made.on('connect', (request: http.IncomingMessage, socket: net.Socket) => {
      note(request)
      socket.on('error', () => {})
      if (status !== 200) {
        socket.end(`HTTP/1.1 ${status} Forbidden\r\n\r\n`)
        return
      }
      const onward = net.connect(port, '127.0.0.1', () => {
        socket.write('HTTP/1.1 200 Connection established\r\n\r\n')
        onward.pipe(socket).pipe(onward)
      })
      onward.on('error', () => socket.destroy())
    })
    const { port: own, close } = await listen(made)
    cleanups.push(close)
    return { url: `${tls === undefined ? 'http' : 'https'}://us:er@127.0.0.1:${own}`, seen }
  }

  const usEr = `Basic ${Buffer.from('us:er').toString('base64')}`

  test('of http are asked for the whole URL, each side with its own credentials', async () => {
    const { port, requests } = await server((_request, response) => void response.end('hello'))
    const through = await proxy(port)
    expect((await get('http://me:pw@example.test/channels/stable?x=1', { HTTP_PROXY: through.url })).body).toBe('hello')
    expect(through.seen).toEqual([{ method: 'GET', target: 'http://example.test/channels/stable?x=1', authorization: usEr }])
    expect(requests[0]?.headers).toMatchObject({ host: 'example.test', authorization: `Basic ${Buffer.from('me:pw').toString('base64')}` })
  })

  test('of https are asked to CONNECT, and do not see the request', async () => {
    const { port, requests, ca } = await server((_request, response) => void response.end('hello'), true)
    const through = await proxy(port)
    const path = join(directory, 'ca.pem')
    writeFileSync(path, ca ?? '')
    const env = { HTTPS_PROXY: through.url, SSL_CERT_FILE: path }
    expect((await get('https://example.test/channels/stable', env)).body).toBe('hello')
    expect(through.seen).toEqual([{ method: 'CONNECT', target: 'example.test:443', authorization: usEr }])
    expect(requests[0]?.headers['proxy-authorization']).toBeUndefined()
    // The certificate is checked against the name that was asked for, not the proxy's.
    await expect(get('https://other.test/', env)).rejects.toMatchObject({
      code: 'ConnectionFailed',
      message: expect.stringContaining('altnames'),
    })
  })

  test('lead a POST to its target, body and all', async () => {
    let body = ''
    const { port, ca } = await server((request, response) => {
      request.on('data', (chunk: Buffer) => (body += chunk.toString()))
      request.on('end', () => void response.end())
    }, true)
    const through = await proxy(port)
    const path = join(directory, 'ca.pem')
    writeFileSync(path, ca ?? '')
    await outside({ HTTPS_PROXY: through.url, SSL_CERT_FILE: path }).post('https://example.test/hook', { text: 'x' }, 5_000, forever)
    expect(body).toBe('{"text":"x"}')
    expect(through.seen).toMatchObject([{ method: 'CONNECT', target: 'example.test:443' }])
  })

  test('may speak TLS themselves', async () => {
    const own = selfSigned()
    const { port, ca } = await server((_request, response) => void response.end('hello'), true)
    const through = await proxy(port, { tls: own })
    const path = join(directory, 'ca.pem')
    writeFileSync(path, `${ca}${own.cert}`)
    expect((await get('https://example.test/', { HTTPS_PROXY: through.url, SSL_CERT_FILE: path })).body).toBe('hello')
  })

  test('that refuse are named in the error', async () => {
    const through = await proxy(1, { status: 403 })
    await expect(get('https://example.test/', { HTTPS_PROXY: through.url })).rejects.toMatchObject({
      code: 'ConnectionFailed',
      message: expect.stringMatching(/proxy 127\.0\.0\.1:\d+ refused to connect to example\.test:443: 403/),
    })
  })

  test('are passed by for NO_PROXY, and of an unknown kind refused', async () => {
    const { url } = await server((_request, response) => void response.end('hello'))
    expect((await get(url, { HTTP_PROXY: 'http://127.0.0.1:1', NO_PROXY: '127.0.0.1' })).body).toBe('hello')
    await expect(get('http://example.test/', { HTTP_PROXY: 'socks5://127.0.0.1:1' })).rejects.toMatchObject({ code: 'ConnectionFailed' })
  })
})
