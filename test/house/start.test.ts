/** What the controller loads before it knows how it reaches its cluster: each package more costs every start, and memory for ever. */
import { expect, test } from '@jest/globals'
import { build } from 'esbuild'

const ENTRIES = ['src/main.ts', 'src/cli/controller.ts']

test('a pod loads neither a YAML parser nor the official client', async () => {
  const { metafile } = await build({
    entryPoints: ENTRIES,
    outdir: 'dist',
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    write: false,
    metafile: true,
    logLevel: 'silent',
  })
  const loaded = new Set<string>()
  const load = (path: string): void => {
    const output = metafile.outputs[path]
    if (output === undefined || loaded.has(path)) return
    loaded.add(path)
    // What is imported with import() comes later, if at all.
    for (const { kind, path: other } of output.imports) if (kind === 'import-statement') load(other)
  }
  for (const [path, { entryPoint = '' }] of Object.entries(metafile.outputs)) if (ENTRIES.includes(entryPoint)) load(path)
  const packages = [...loaded].flatMap((path) =>
    Object.keys(metafile.outputs[path]?.inputs ?? {}).flatMap((input) => /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(input)?.[1] ?? []),
  )
  expect(packages).toContain('zod')
  expect(packages).not.toContain('yaml')
  expect(packages).not.toContain('@kubernetes/client-node')
})
