import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { collect, type Tree } from '../../kube/client/collect.ts'
import { harness, pod, settled } from './harness.ts'

const nodes = '/api/v1/nodes'
const pods = '/api/v1/namespaces/default/pods'

describe('watch', () => {
  test('without a resourceVersion: what is there, then what happens', async () => {
    const h = harness()
    await h.ok('POST', nodes, { metadata: { name: 'a' } })
    const watch = await collect(h.transport, nodes)
    await h.ok('POST', nodes, { metadata: { name: 'b' } })
    await h.merge(`${nodes}/a`, { metadata: { labels: { x: 'y' } } })
    await h.ok('DELETE', `${nodes}/a`)
    await settled()
    expect(watch.said()).toEqual(['ADDED a', 'ADDED b', 'MODIFIED a', 'DELETED a'])
    const versions = watch.events.map((event) => Number(event.object.metadata.resourceVersion))
    expect(versions).toEqual([...versions].sort((a, b) => a - b))
    expect(new Set(versions).size).toBe(4)
    watch.stop()
  })

  test('from a resourceVersion: exactly what came after it', async () => {
    const h = harness()
    await h.ok('POST', nodes, { metadata: { name: 'a' } })
    const { metadata } = await h.ok('GET', nodes)
    await h.merge(`${nodes}/a`, { metadata: { labels: { x: 'y' } } })
    const watch = await collect(h.transport, nodes, { resourceVersion: metadata.resourceVersion })
    await h.ok('DELETE', `${nodes}/a`)
    await settled()
    expect(watch.said()).toEqual(['MODIFIED a', 'DELETED a'])
    watch.stop()
  })

  test('a list and a watch from it, begun at any moment, always end with the present', async () => {
    const edit = fc.tuple(fc.constantFrom('create', 'delete', 'label', 'unlabel'), fc.integer({ min: 0, max: 4 }))
    await fc.assert(
      fc.asyncProperty(
        fc.array(edit, { maxLength: 30 }),
        fc.nat(30),
        fc.nat(30),
        fc.constantFrom('', 'in=yes'),
        async (edits, listAt, watchAt, labelSelector) => {
          const h = harness()
          const query = labelSelector === '' ? {} : { labelSelector }
          const known = new Map<string, string>()
          let version = ''
          let watch: Awaited<ReturnType<typeof collect>> | undefined
          for (let step = 0; step <= 30; step++) {
            if (step === Math.min(listAt, watchAt)) {
              const list = await h.ok('GET', nodes, undefined, { query })
              for (const item of list.items) known.set(item.metadata.name, item.metadata.resourceVersion)
              version = list.metadata.resourceVersion
            }
            if (step === Math.max(listAt, watchAt)) watch = await collect(h.transport, nodes, { ...query, resourceVersion: version })
            const [what, index] = edits[step] ?? ['none', 0]
            const path = `${nodes}/n${index}`
            if (what === 'create') await h.call('POST', nodes, { metadata: { name: `n${index}`, labels: { in: 'yes' } } })
            if (what === 'delete') await h.call('DELETE', path)
            if (what === 'label' || what === 'unlabel')
              await h.merge(path, { metadata: { labels: { in: what === 'label' ? 'yes' : 'no', step: String(step) } } })
          }
          await settled()
          for (const { type, object } of watch?.events ?? []) {
            // ADDED only of what is new to the watcher, MODIFIED and DELETED only of what it knows.
            expect([type, known.has(object.metadata.name)]).toEqual([type, type !== 'ADDED'])
            if (type === 'DELETED') known.delete(object.metadata.name)
            else known.set(object.metadata.name, object.metadata.resourceVersion)
          }
          const now = await h.ok('GET', nodes, undefined, { query })
          expect(Object.fromEntries(known)).toEqual(
            Object.fromEntries(now.items.map((item: Tree) => [item.metadata.name, item.metadata.resourceVersion])),
          )
          watch?.stop()
        },
      ),
      { numRuns: 150 },
    )
  })

  test('entering a selection is ADDED, leaving it DELETED with the last matching state', async () => {
    const h = harness()
    await h.ok('POST', pods, pod('p'))
    const mine = await collect(h.transport, '/api/v1/pods', { fieldSelector: 'spec.nodeName=n1' })
    const labelled = await collect(h.transport, '/api/v1/pods', { labelSelector: 'x=y' })
    await h.ok('POST', `${pods}/p/binding`, { target: { kind: 'Node', name: 'n1' } })
    await h.merge(`${pods}/p`, { metadata: { labels: { x: 'y' } } })
    await h.merge(`${pods}/p`, { metadata: { labels: { x: 'z' } } })
    await settled()
    expect(mine.said()).toEqual(['ADDED p', 'MODIFIED p', 'MODIFIED p'])
    expect(labelled.said()).toEqual(['ADDED p', 'DELETED p'])
    expect(labelled.events[1].object.metadata).toMatchObject({ labels: { x: 'y' }, resourceVersion: String(h.server.resourceVersion) })
    mine.stop()
    labelled.stop()
  })

  test('from before the compaction: a stream that says 410 Expired and ends, as of a real watch cache', async () => {
    const h = harness()
    await h.ok('POST', nodes, { metadata: { name: 'a' } })
    const { metadata } = await h.ok('GET', nodes)
    await h.ok('POST', nodes, { metadata: { name: 'b' } })
    h.server.compact()
    const watch = await collect(h.transport, nodes, { resourceVersion: metadata.resourceVersion })
    await watch.done
    expect([watch.status, watch.end]).toEqual([200, 'closed'])
    expect(watch.events).toEqual([{ type: 'ERROR', object: expect.objectContaining({ kind: 'Status', reason: 'Expired', code: 410 }) }])
  })

  test('the window forgets by itself', async () => {
    const h = harness({ watchWindow: 5 })
    const { metadata } = await h.ok('GET', nodes)
    for (let index = 0; index < 20; index++) await h.ok('POST', nodes, { metadata: { name: `n${index}` } })
    const old = await collect(h.transport, nodes, { resourceVersion: metadata.resourceVersion })
    await old.done
    expect(old.events.map((event) => event.object.code)).toEqual([410])
    const recent = await collect(h.transport, nodes, { resourceVersion: String(h.server.resourceVersion - 3) })
    await settled()
    expect(recent.said()).toEqual(['ADDED n17', 'ADDED n18', 'ADDED n19'])
    recent.stop()
  })

  test('bookmarks once a minute to who asked, with the revision reached', async () => {
    const h = harness()
    const asked = await collect(h.transport, nodes, { allowWatchBookmarks: 'true' })
    const plain = await collect(h.transport, nodes)
    await h.ok('POST', pods, pod('p'))
    await h.clock.run({ limitMs: 130_000 })
    expect(asked.events.map((event) => [event.type, event.object.kind, event.object.metadata.resourceVersion])).toEqual([
      ['BOOKMARK', 'Node', String(h.server.resourceVersion)],
      ['BOOKMARK', 'Node', String(h.server.resourceVersion)],
    ])
    expect(plain.events).toEqual([])
    asked.stop()
    plain.stop()
  })

  test('sendInitialEvents ends the initial state with an annotated bookmark', async () => {
    const h = harness()
    await h.ok('POST', nodes, { metadata: { name: 'a' } })
    const query = { sendInitialEvents: 'true', allowWatchBookmarks: 'true' }
    const watch = await collect(h.transport, nodes, { ...query, resourceVersionMatch: 'NotOlderThan' })
    await settled()
    expect(watch.said()).toEqual(['ADDED a', 'BOOKMARK'])
    expect(watch.events[1].object.metadata.annotations).toEqual({ 'k8s.io/initial-events-end': 'true' })
    expect((await collect(h.transport, nodes, query)).status).toBe(422)
    watch.stop()
  })

  test('ends after timeoutSeconds, in order', async () => {
    const h = harness()
    const watch = await collect(h.transport, nodes, { timeoutSeconds: '5' })
    await h.clock.run({ limitMs: 4900 })
    expect(watch.end).toBe('open')
    await h.clock.run({ limitMs: 200 })
    expect(watch.end).toBe('closed')
  })

  test('of one object by its name, of metadata only, as tables', async () => {
    const h = harness()
    for (const name of ['a', 'b']) await h.ok('POST', nodes, { metadata: { name } })
    const one = await collect(h.transport, nodes, { fieldSelector: 'metadata.name=b' })
    const partial = await collect(h.transport, nodes, {}, 'application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io')
    const table = await collect(h.transport, nodes, {}, 'application/json;as=Table;v=v1;g=meta.k8s.io')
    await settled()
    expect(one.said()).toEqual(['ADDED b'])
    expect(partial.events.map((event) => [event.object.kind, event.object.spec])).toEqual([
      ['PartialObjectMetadata', undefined],
      ['PartialObjectMetadata', undefined],
    ])
    expect(table.events.map((event) => event.object.rows[0].cells[0])).toEqual(['a', 'b'])
    for (const each of [one, partial, table]) each.stop()
  })

  test('of metadata as a list has no events to give: it ends in order where the first would stand', async () => {
    const h = harness()
    const accept = 'application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io'
    const quiet = await collect(h.transport, nodes, {}, accept)
    await settled()
    expect([quiet.end, quiet.said()]).toEqual(['open', []])
    await h.ok('POST', nodes, { metadata: { name: 'a' } })
    await settled()
    expect([quiet.end, quiet.said()]).toEqual(['closed', []])
    const late = await collect(h.transport, nodes, {}, accept)
    await settled()
    expect([late.end, late.said()]).toEqual(['closed', []])
  })

  test('leaving ends it on the server, too', async () => {
    const h = harness()
    const watch = await collect(h.transport, nodes)
    watch.stop()
    await settled()
    expect(watch.end).toBeInstanceOf(Error)
    expect(h.clock.pending).toBe(0)
  })
})
