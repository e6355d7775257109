/** The controller as it ships: the bundle, and how the image starts it. */
import { cpSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

export interface Shipped {
  /** The bundle's entry. */
  readonly bundle: string
  /** Node's flags from the image's ENTRYPOINT. */
  readonly flags: readonly string[]
  /** The image's environment. */
  readonly env: Readonly<Record<string, string>>
}

/** Copies the bundle into `folder`, so that a build meanwhile does not change what is measured. */
export function shipped(root: string, folder: string): Shipped {
  cpSync(join(root, 'dist'), folder, { recursive: true, filter: (path) => !path.startsWith(join(root, 'dist', 'dev')) })
  cpSync(join(root, 'package.json'), join(folder, 'package.json'))
  return { bundle: join(folder, 'main.js'), ...startOf(readFileSync(join(root, 'Dockerfile'), 'utf8')) }
}

/** ENV and Node's flags of a Dockerfile's last stage. Throws when it does not start Node with dist/main.js in exec form. */
export function startOf(dockerfile: string): Pick<Shipped, 'flags' | 'env'> {
  const stage = dockerfile.slice(dockerfile.lastIndexOf('\nFROM '))
  const entry = /^ENTRYPOINT (\[.*\])$/m.exec(stage)?.[1]
  const [, ...args] = JSON.parse(entry ?? '[]') as string[]
  const main = args.findIndex((arg) => arg.endsWith('dist/main.js'))
  if (main === -1) throw new Error('the Dockerfile starts no dist/main.js')
  const env = [...stage.matchAll(/^ENV (.*)$/gm)].flatMap(([, pairs = '']) =>
    pairs
      .trim()
      .split(/\s+/)
      .map((pair) => pair.split('=', 2)),
  )
  return { flags: args.slice(0, main), env: Object.fromEntries(env.map(([name = '', value = '']) => [name, value])) }
}
