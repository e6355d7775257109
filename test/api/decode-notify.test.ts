import { describe, expect, test } from '@jest/globals'
import { decodePolicy } from '../../src/api/decode-policy.ts'
import { NOTIFY_EVENTS } from '../../src/api/notify.ts'

const url = 'https://hooks.example.com/x'
const secretRef = { name: 'slack', key: 'url' }
const ALL = Object.keys(NOTIFY_EVENTS)

function read(notify: unknown) {
  const view = decodePolicy({ metadata: { name: 'told', namespace: 'system-upgrade' }, spec: { planNames: ['p'], notify } } as never)
  return view?.ok === true ? view.policy.spec.notify : view?.error
}

describe('notify is read', () => {
  test.each([[undefined], [null], [[]]])('%j: nobody is told', (notify) => {
    expect(read(notify)).toEqual([])
  })

  test('a URL or a Secret; without events, or with none, of everything', () => {
    const webhooks = [{ url }, { url: 'http://in-cluster.example:8080/', events: [] }, { secretRef, events: null }]
    expect(read(webhooks)).toEqual([
      { to: { kind: 'url', url }, events: ALL },
      { to: { kind: 'url', url: 'http://in-cluster.example:8080/' }, events: ALL },
      { to: { kind: 'secret', ...secretRef }, events: ALL },
    ])
  })

  test('events in their own order, each once', () => {
    expect(read([{ url, events: ['RolloutComplete', 'NodeFailed', 'NodeFailed'] }])).toEqual([
      { to: { kind: 'url', url }, events: ['NodeFailed', 'RolloutComplete'] },
    ])
  })
})

describe('notify is refused', () => {
  test.each([
    ['neither a URL nor a Secret', [{}], 'spec.notify[0]: needs either a url or a secretRef'],
    ['both', [{ url }, { url, secretRef }], 'spec.notify[1]: needs either a url or a secretRef'],
    ['a URL of another kind', [{ url: 'ftp://example.com' }], 'spec.notify[0].url: must be an http or https URL'],
    ['no URL at all', [{ url: 'hooks.example.com/x' }], 'spec.notify[0].url: must be an http or https URL'],
    ['an empty URL', [{ url: '' }], 'spec.notify[0].url: must be an http or https URL'],
    ['a Secret without a key', [{ secretRef: { name: 'slack' } }], 'spec.notify[0].secretRef.key'],
    ['a Secret without a name', [{ secretRef: { name: '', key: 'url' } }], 'spec.notify[0].secretRef.name: must name a Secret'],
    ['a Secret of another namespace', [{ secretRef: { ...secretRef, namespace: 'kube-system' } }], 'spec.notify[0].secretRef'],
    ['an event that is not known', [{ url, events: ['NodeDone'] }], 'spec.notify[0].events[0]'],
    ['a field that is not known', [{ url, chanel: '#ops' }], 'chanel'],
    ['no list', { url }, 'spec.notify'],
    ['more than ten', Array(11).fill({ url }), 'spec.notify: at most 10 webhooks'],
  ])('%s, with the name of the field', (_, notify, error) => {
    expect(read(notify)).toContain(error)
  })

  test('and the fault does not quote a URL', () => {
    for (const notify of [[{ url, secretRef }], [{ url, events: ['x'] }], [{ url: 'ftp://hooks.example.com/x' }]])
      expect(read(notify)).not.toContain('hooks.example.com')
  })
})
