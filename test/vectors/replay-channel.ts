import { type Server, type Socket, createServer } from 'node:net'
import { systemClock } from '../../src/base/clock.ts'
import { messageOf } from '../../src/base/errors.ts'
import type { Json, JsonObject } from '../../src/base/json.ts'
import { silentLog } from '../../src/base/log.ts'
import { createOutside } from '../../src/kube/client/outside.ts'
import { type ChannelAnswer, channelHeaders, checkChannelURL, interpretAnswer } from '../../src/rollout/channel.ts'
import { type Case, listAt, objectAt, textAt } from './case.ts'

const TIMEOUT_MS = 5000
/** Of a request's headers these are the contract; the others are the HTTP client's own. */
const COMPARED = /^(?:host|authorization|x-suc-[a-z-]+): /i

/** Asks a real server on loopback that sends the case's bytes, with the HTTP client that the controller uses. */
export async function replayChannel({ input, expect }: Case): Promise<Json> {
  const requests: string[][] = []
  const server = await serve(answerBytes(objectAt(input['answer'], 'answer')), requests)
  try {
    const host = `127.0.0.1:${portOf(server)}`
    const url = textAt(input['url']).replaceAll('$BASE', `http://${host}`).replaceAll('$HOSTPORT', host).replaceAll('$HOST', host)
    const answer = await ask(url, textAt(input['clusterID']), textAt(input['latestVersion']))
    const symbolic = (text: string): string => text.replaceAll(`http://${host}`, '$BASE').replaceAll(host, '$HOST')
    return {
      ...(answer.ok
        ? { resolved: symbolic(answer.resolved), version: symbolic(answer.version) }
        : { error: allowed(symbolic(answer.error), expect) }),
      requests: sameHeaders(
        requests.map(([requestLine = '', ...headerLines]) => ({ requestLine, headerLines: headerLines.map(symbolic) })),
        expect,
      ),
    }
  } finally {
    await close(server)
  }
}

async function ask(url: string, clusterID: string, latestVersion: string): Promise<ChannelAnswer> {
  const unusable = checkChannelURL(url)
  if (unusable !== undefined) return { ok: false, error: unusable }
  const outside = createOutside({ clock: systemClock, log: silentLog, env: {} })
  try {
    const answer = await outside.get(url, channelHeaders(clusterID, latestVersion), TIMEOUT_MS, new AbortController().signal)
    return interpretAnswer(url, answer, 'strict')
  } catch (error) {
    return { ok: false, error: messageOf(error) }
  }
}

/** Where the transport itself fails, the text is Go's and only failing matters; then it is replaced by the expected one. */
function allowed(error: string, expect: JsonObject): string {
  const wanted = textAt(expect['error'])
  const isTransport = /^(?:Get|parse) "/.test(wanted)
  return isTransport && !error.startsWith('unexpected response') ? wanted : error
}

interface SeenRequest {
  readonly requestLine: string
  readonly headerLines: readonly string[]
}

/** The requests in the words of `expect` where they say the same: header names in any case, any order, and the client's own left out. */
function sameHeaders(seen: readonly SeenRequest[], expect: JsonObject): Json {
  return seen.map(({ requestLine, headerLines }, i) => {
    const wanted = listAt(objectAt(listAt(expect['requests'])[i] ?? {}, 'request')['headerLines']).map(textAt)
    const same = normal(headerLines).join('\n') === normal(wanted).join('\n')
    return { requestLine, headerLines: same ? wanted : headerLines }
  })
}

function normal(lines: readonly string[]): string[] {
  return lines
    .filter((line) => COMPARED.test(line))
    .map((line) => line.replace(/^[^:]*/, (name) => name.toLowerCase()))
    .toSorted()
}

function answerBytes(answer: JsonObject): string {
  const body = textAt(answer['body'])
  const lines = [
    textAt(answer['statusLine']),
    ...listAt(answer['headers']).map(textAt),
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Connection: close',
  ]
  return `${lines.join('\r\n')}\r\n\r\n${body}`
}

async function serve(answer: string, requests: string[][]): Promise<Server> {
  const server = createServer((socket: Socket) => {
    let received = ''
    socket.on('error', () => {})
    socket.on('data', (bytes) => {
      received += bytes.toString('latin1')
      const end = received.indexOf('\r\n\r\n')
      if (end < 0) return
      requests.push(received.slice(0, end).split('\r\n'))
      received = ''
      socket.end(answer)
    })
  })
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve))
  return server
}

function portOf(server: Server): number {
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('the server has no port')
  return address.port
}

async function close(server: Server): Promise<void> {
  await new Promise<void>((resolve) => server.close(() => resolve()))
}
