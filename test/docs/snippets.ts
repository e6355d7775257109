import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseAllDocuments } from 'yaml'
import type { JsonObject } from '../../src/base/json.ts'

export const root = fileURLToPath(new URL('../../', import.meta.url))

export interface Snippet {
  /** The file and the line it begins at. */
  readonly where: string
  readonly language: string
  readonly text: string
}

/** All Markdown pages of the project, relative to its root. */
export function pages(): string[] {
  const below = (folder: string) =>
    readdirSync(`${root}${folder}`, { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.md'))
      .map((name) => `${folder}/${name}`)
  const top = readdirSync(root).filter((name) => name.endsWith('.md'))
  return [...top, ...below('docs'), ...below('examples')].toSorted()
}

export function read(path: string): string {
  return readFileSync(`${root}${path}`, 'utf8')
}

/** Fenced code blocks of a page. A fence that is never closed is an error. */
export function snippets(page: string, text: string): Snippet[] {
  const found: Snippet[] = []
  let open: { line: number; language: string; lines: string[] } | undefined
  for (const [index, line] of text.split('\n').entries()) {
    const fence = /^```(\w*)\s*$/.exec(line)
    if (fence === null) open?.lines.push(line)
    else if (open === undefined) open = { line: index + 1, language: fence[1]!, lines: [] }
    else {
      found.push({ where: `${page}:${open.line}`, language: open.language, text: open.lines.join('\n') })
      open = undefined
    }
  }
  if (open !== undefined) throw new Error(`${page}:${open.line}: the block is never closed`)
  return found
}

/** The objects of a YAML text. Throws with the place of the first error. */
export function objectsIn(where: string, text: string): JsonObject[] {
  return parseAllDocuments(text).map((document) => {
    const problem = document.errors[0] ?? document.warnings[0]
    if (problem !== undefined) throw new Error(`${where}: ${problem.message}`)
    return document.toJS() as JsonObject
  })
}
