import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { familiarImage, imageBasename, parseImage, withDefaultTag } from '../../../src/kube/objects/image.ts'

const SHA = `sha256:${'ab'.repeat(32)}`

describe('parts', () => {
  test.each([
    ['alpine', { domain: 'docker.io', path: 'library/alpine' }],
    ['rancher/rke2-upgrade:v1', { domain: 'docker.io', path: 'rancher/rke2-upgrade', tag: 'v1' }],
    ['index.docker.io/x', { domain: 'docker.io', path: 'library/x' }],
    ['localhost/x', { domain: 'localhost', path: 'x' }],
    ['reg.example:5000/a/b:t', { domain: 'reg.example:5000', path: 'a/b', tag: 't' }],
    ['[::1]:5000/a', { domain: '[::1]:5000', path: 'a' }],
    [`a@${SHA}`, { domain: 'docker.io', path: 'library/a', digest: SHA }],
    [`a:t@${SHA}`, { domain: 'docker.io', path: 'library/a', tag: 't', digest: SHA }],
    ['Registry/x', { domain: 'Registry', path: 'x' }],
  ])('%s', (text, parts) => expect(parseImage(text)).toEqual(parts))

  test.each([
    '',
    'Rancher/RKE2-upgrade',
    'rancher/',
    'a//b',
    '/a',
    'a:',
    'a:-t',
    'a@sha256:ab',
    `a@sha1:${'ab'.repeat(20)}`,
    'ab'.repeat(32),
    'a b',
  ])('%j is no reference', (text) => expect(parseImage(text)).toBeUndefined())

  test('the familiar form reads back to the same parts', () => {
    const part = fc.stringMatching(/^[a-z0-9]{1,4}([_-][a-z0-9]{1,3})?$/)
    const host = fc.constantFrom('', 'docker.io/', 'docker.io/library/', 'reg.example:5000/', 'localhost/')
    const image = fc
      .tuple(host, fc.array(part, { minLength: 1, maxLength: 3 }), fc.constantFrom('', ':v1', `@${SHA}`))
      .map(([domain, path, end]) => `${domain}${path.join('/')}${end}`)
    fc.assert(
      fc.property(image, (text) => {
        const reference = parseImage(text)
        if (reference === undefined) throw new Error(text)
        expect(parseImage(familiarImage(reference))).toEqual(reference)
      }),
    )
  })
})

test.each([
  ['rancher/rke2-upgrade', 'v1-rke2r1', 'rancher/rke2-upgrade:v1-rke2r1'],
  ['docker.io/rancher/x', 'v1', 'rancher/x:v1'],
  ['docker.io/library/x', 'v1', 'x:v1'],
  ['docker.io/rancher/x:latest', 'v1', 'docker.io/rancher/x:latest'],
  [`x@${SHA}`, 'v1', `x@${SHA}`],
  ['rancher/x', 'v1+rke2r1', 'rancher/x'],
  ['rancher/x', '-v1', 'rancher/x'],
  ['rancher/x', '', 'rancher/x'],
  ['Rancher/X', 'v1', 'Rancher/X'],
])('%s with tag %j by default is %s', (image, tag, expected) => expect(withDefaultTag(image, tag)).toBe(expected))

test.each([
  ['rancher/rke2-upgrade', 'rke2-upgrade'],
  ['reg.example:5000/mirror/rancher/k3s-upgrade:v1', 'k3s-upgrade'],
  [`a/b:t@${SHA}`, 'b'],
  ['reg.example:5000/', ''],
  ['', ''],
])('the basename of %s is %j', (image, name) => expect(imageBasename(image)).toBe(name))

test('nothing throws', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), fc.string(), (image, tag) => {
      const tagged = withDefaultTag(image, tag)
      expect(tagged === image || tagged.endsWith(`:${tag}`)).toBe(true)
      expect(imageBasename(image)).not.toMatch(/[/@:]/)
    }),
  )
})
