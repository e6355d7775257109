/** The image cannot be built here; what its build does to a release can be tried. */
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from '@jest/globals'

const dockerfile = readFileSync('payload/Dockerfile', 'utf8')
const script = /RUN <<'END'\n([\s\S]*?)\nEND\n/.exec(dockerfile)?.[1] ?? ''
const sum = (text: string) => createHash('sha256').update(text).digest('hex')

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'drover-dockerfile-'))
  for (const name of ['bin', 'releases', 'payload']) mkdirSync(join(folder, name))
  // Downloads come from a folder; the last argument is the address, the one before it the file.
  writeFileSync(
    join(folder, 'bin/curl'),
    `#!/bin/sh\nfor last; do :; done\nwhile [ "$1" != -o ]; do shift; done\necho "$last" >> ${folder}/asked\nexec cp "${folder}/releases/$(basename "$last")" "$2"\n`,
  )
  chmodSync(join(folder, 'bin/curl'), 0o755)
})
afterEach(() => rmSync(folder, { recursive: true }))

function build(env: Readonly<Record<string, string>>): string[] {
  const text = script.replaceAll('/tmp/sums', join(folder, 'sums'))
  execFileSync('sh', ['-c', text], {
    cwd: join(folder, 'payload'),
    env: { PATH: `${join(folder, 'bin')}:${process.env['PATH']}`, RELEASES: 'https://mirror', WITH_IMAGES: '', ...env },
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  return readdirSync(join(folder, 'payload'), { recursive: true, encoding: 'utf8' }).toSorted()
}

const release = (files: Readonly<Record<string, string>>, sums: string) => {
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, 'releases', name), text)
  writeFileSync(join(folder, 'releases/sha256sum-amd64.txt'), sums)
}

test('there is a script', () => {
  expect(script.length).toBeGreaterThan(500)
})

test('RKE2: the program under its plain name, with its sum', () => {
  release({ 'rke2.linux-amd64': 'program' }, `${sum('x')}  rke2.linux-arm64\n${sum('program')}  rke2.linux-amd64\n`)

  expect(build({ DISTRIBUTION: 'rke2', VERSION: 'v1.33.5+rke2r1', TARGETARCH: 'amd64' })).toEqual(['SHA256SUMS', 'rke2'])
  expect(readFileSync(join(folder, 'payload/SHA256SUMS'), 'utf8')).toBe(`${sum('program')}  rke2\n`)
  expect(readFileSync(join(folder, 'asked'), 'utf8')).toContain(
    'https://mirror/rancher/rke2/releases/download/v1.33.5%2Brke2r1/rke2.linux-amd64\n',
  )
})

test('K3s with its images', () => {
  release(
    { k3s: 'program', 'k3s-airgap-images-amd64.tar.zst': 'images' },
    `${sum('program')}  k3s\n${sum('images')}  k3s-airgap-images-amd64.tar.zst\n`,
  )

  expect(build({ DISTRIBUTION: 'k3s', VERSION: 'v1.33.5+k3s1', TARGETARCH: 'amd64', WITH_IMAGES: 'yes' })).toEqual([
    'SHA256SUMS',
    'images',
    'images/k3s-airgap-images-amd64.tar.zst',
    'k3s',
  ])
  expect(readFileSync(join(folder, 'payload/SHA256SUMS'), 'utf8')).toBe(
    `${sum('images')}  images/k3s-airgap-images-amd64.tar.zst\n${sum('program')}  k3s\n`,
  )
})

test('a program that is not what the release says, or of which it says nothing, builds no image', () => {
  release({ k3s: 'another' }, `${sum('program')}  k3s\n`)
  expect(() => build({ DISTRIBUTION: 'k3s', VERSION: 'v1', TARGETARCH: 'amd64' })).toThrow()
  release({ k3s: 'program' }, `${sum('program')}  k3s-arm64\n`)
  expect(() => build({ DISTRIBUTION: 'k3s', VERSION: 'v1', TARGETARCH: 'amd64' })).toThrow(/the release has no sum of k3s/)
  expect(() => build({ DISTRIBUTION: 'k0s', VERSION: 'v1', TARGETARCH: 'amd64' })).toThrow(/has to be rke2 or k3s/)
})
