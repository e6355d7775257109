import { existsSync, readFileSync } from 'node:fs'
import { expect, test } from '@jest/globals'
import type { Deployment } from 'kubernetes-types/apps/v1.d.ts'
import { SETTINGS } from '../../src/controller/settings-table.ts'
import { manifestsOf, only } from './objects.ts'

const pkg = JSON.parse(readFileSync('package.json', 'utf8')) as {
  version: string
  bin: { drover: string }
  scripts: Record<string, string>
  engines: { node: string }
}

interface Instruction {
  readonly stage: number
  readonly name: string
  readonly rest: string
}

function instructions(): readonly Instruction[] {
  let stage = -1
  return readFileSync('Dockerfile', 'utf8')
    .replaceAll('\\\n', ' ')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => {
      const [name = '', ...rest] = line.split(/\s+/)
      if (name === 'FROM') stage++
      return { stage, name, rest: rest.join(' ') }
    })
}

const all = instructions()
const named = (stage: number, name: string) => all.filter((line) => line.stage === stage && line.name === name).map((line) => line.rest)

/** Paths in the build stage, relative to its work directory. */
const brought = named(0, 'COPY').flatMap((rest) => rest.split(' ').slice(0, -1))

test('two stages: one builds on the builder, one runs without a shell', () => {
  expect(named(0, 'FROM')).toEqual([expect.stringMatching(/^--platform=\$BUILDPLATFORM node:\d+-\S+ AS build$/)])
  expect(named(1, 'FROM')).toEqual([expect.stringMatching(/^gcr\.io\/distroless\/nodejs\d+-debian\d+:nonroot$/)])
  const [built, run] = all
    .filter((line) => line.name === 'FROM')
    .map((line) => Number(/node(?:js)?:?(\d+)/.exec(line.rest.replace('nodejs', 'node'))?.[1]))
  expect(built).toBe(run)
  expect(built).toBeGreaterThanOrEqual(Number(/\d+/.exec(pkg.engines.node)?.[0]))
})

test('what it copies is there, and it is all that the build reads', () => {
  for (const path of brought) expect([path, existsSync(path)]).toEqual([path, true])
  const ignored = readFileSync('.dockerignore', 'utf8').split('\n')
  expect(brought.filter((path) => ignored.includes(path))).toEqual([])
  const task = readFileSync('tools/task.js', 'utf8')
  const sources = JSON.parse(/const PRODUCT = .*sources: (\[.*\])/.exec(task)?.[1]?.replaceAll("'", '"') ?? '[]') as string[]
  expect(sources.length).toBeGreaterThan(1)
  expect(brought).toEqual(expect.arrayContaining(sources))
})

test('every npm script it runs exists', () => {
  const scripts = named(0, 'RUN').flatMap((rest) => /^npm run (\S+)/.exec(rest)?.[1] ?? [])

  expect(scripts).toEqual(['build'])
  for (const script of scripts) expect(pkg.scripts).toHaveProperty(script)
})

test('what runs is what package.json calls drover, copied with the package.json that makes it a module', () => {
  const work = named(0, 'WORKDIR')[0]
  const copies = named(1, 'COPY').map((rest) => rest.replace('--from=build ', '').split(' '))
  const [entry] = named(1, 'ENTRYPOINT').map((rest) => JSON.parse(rest) as string[])

  // Node's own flags come before it.
  expect(entry?.slice(1).find((arg) => !arg.startsWith('--'))).toBe(`${work}/${pkg.bin.drover}`)
  expect(copies).toContainEqual([`${work}/dist`, `${work}/dist`])
  expect(copies.find((copy) => copy.includes(`${work}/package.json`))?.at(-1)).toBe(`${work}/`)
  expect(named(1, 'CMD')).toEqual([])
})

test('user and port agree with the manifests', () => {
  const pod = only<Deployment>(manifestsOf('manifests'), 'Deployment').spec?.template.spec

  expect(named(1, 'USER')).toEqual([`${pod?.securityContext?.runAsUser}:${pod?.securityContext?.runAsGroup}`])
  expect(named(1, 'EXPOSE').map((port) => `:${port}`)).toEqual([SETTINGS.metricsAddress.default])
})
