// Writes crds/*.yaml from the objects in src/api, which the controller installs: `node tools/write-crds.js`.
// A test fails while the files and the objects differ.
import { writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { stringify } from 'yaml'

const root = dirname(dirname(fileURLToPath(import.meta.url)))

const stdin = { contents: "export * from './crd.ts'; export * from './crd-policy.ts'", resolveDir: join(root, 'src/api') }
const bundle = await build({ stdin, bundle: true, write: false, format: 'esm', platform: 'node' })
const { planCRD, policyCRD } = await import(`data:text/javascript;base64,${Buffer.from(bundle.outputFiles[0].contents).toString('base64')}`)

for (const crd of [planCRD, policyCRD]) {
  const file = join(root, 'crds', `${crd.spec.group}_${crd.spec.names.plural}.yaml`)
  writeFileSync(file, stringify(crd, { aliasDuplicateObjects: false, lineWidth: 0 }))
  console.log(file)
}
