import http from 'node:http'
import https from 'node:https'
import net from 'node:net'
import tls from 'node:tls'

/** Environment variables by name. */
export type Env = Readonly<Record<string, string | undefined>>

const CONNECT_TIMEOUT_MS = 10_000

/**
 * The proxy for a URL by HTTPS_PROXY, HTTP_PROXY and NO_PROXY (or lower case), by the rules of Go's `net/http`, which SUC follows:
 * loopback is never proxied; NO_PROXY holds `*`, names (with their subdomains), `.names` (subdomains only), addresses and CIDRs, with an
 * optional port. Throws a TypeError if the proxy's URL cannot be read.
 */
export function proxyFor(url: URL, env: Env): URL | undefined {
  const value = url.protocol === 'https:' ? either(env, 'HTTPS_PROXY') : either(env, 'HTTP_PROXY')
  const host = bare(url.hostname)
  if (value === '' || isLoopback(host)) return undefined
  const port = url.port === '' ? (url.protocol === 'https:' ? '443' : '80') : url.port
  if (
    either(env, 'NO_PROXY')
      .split(',')
      .some((entry) => exempts(entry.trim().toLowerCase(), host, port))
  )
    return undefined
  return new URL(/^[a-z][a-z0-9+.-]*:\/\//i.test(value) ? value : `http://${value}`)
}

const either = (env: Env, name: string): string => (env[name] ?? env[name.toLowerCase()] ?? '').trim()
const bare = (hostname: string): string => hostname.toLowerCase().replace(/^\[|\]$/g, '')
const isLoopback = (host: string): boolean => host === 'localhost' || host === '::1' || (net.isIPv4(host) && host.startsWith('127.'))

function exempts(entry: string, host: string, port: string): boolean {
  if (entry === '') return false
  if (entry === '*') return true
  if (entry.includes('/')) return inRange(entry, host)
  if (net.isIP(bare(entry)) !== 0) return bare(entry) === host
  const [, name = entry, onlyPort] = /^(.*?):(\d+)$/.exec(entry) ?? []
  if (onlyPort !== undefined && onlyPort !== port) return false
  const plain = bare(name).replace(/^\*(?=\.)/, '')
  return plain.startsWith('.') ? host.endsWith(plain) : host === plain || host.endsWith(`.${plain}`)
}

function inRange(cidr: string, host: string): boolean {
  const [address = '', bits = ''] = cidr.split('/')
  const family = net.isIP(host)
  if (family === 0 || net.isIP(address) !== family || !/^\d{1,3}$/.test(bits)) return false
  const type = family === 6 ? 'ipv6' : 'ipv4'
  const list = new net.BlockList()
  try {
    list.addSubnet(address, Number(bits), type)
  } catch {
    return false
  }
  return list.check(host, type)
}

/** The user and password in a URL as a header of that name. */
export function basicAuthorization(header: string, url: URL): Readonly<Record<string, string>> {
  if (url.username === '') return {}
  const credentials = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`
  return { [header]: `Basic ${Buffer.from(credentials).toString('base64')}` }
}

/** An agent for https that reaches its servers through the proxy by CONNECT. `trust` is for the servers and, if it speaks TLS, the proxy. */
export function createTunnelAgent(proxy: URL, options: https.AgentOptions): https.Agent {
  const agent = new https.Agent(options)
  const connect = (target: TunnelTarget, callback: (error: Error | null, socket?: net.Socket) => void): void => {
    const authority = `${target.host.includes(':') ? `[${target.host}]` : target.host}:${target.port}`
    const secure = proxy.protocol === 'https:'
    const request = (secure ? https : http).request({
      ...(secure ? { ...options, agent: false } : {}),
      host: bare(proxy.hostname),
      port: proxy.port === '' ? (secure ? 443 : 80) : Number(proxy.port),
      method: 'CONNECT',
      path: authority,
      headers: { host: authority, ...basicAuthorization('proxy-authorization', proxy) },
      timeout: CONNECT_TIMEOUT_MS,
    })
    request.once('connect', (response, socket) => {
      if (response.statusCode !== 200) {
        socket.destroy()
        callback(
          new Error(
            `The proxy ${proxy.host} refused to connect to ${authority}: ${response.statusCode ?? 0} ${response.statusMessage ?? ''}`,
          ),
        )
        return
      }
      // The tunnel is the request's business now, with its own deadline.
      socket.setTimeout(0)
      const servername = target.servername ?? (net.isIP(target.host) === 0 ? target.host : '')
      callback(null, tls.connect({ ...options, socket, host: target.host, servername }))
    })
    request.once('timeout', () => request.destroy(new Error(`The proxy ${proxy.host} did not answer`)))
    request.once('error', (error) => callback(error))
    request.end()
  }
  // Not in the type declarations, but how Node's agent makes each of its connections.
  Object.assign(agent, { createConnection: connect })
  return agent
}

interface TunnelTarget {
  readonly host: string
  readonly port: number | string
  readonly servername?: string
}
