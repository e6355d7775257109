import { execFileSync } from 'node:child_process'
import { appendFileSync, cpSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from '@jest/globals'
import { type Manifest, manifestsOf, parseManifests } from '../manifests/objects.ts'

const byName = (objects: readonly Manifest[]) =>
  new Map(
    objects.map((object) => [`${object.apiVersion} ${object.kind} ${object.metadata.namespace ?? ''}/${object.metadata.name}`, object]),
  )

test('kustomize builds exactly the objects of the files, and the CRDs', () => {
  const built = parseManifests(execFileSync('kubectl', ['kustomize', 'manifests'], { encoding: 'utf8' }), 'kubectl kustomize')

  expect(byName(built)).toEqual(byName([...manifestsOf('crds'), ...manifestsOf('manifests')]))
})

test("the README's way to name an image takes effect", () => {
  const snippet = /images:\n(?: {2}[^\n]*\n)+/.exec(readFileSync('README.md', 'utf8'))?.[0] ?? ''
  const folder = mkdtempSync(join(tmpdir(), 'drover-kustomize-'))
  try {
    cpSync('crds', join(folder, 'crds'), { recursive: true })
    cpSync('manifests', join(folder, 'manifests'), { recursive: true })
    appendFileSync(join(folder, 'manifests/kustomization.yaml'), snippet)

    expect(execFileSync('kubectl', ['kustomize', join(folder, 'manifests')], { encoding: 'utf8' })).toContain(
      'image: registry.example.com/drover:0.1.0\n',
    )
  } finally {
    rmSync(folder, { recursive: true })
  }
})
