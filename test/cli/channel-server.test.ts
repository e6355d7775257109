import { get, request } from 'node:http'
import { describe, expect, test } from '@jest/globals'
import { answerChannel, startChannelServer } from '../../src/cli/channel-server.ts'

const base = 'http://127.0.0.1:1'
const channels = { stable: 'v1.33.5+rke2r1', empty: '' }

describe('answerChannel', () => {
  test('a channel redirects to its release, the plus sign literal', () => {
    const answer = answerChannel({ channels }, base, 'GET', '/v1-release/channels/stable')
    expect(answer.status).toBe(302)
    expect(answer.headers['location']).toBe('https://github.com/rancher/rke2/releases/tag/v1.33.5+rke2r1')
  })

  test('the singular path and a query answer too', () => {
    expect(answerChannel({ channels }, base, 'GET', '/v1-release/channel/stable?x=1').status).toBe(302)
  })

  test.each([
    '/v1-release/channels/none',
    '/v1-release/channels/empty',
    '/v1-release/channels/toString',
    '/',
    '/v1-release/channels/stable/more',
  ])('%s is a JSON 404', (path) => {
    const answer = answerChannel({ channels }, base, 'GET', path)
    expect(answer.status).toBe(404)
    expect(JSON.parse(answer.body)).toMatchObject({ type: 'error', status: 404, code: 'NotFound' })
    expect(answer.headers['location']).toBeUndefined()
  })

  test('HEAD is refused', () => {
    expect(answerChannel({ channels }, base, 'HEAD', '/v1-release/channels/stable').status).toBe(405)
  })

  test('the collection names each channel; one without a release has no latest', () => {
    const answer = answerChannel({ channels }, base, 'GET', '/v1-release/channels')
    const body = JSON.parse(answer.body) as { type: string; data: { id: string; latest?: string; links: { self: string } }[] }
    expect(answer.status).toBe(200)
    expect(body.type).toBe('collection')
    expect(body.data.map(({ id, latest }) => ({ id, latest }))).toEqual([
      { id: 'stable', latest: 'v1.33.5+rke2r1' },
      { id: 'empty', latest: undefined },
    ])
    expect(body.data[0]!.links.self).toBe(`${base}/v1-release/channels/stable`)
  })

  test('prefix and redirect base are options', () => {
    const answer = answerChannel(
      { channels: { default: 'v1.33.5+k3s1' }, prefix: 'v1-k3s-release', redirectBase: '/releases/' },
      base,
      'GET',
      '/v1-k3s-release/channels/default',
    )
    expect(answer.headers['location']).toBe('/releases/v1.33.5+k3s1')
  })
})

test('over HTTP: answers, records who asked, and moves when told', async () => {
  const server = await startChannelServer({ channels })
  try {
    expect(await location(`${server.url}/stable`)).toMatch(/v1\.33\.5\+rke2r1$/)
    server.set('stable', 'v1.33.6+rke2r1')
    expect(await location(`${server.url}/stable`)).toMatch(/v1\.33\.6\+rke2r1$/)
    expect(await head(`${server.url}/stable`)).toBe(405)
    expect(server.requests.map(({ method, clusterID, latestVersion }) => ({ method, clusterID, latestVersion }))).toEqual([
      { method: 'GET', clusterID: 'cluster-uid', latestVersion: 'v1.33.4-rke2r1' },
      { method: 'GET', clusterID: 'cluster-uid', latestVersion: 'v1.33.4-rke2r1' },
      { method: 'HEAD', clusterID: '', latestVersion: '' },
    ])
  } finally {
    await server.close()
  }
})

function location(url: string): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    get(url, { headers: { 'X-SUC-Cluster-ID': 'cluster-uid', 'X-SUC-Latest-Version': 'v1.33.4-rke2r1' } }, (answer) => {
      answer.resume()
      resolve(answer.headers.location)
    }).on('error', reject)
  })
}

function head(url: string): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    request(url, { method: 'HEAD' }, (answer) => {
      answer.resume()
      resolve(answer.statusCode)
    })
      .on('error', reject)
      .end()
  })
}
