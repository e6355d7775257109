import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { rootCertificates } from 'node:tls'
import { loadTrust, stampOf } from '../../../src/kube/client/trust.ts'
import { selfSigned } from './certificate.ts'

let directory: string
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'drover-trust-'))
})
afterEach(() => rmSync(directory, { recursive: true }))

const file = (name: string, text: string): string => {
  const path = join(directory, name)
  writeFileSync(path, text)
  return path
}
const extra = (certificates: readonly string[]): string[] => certificates.filter((pem) => !rootCertificates.includes(pem))

describe('loadTrust', () => {
  test("adds to Node's roots what the three variables name", async () => {
    const [a, b, c, d] = [selfSigned(), selfSigned(), selfSigned(), selfSigned()].map(({ cert }) => cert.trim())
    mkdirSync(join(directory, 'dir'))
    const trust = await loadTrust(
      {
        SSL_CERT_FILE: file('file.pem', `# two\n${a}\n${b}\n`),
        SSL_CERT_DIR: `${join(directory, 'dir')}:`,
        NODE_EXTRA_CA_CERTS: file('extra.pem', d ?? ''),
        x: file('dir/c.pem', c ?? ''),
      },
      [],
    )
    expect(new Set(extra(trust.certificates))).toEqual(new Set([a, b, c, d]))
    expect(trust.certificates.length).toBe(rootCertificates.length + 4)
    expect(trust.problems).toEqual([])
  })

  test("takes the first of the system's bundles that is there, unless SSL_CERT_FILE is set", async () => {
    const [system, named] = [selfSigned().cert.trim(), selfSigned().cert.trim()]
    const bundles = [join(directory, 'absent'), file('system.pem', system), file('later.pem', selfSigned().cert)]
    expect(extra((await loadTrust({}, bundles)).certificates)).toEqual([system])
    expect(extra((await loadTrust({ SSL_CERT_FILE: file('named.pem', named) }, bundles)).certificates)).toEqual([named])
  })

  test('says what it could not read, and goes on with the rest', async () => {
    const good = selfSigned().cert.trim()
    const bad = '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----'
    const mixed = file('mixed.pem', `${bad}\n${good}`)
    const absent = join(directory, 'absent')
    const trust = await loadTrust({ SSL_CERT_FILE: mixed, SSL_CERT_DIR: absent, NODE_EXTRA_CA_CERTS: absent }, [])
    expect(extra(trust.certificates)).toEqual([good])
    expect(trust.problems).toEqual([`${mixed}: not a certificate`, absent, absent])
  })
})

test('a stamp changes when a file does', async () => {
  const path = file('a', 'one')
  const before = await stampOf([path])
  expect(await stampOf([path])).toBe(before)
  writeFileSync(path, 'three')
  const after = await stampOf([path])
  expect(after).not.toBe(before)
  rmSync(path)
  expect(await stampOf([path])).not.toBe(after)
})
