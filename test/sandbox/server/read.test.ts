import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import type { Tree } from '../../kube/client/collect.ts'
import { harness, pod } from './harness.ts'

const nodes = '/api/v1/nodes'
const names = (list: Tree): string[] => list.items.map((item: Tree) => item.metadata.name)

async function withNodes(count: number) {
  const h = harness()
  for (let index = 0; index < count; index++)
    await h.ok('POST', nodes, {
      metadata: { name: `n${index}`, labels: { index: String(index), parity: index % 2 === 0 ? 'even' : 'odd' } },
      spec: index === 1 ? { unschedulable: true } : {},
    })
  return h
}

describe('get', () => {
  test('answers the object, or 404 with a Status', async () => {
    const h = await withNodes(1)
    expect(await h.ok('GET', `${nodes}/n0`)).toMatchObject({
      kind: 'Node',
      apiVersion: 'v1',
      metadata: { name: 'n0', labels: { index: '0' } },
    })
    expect(await h.call('GET', `${nodes}/nope`)).toMatchObject({
      status: 404,
      body: {
        kind: 'Status',
        status: 'Failure',
        reason: 'NotFound',
        message: 'nodes "nope" not found',
        details: { name: 'nope', kind: 'nodes' },
        code: 404,
      },
    })
    expect((await h.call('GET', '/apis/batch/v1/namespaces/default/jobs/x')).body).toMatchObject({
      message: 'jobs.batch "x" not found',
      details: { group: 'batch' },
    })
    expect((await h.call('GET', '/apis/nope/v1/things')).status).toBe(404)
    expect((await h.call('GET', `${nodes}/n0/nope`)).status).toBe(404)
  })

  test('answers metadata only when asked to', async () => {
    const h = await withNodes(2)
    const one = await h.ok('GET', `${nodes}/n0`, undefined, { accept: 'application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1' })
    expect(one).toMatchObject({ kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1', metadata: { name: 'n0' } })
    expect(one.spec).toBeUndefined()
    const many = await h.ok('GET', nodes, undefined, { accept: 'application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1' })
    expect(many.kind).toBe('PartialObjectMetadataList')
    expect(many.items.every((item: Tree) => item.kind === 'PartialObjectMetadata' && item.spec === undefined)).toBe(true)
  })

  test('refuses the metadata of one where many are asked for, and of many where one is', async () => {
    const h = await withNodes(1)
    const as = (kind: string) => ({ accept: `application/json;as=${kind};g=meta.k8s.io;v=v1` })
    expect(await h.call('GET', nodes, undefined, as('PartialObjectMetadata'))).toMatchObject({
      status: 406,
      body: { reason: 'NotAcceptable' },
    })
    expect(await h.call('GET', `${nodes}/n0`, undefined, as('PartialObjectMetadataList'))).toMatchObject({ status: 406 })
  })
})

describe('list', () => {
  test('in the order of names, of one namespace or of all', async () => {
    const h = harness()
    await h.ok('POST', '/api/v1/namespaces', { metadata: { name: 'other' } })
    await h.ok('POST', '/api/v1/namespaces/other/pods', pod('a'))
    await h.ok('POST', '/api/v1/namespaces/default/pods', pod('b'))
    await h.ok('POST', '/api/v1/namespaces/default/pods', pod('a'))
    const all = await h.ok('GET', '/api/v1/pods')
    expect(all.items.map((item: Tree) => `${item.metadata.namespace}/${item.metadata.name}`)).toEqual(['default/a', 'default/b', 'other/a'])
    expect(names(await h.ok('GET', '/api/v1/namespaces/other/pods'))).toEqual(['a'])
    expect(all).toMatchObject({ kind: 'PodList', apiVersion: 'v1', metadata: { resourceVersion: String(h.server.resourceVersion) } })
  })

  test.each([
    ['parity=even', ['n0', 'n2']],
    ['parity==odd', ['n1', 'n3']],
    ['parity!=odd', ['n0', 'n2']],
    ['parity in (odd, even),index notin (0,1)', ['n2', 'n3']],
    ['parity,!nope', ['n0', 'n1', 'n2', 'n3']],
    ['nope', []],
    ['nope!=x', ['n0', 'n1', 'n2', 'n3']],
    ['index>1', ['n2', 'n3']],
  ])('labelSelector %s', async (labelSelector, expected) => {
    const h = await withNodes(4)
    expect(names(await h.ok('GET', nodes, undefined, { query: { labelSelector } }))).toEqual(expected)
  })

  test('fieldSelector on what the server indexes, 400 on the rest', async () => {
    const h = await withNodes(3)
    const by = async (fieldSelector: string): Promise<string[]> => names(await h.ok('GET', nodes, undefined, { query: { fieldSelector } }))
    expect(await by('metadata.name=n2')).toEqual(['n2'])
    expect(await by('metadata.name!=n2')).toEqual(['n0', 'n1'])
    expect(await by('spec.unschedulable=true')).toEqual(['n1'])
    expect(await by('spec.unschedulable=false')).toEqual(['n0', 'n2'])
    expect(await h.call('GET', nodes, undefined, { query: { fieldSelector: 'spec.nope=1' } })).toMatchObject({
      status: 400,
      body: { message: 'field label not supported: spec.nope' },
    })
    expect((await h.call('GET', nodes, undefined, { query: { labelSelector: 'a=b=c' } })).status).toBe(400)
  })

  test('pages show one moment, whatever is written between them', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 4 }),
        fc.array(fc.tuple(fc.constantFrom('create', 'delete', 'change'), fc.integer({ min: 0, max: 9 })), { maxLength: 12 }),
        async (limit, edits) => {
          const h = await withNodes(7)
          const first = await h.ok('GET', nodes)
          const pages: Tree[] = []
          let more: string | undefined
          const pending = [...edits]
          do {
            const page: Tree = await h.ok('GET', nodes, undefined, {
              query: { limit: String(limit), ...(more === undefined ? {} : { continue: more }) },
            })
            pages.push(...page.items)
            expect(page.items.length).toBeLessThanOrEqual(limit)
            expect(page.metadata.resourceVersion).toBe(first.metadata.resourceVersion)
            if (page.metadata.continue !== undefined) expect(page.metadata.remainingItemCount).toBe(7 - pages.length)
            more = page.metadata.continue
            for (const [what, index] of pending.splice(0, 4)) {
              const path = `${nodes}/n${index}`
              if (what === 'create') await h.call('POST', nodes, { metadata: { name: `n${index}` } })
              else if (what === 'delete') await h.call('DELETE', path)
              else await h.merge(path, { metadata: { labels: { changed: 'yes' } } })
            }
          } while (more !== undefined)
          expect(pages).toEqual(first.items)
        },
      ),
      { numRuns: 60 },
    )
  })

  test('of an exact revision, of one that is not reached yet, of one that is forgotten', async () => {
    const h = await withNodes(2)
    const { metadata } = await h.ok('GET', nodes)
    await h.ok('DELETE', `${nodes}/n0`)
    const exact = { resourceVersion: metadata.resourceVersion, resourceVersionMatch: 'Exact' }
    expect(names(await h.ok('GET', nodes, undefined, { query: exact }))).toEqual(['n0', 'n1'])
    expect(names(await h.ok('GET', nodes, undefined, { query: { resourceVersion: metadata.resourceVersion } }))).toEqual(['n1'])
    expect(names(await h.ok('GET', nodes, undefined, { query: { resourceVersion: '0' } }))).toEqual(['n1'])
    expect((await h.call('GET', nodes, undefined, { query: { resourceVersion: '999999' } })).status).toBe(504)
    expect((await h.call('GET', nodes, undefined, { query: { resourceVersion: 'x' } })).status).toBe(400)
    h.server.compact()
    expect((await h.call('GET', nodes, undefined, { query: exact })).status).toBe(410)
  })

  test('a page after compaction answers 410 Expired; a token that is not ours 400', async () => {
    const h = await withNodes(3)
    const page = await h.ok('GET', nodes, undefined, { query: { limit: '1' } })
    await h.ok('POST', nodes, { metadata: { name: 'new' } })
    h.server.compact()
    expect(await h.call('GET', nodes, undefined, { query: { limit: '1', continue: page.metadata.continue } })).toMatchObject({
      status: 410,
      body: { reason: 'Expired' },
    })
    expect((await h.call('GET', nodes, undefined, { query: { continue: 'nonsense' } })).status).toBe(400)
  })

  test('as a table, as kubectl asks', async () => {
    const h = await withNodes(2)
    const table = await h.ok('GET', nodes, undefined, { accept: 'application/json;as=Table;v=v1;g=meta.k8s.io,application/json' })
    expect(table.columnDefinitions.map((column: Tree) => column.name).slice(0, 5)).toEqual(['Name', 'Status', 'Roles', 'Age', 'Version'])
    expect(table.rows[1].cells.slice(0, 2)).toEqual(['n1', 'Unknown,SchedulingDisabled'])
    expect(table.rows[1].object).toMatchObject({ kind: 'PartialObjectMetadata', metadata: { name: 'n1' } })
  })
})

test('requests are counted by user, verb and resource', async () => {
  const h = await withNodes(2)
  await h.ok('GET', nodes)
  await h.ok('GET', `${nodes}/n0`)
  await h.server.as('other').send({ method: 'GET', path: nodes }, new AbortController().signal)
  const { requests } = h.server
  expect(requests.total({ verb: 'create', resource: 'nodes' })).toBe(2)
  expect(requests.total({ user: 'tester' })).toBe(4)
  expect(requests.total({ user: 'other', verb: 'list' })).toBe(1)
  expect(h.server.history).toHaveLength(2)
})

test('who may not, is told so', async () => {
  const h = harness({ allow: (user, asked) => user !== 'tester' || asked.verb === 'get' })
  expect(await h.call('GET', nodes)).toMatchObject({
    status: 403,
    body: {
      reason: 'Forbidden',
      message: 'nodes is forbidden: User "tester" cannot list resource "nodes" in API group "" at the cluster scope',
    },
  })
  expect((await h.call('GET', `${nodes}/x`)).status).toBe(404)
  expect((await h.call('POST', nodes, { metadata: { name: 'x' } })).status).toBe(403)
  const watch = await h.transport.watch({ method: 'GET', path: nodes, query: { watch: 'true' } }, new AbortController().signal)
  expect(watch.status).toBe(403)
  const ask = async (verb: string): Promise<boolean> => {
    const body = { spec: { resourceAttributes: { verb, resource: 'nodes' } } }
    return (await h.ok('POST', '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews', body)).status.allowed
  }
  expect([await ask('get'), await ask('list')]).toEqual([true, false])
})
