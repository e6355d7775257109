import { readdirSync, readFileSync } from 'node:fs'
import { expect, test } from '@jest/globals'

const root = new URL('../../', import.meta.url)

/** First arguments of all errors that the sources make: a code, or a choice between codes. */
function codeArguments(): { readonly file: string; readonly text: string }[] {
  const found: { file: string; text: string }[] = []
  for (const entry of readdirSync(new URL('src/', root), { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || !entry.name.endsWith('.ts')) continue
    const source = readFileSync(`${entry.parentPath}/${entry.name}`, 'utf8')
    const patterns = [
      /new (?:Drover|Transport)Error\(\s*([^,]+),/g,
      ...(/extends (?:Drover|Transport)Error\b/.test(source) ? [/super\(\s*([^,]+),/g] : []),
    ]
    for (const pattern of patterns) for (const match of source.matchAll(pattern)) found.push({ file: entry.name, text: match[1]! })
  }
  return found
}

const codesIn = (text: string) => [...text.matchAll(/'(\w+)'/g)].map((match) => match[1]!)

test('docs/errors.md lists every code once, in order, and no other', () => {
  const page = readFileSync(new URL('docs/errors.md', root), 'utf8')
  const listed = [...page.matchAll(/^\| `(\w+)` \|/gm)].map((match) => match[1]!)
  const made = new Set(codeArguments().flatMap(({ text }) => codesIn(text)))
  expect(listed).toEqual([...made].toSorted())
})

test('codes are literals, or this test could not see them', () => {
  const blind = codeArguments().filter(({ file, text }) => codesIn(text).length === 0 && file !== 'errors.ts')
  expect(blind).toEqual([])
})
