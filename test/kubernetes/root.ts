import { existsSync } from 'node:fs'

/** The project's folder with a slash at its end; found from a source file and from a bundle in dist/ alike. */
export const root = find(new URL('../', import.meta.url))

function find(folder: URL): string {
  if (existsSync(new URL('package.json', folder))) return folder.pathname
  const above = new URL('../', folder)
  if (above.href === folder.href) throw new Error('no package.json above this file')
  return find(above)
}
