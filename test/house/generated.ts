import { readFileSync, writeFileSync } from 'node:fs'
import { expect } from '@jest/globals'

const BEGIN = '<!-- begin generated -->\n'
const END = '<!-- end generated -->\n'

/**
 * Expects the part of a documentation page between its markers to be this table.
 * `UPDATE_DOCS=1 npm test` writes it instead; the change shows in the diff.
 */
export function expectDocumentedTable(page: string, header: readonly string[], rows: readonly (readonly string[])[]): void {
  const text = readFileSync(page, 'utf8')
  const begin = text.indexOf(BEGIN)
  const end = text.indexOf(END)
  if (begin < 0 || end < begin) throw new Error(`${page} lacks its markers ${BEGIN.trim()} and ${END.trim()}`)
  const line = (cells: readonly string[]) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |\n`
  const table = [header, header.map(() => '---'), ...rows].map(line).join('')
  if (process.env['UPDATE_DOCS'] === '1') writeFileSync(page, text.slice(0, begin) + BEGIN + table + text.slice(end))
  else expect(text.slice(begin + BEGIN.length, end)).toBe(table)
}
