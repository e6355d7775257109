import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import http from 'node:http'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Clock, systemClock } from '../../../src/base/clock.ts'
import { type ConfigOptions, connect, type Connection } from '../../../src/kube/client/config.ts'
import { inClusterAccess, watchedCa } from '../../../src/kube/client/in-cluster.ts'
import { virtualClock } from './clocks.ts'
import { testProcess } from './process.ts'
import { json, listen, serve, type TestServer } from './servers.ts'

const forever = new AbortController().signal
let directory: string
let server: TestServer
const opened: Connection[] = []

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'drover-config-'))
  server = await serve((_request, response) => json(response, 200, { ok: true }))
})
afterEach(async () => {
  for (const { transport } of opened.splice(0)) transport.close()
  await server.close()
  rmSync(directory, { recursive: true })
})

const file = (name: string, text: string): string => {
  const path = join(directory, name)
  writeFileSync(path, text)
  return path
}

async function open(options: Partial<ConfigOptions>): Promise<Connection> {
  const connection = await connect({ clock: systemClock, log: testProcess().log, env: { HOME: directory }, ...options })
  opened.push(connection)
  return connection
}

/** Connects, sends one request, and returns its headers as the server saw them. */
async function headersWith(options: Partial<ConfigOptions>): Promise<Readonly<Record<string, unknown>>> {
  const { transport } = await open(options)
  await transport.send({ method: 'GET', path: '/api' }, forever)
  return server.requests.at(-1)?.headers ?? {}
}

function kubeconfig(name: string, user: object, cluster: object = {}, extra: object = {}): string {
  return file(
    name,
    JSON.stringify({
      apiVersion: 'v1',
      kind: 'Config',
      'current-context': 'here',
      contexts: [{ name: 'here', context: { cluster: 'c', user: 'u', namespace: 'upgrades' } }],
      clusters: [
        {
          name: 'c',
          cluster: { server: server.url, 'certificate-authority-data': Buffer.from(server.ca ?? '').toString('base64'), ...cluster },
        },
      ],
      users: [{ name: 'u', user }],
      ...extra,
    }),
  )
}

describe('in a cluster', () => {
  const env = (): Record<string, string> => ({ KUBERNETES_SERVICE_HOST: '127.0.0.1', KUBERNETES_SERVICE_PORT: String(server.port) })

  test('takes token, authority and namespace from the service account', async () => {
    file('token', 'sa-token\n')
    file('ca.crt', server.ca ?? '')
    file('namespace', 'system-upgrade\n')
    const options = { env: env(), serviceAccount: directory }
    expect((await headersWith(options))['authorization']).toBe('Bearer sa-token')
    expect((await open(options)).namespace).toBe('system-upgrade')
  })

  test('a missing token or authority is an error that heals', async () => {
    const { transport } = await open({ env: env(), serviceAccount: directory })
    const send = () => transport.send({ method: 'GET', path: '/api' }, forever)
    await expect(send()).rejects.toMatchObject({ code: 'ConnectionFailed', message: expect.stringContaining('No bearer token') })
    file('token', 'late')
    await expect(send()).rejects.toMatchObject({ code: 'ConnectionFailed' })
    file('ca.crt', server.ca ?? '')
    await expect(send()).resolves.toMatchObject({ status: 200 })
  })

  test('brackets IPv6, and is not in a cluster without the environment', () => {
    const access = inClusterAccess({ KUBERNETES_SERVICE_HOST: 'fd00::1', KUBERNETES_SERVICE_PORT: '443' }, virtualClock(), directory)
    expect(access?.server).toBe('https://[fd00::1]:443')
    expect(inClusterAccess({}, virtualClock(), directory)).toBeUndefined()
  })

  test('reads the authority again when its file changes, and keeps it when the file goes', () => {
    const path = file('ca.crt', 'one')
    const ca = watchedCa(path)
    const first = ca()
    expect(first).toEqual({ ca: 'one' })
    expect(ca()).toBe(first)
    writeFileSync(path, 'two')
    utimesSync(path, 1, 1)
    expect(ca()).toEqual({ ca: 'two' })
    rmSync(path)
    expect(ca()).toEqual({ ca: 'two' })
  })
})

describe('by kubeconfig', () => {
  test('with a literal token, and the namespace of the context', async () => {
    const kubeConfig = kubeconfig('config', { token: 'literal' })
    expect((await headersWith({ kubeConfig }))['authorization']).toBe('Bearer literal')
    expect((await open({ kubeConfig })).namespace).toBe('upgrades')
  })

  test('with a tokenFile beside the kubeconfig, read again when refused', async () => {
    file('token', 'first')
    expect((await headersWith({ kubeConfig: kubeconfig('config', { tokenFile: 'token' }) }))['authorization']).toBe('Bearer first')
  })

  test('with basic authentication and impersonation', async () => {
    const headers = await headersWith({
      kubeConfig: kubeconfig('config', { username: 'jane', password: 'pä', as: 'admin', 'as-uid': '7' }),
    })
    expect(headers).toMatchObject({
      authorization: `Basic ${Buffer.from('jane:pä').toString('base64')}`,
      'impersonate-user': 'admin',
      'impersonate-uid': '7',
    })
  })

  test('with an authority file beside it, or none at all', async () => {
    file('ca.pem', server.ca ?? '')
    const byFile = kubeconfig('by-file', { token: 't' }, { 'certificate-authority-data': undefined, 'certificate-authority': 'ca.pem' })
    expect((await headersWith({ kubeConfig: byFile }))['authorization']).toBe('Bearer t')
    const insecure = kubeconfig('insecure', { token: 'i' }, { 'certificate-authority-data': undefined, 'insecure-skip-tls-verify': true })
    expect((await headersWith({ kubeConfig: insecure }))['authorization']).toBe('Bearer i')
  })

  test('of a plain http server, as kubectl proxy is, also with a plugin', async () => {
    const plain = await serve((_request, response) => json(response, 200, {}), { secure: false })
    const { transport } = await open({
      kubeConfig: kubeconfig('config', {}, { server: plain.url, 'certificate-authority-data': undefined }),
    })
    await expect(transport.send({ method: 'GET', path: '/api' }, forever)).resolves.toMatchObject({ status: 200 })
    const exec = { apiVersion: 'client.authentication.k8s.io/v1', command: plugin('plain-plugin') }
    const other = await open({
      kubeConfig: kubeconfig('with-plugin', { exec }, { server: plain.url, 'certificate-authority-data': undefined }),
    })
    await other.transport.send({ method: 'GET', path: '/api' }, forever)
    expect(plain.requests.at(-1)?.headers.authorization).toBe('Bearer plugin-1')
    await plain.close()
  })

  test('through the proxy of its proxy-url, which is not asked about plain http', async () => {
    const targets: string[] = []
    const proxy = http.createServer()
    proxy.on('connect', (request: http.IncomingMessage, socket: net.Socket) => {
      targets.push(request.url ?? '')
      const onward = net.connect(server.port, '127.0.0.1', () => {
        socket.write('HTTP/1.1 200 OK\r\n\r\n')
        onward.pipe(socket).pipe(onward)
      })
      for (const end of [onward, socket]) end.on('error', () => socket.destroy())
    })
    const { port, close } = await listen(proxy)
    const cluster = { server: 'https://example.test:6443', 'proxy-url': `http://127.0.0.1:${port}` }
    const { transport } = await open({ kubeConfig: kubeconfig('config', { token: 't' }, cluster) })
    for (let i = 0; i < 3; i += 1)
      await expect(transport.send({ method: 'GET', path: '/api' }, forever)).resolves.toMatchObject({ status: 200 })
    expect(targets).toEqual(['example.test:6443'])
    await expect(open({ kubeConfig: kubeconfig('plain', {}, { ...cluster, server: 'http://example.test' }) })).rejects.toMatchObject({
      code: 'Kubeconfig',
    })
    await close()
  })

  /** A credential plugin that counts how often it is run. */
  function plugin(name: string): string {
    const count = join(directory, `${name}.count`)
    const path = file(
      name,
      `#!/bin/sh\necho run >> ${count}\nn=$(wc -l < ${count} | tr -d ' ')\n` +
        `echo '{"kind":"ExecCredential","status":{"token":"plugin-'$n'","expirationTimestamp":"2099-01-01T00:00:00Z"}}'\n`,
    )
    chmodSync(path, 0o755)
    return path
  }

  test('a credential plugin runs once for many calls, and again when its token is refused', async () => {
    await server.close()
    server = await serve((request, response) => json(response, request.headers.authorization === 'Bearer plugin-2' ? 200 : 401, {}))
    const command = plugin('plugin')
    const { transport } = await open({
      kubeConfig: kubeconfig('config', { exec: { apiVersion: 'client.authentication.k8s.io/v1', command } }),
    })
    const answers = await Promise.all([1, 2, 3, 4, 5].map(() => transport.send({ method: 'GET', path: '/api' }, forever)))
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200])
    expect(existsSync(`${command}.count`)).toBe(true)
    expect(readFileSync(`${command}.count`, 'utf8')).toBe('run\nrun\n')
  })

  test('a credential plugin that fails without a word, or never ends, is told by the first request', async () => {
    const script = (name: string, text: string): string => {
      chmodSync(file(name, `#!/bin/sh\n${text}\n`), 0o755)
      return kubeconfig(`with-${name}`, { exec: { apiVersion: 'client.authentication.k8s.io/v1', command: `./${name}` } })
    }
    const ask = async (kubeConfig: string, clock: Clock) => {
      const { transport } = await open({ kubeConfig, clock })
      return transport.send({ method: 'GET', path: '/api' }, forever)
    }
    const from = 'No bearer token from the kubeconfig credential plugin: '
    await expect(ask(script('silent', 'exit 3'), systemClock)).rejects.toMatchObject({ message: `${from}it failed without a word` })
    await expect(ask(script('wordy', 'echo who are you >&2; exit 3'), systemClock)).rejects.toMatchObject({
      message: `${from}who are you\n`,
    })
    // A minute is over at once.
    const sleep: Clock['sleep'] = (ms, signal) => systemClock.sleep(ms === 60_000 ? 50 : ms, signal)
    await expect(ask(script('endless', 'exec sleep 0.6'), { ...systemClock, sleep })).rejects.toMatchObject({
      message: `${from}no answer within 60 s`,
    })
    // They end by themselves, after this test's patience.
    await systemClock.sleep(700, forever)
  })

  test('of several files the first to say something wins', async () => {
    const first = kubeconfig('first', { token: 'first' })
    const second = kubeconfig('second', { token: 'second' }, {}, { 'current-context': 'other' })
    expect((await headersWith({ env: { KUBECONFIG: `${first}:${second}:${join(directory, 'absent')}` } }))['authorization']).toBe(
      'Bearer first',
    )
  })

  test('of several files each may say a part, and paths stand beside the file that names them', async () => {
    mkdirSync(join(directory, 'other'))
    file('other/ca.pem', server.ca ?? '')
    const context = file(
      'context',
      'current-context: here\ncontexts: [{name: here, context: {cluster: c, user: u}}]\nusers: [{name: x}, {name: u, user: {token: t}}]\n',
    )
    const cluster = file('other/cluster', `clusters: [{name: c, cluster: {server: '${server.url}/', certificate-authority: ca.pem}}]\n`)
    const empty = file('empty', '')
    expect((await headersWith({ env: { KUBECONFIG: [empty, context, cluster].join(':') } }))['authorization']).toBe('Bearer t')
  })

  test('with a context that names no user, or one without a word, requests are anonymous', async () => {
    const contexts = [{ name: 'here', context: { cluster: 'c' } }]
    expect(await headersWith({ kubeConfig: kubeconfig('no-user', { token: 't' }, {}, { contexts }) })).not.toHaveProperty('authorization')
    const users = [{ name: 'u', user: null }]
    expect(await headersWith({ kubeConfig: kubeconfig('null-user', {}, {}, { users }) })).not.toHaveProperty('authorization')
  })

  test('a plugin beside the kubeconfig is found, whatever the working directory', async () => {
    plugin('beside')
    const exec = { apiVersion: 'client.authentication.k8s.io/v1', command: './beside' }
    expect((await headersWith({ kubeConfig: kubeconfig('config', { exec }) }))['authorization']).toBe('Bearer plugin-1')
  })

  const here = { 'current-context': 'here', contexts: [{ name: 'here', context: { cluster: 'c', user: 'u' } }] }
  const c = { name: 'c', cluster: { server: 'https://example.test' } }
  test.each<[string, unknown, RegExp]>([
    ['not YAML', '{{', /config: /],
    ['a list', [], /config: is no kubeconfig/],
    ['with no current context', { clusters: [c] }, /current-context: is not set/],
    ['with a current context that is nowhere', { 'current-context': 'x' }, /current-context "x" is not among the contexts/],
    ['with a context without a cluster', { ...here, contexts: [{ name: 'here', context: {} }] }, /context "here" names no cluster/],
    ['without the cluster', here, /context "here": there is no cluster "c"/],
    ['without the user', { ...here, clusters: [c] }, /context "here": there is no user "u"/],
    [
      'with a server that is no URL',
      { ...here, clusters: [{ ...c, cluster: { server: 'example.test:6443' } }] },
      /clusters\[0\]\.cluster\.server: must be the URL/,
    ],
    ['without names', { ...here, clusters: [{ cluster: {} }] }, /clusters\[0\]\.name: /],
    [
      'with a number for a password',
      { ...here, clusters: [c], users: [{ name: 'u', user: { username: 'a', password: 7 } }] },
      /users\[0\]\.user\.password: must be text; a number needs quotes/,
    ],
    [
      'with a plugin without a command',
      { ...here, clusters: [c], users: [{ name: 'u', user: { exec: {} } }] },
      /users\[0\]\.user\.exec\.command: must be a program/,
    ],
    [
      'with a certificate that is not there',
      { ...here, clusters: [c], users: [{ name: 'u', user: { 'client-certificate': 'gone.pem' } }] },
      /client-certificate: .*ENOENT.*\/gone\.pem/,
    ],
  ])('%s is refused with file and field', async (_, content, message) => {
    const kubeConfig = file('config', typeof content === 'string' ? content : JSON.stringify(content))
    await expect(open({ kubeConfig })).rejects.toMatchObject({ code: 'Kubeconfig', message: expect.stringMatching(message) })
  })

  test('nothing at all is an error that says what to set', async () => {
    await expect(open({})).rejects.toMatchObject({ code: 'Kubeconfig', message: expect.stringContaining('Set KUBECONFIG or --kubeconfig') })
  })
})

describe('by URL', () => {
  test('alone needs no credentials; with a kubeconfig it changes the server only', async () => {
    const plain = await serve((_request, response) => json(response, 200, {}), { secure: false })
    const alone = await open({ masterURL: plain.url })
    await expect(alone.transport.send({ method: 'GET', path: '/api' }, forever)).resolves.toMatchObject({ status: 200 })
    const both = await open({ masterURL: plain.url, kubeConfig: kubeconfig('config', { token: 't' }) })
    await both.transport.send({ method: 'GET', path: '/api' }, forever)
    expect(plain.requests.at(-1)?.headers.authorization).toBe('Bearer t')
    await plain.close()
  })
})
