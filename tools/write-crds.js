// Writes crds/*.yaml from the objects in src/api, which the controller installs: `node tools/write-crds.js`.
// A test fails while the files and the objects differ.
import { writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { stringify } from 'yaml'

const root = dirname(dirname(fileURLToPath(import.meta.url)))

const bundle = await build({ entryPoints: [join(root, 'src/api/crd.ts')], bundle: true, write: false, format: 'esm', platform: 'node' })
const { planCRD } = await import(`data:text/javascript;base64,${Buffer.from(bundle.outputFiles[0].contents).toString('base64')}`)

const file = join(root, 'crds', `${planCRD.spec.group}_${planCRD.spec.names.plural}.yaml`)
writeFileSync(file, stringify(planCRD, { aliasDuplicateObjects: false, lineWidth: 0 }))
console.log(file)
