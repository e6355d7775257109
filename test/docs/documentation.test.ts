/** Documentation is tested like code: what it shows has to validate, what it names has to exist. */
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, test } from '@jest/globals'
import { problemsOf } from './plan-problems.ts'
import { objectsIn, pages, read, root, snippets } from './snippets.ts'

const all = pages().flatMap((page) => snippets(page, read(page)))
const scripts = Object.keys((JSON.parse(read('package.json')) as { scripts: Record<string, string> }).scripts)
/** Folders of this repository that commands in the documentation may name. */
const FOLDERS = /(?<![\w./:-])((?:manifests|examples|docs|crds|src|test|bench|tools|payload)(?:\/[\w./-]*[\w-])?)(?![\w./-])/g

test('there is something to test', () => {
  expect(pages()).toEqual(
    expect.arrayContaining(['README.md', 'docs/guide.md', 'docs/migration-from-suc.md', 'docs/runbook.md', 'examples/README.md']),
  )
  expect(all.filter(({ language }) => language === 'yaml').length).toBeGreaterThan(1)
  expect(all.filter(({ language }) => language === 'sh').length).toBeGreaterThan(9)
})

test('blocks are yaml, sh, json or text, so that none escapes these tests by chance', () => {
  expect(all.filter(({ language }) => !['yaml', 'sh', 'json', 'text'].includes(language)).map(({ where }) => where)).toEqual([])
})

test('JSON can be read', () => {
  for (const { text } of all.filter(({ language }) => language === 'json')) expect(() => JSON.parse(text)).not.toThrow()
})

describe('YAML', () => {
  test.each(all.filter(({ language }) => language === 'yaml'))('$where validates', ({ where, text }) => {
    const objects = objectsIn(where, text)
    expect(objects.length).toBeGreaterThan(0)
    expect(objects.flatMap(problemsOf)).toEqual([])
  })
})

describe('commands', () => {
  const commands = pages().flatMap((page) => {
    const inline = [...read(page).matchAll(/`([^`\n]+)`/g)].map((match) => ({ where: page, command: match[1]! }))
    const blocks = snippets(page, read(page)).filter(({ language }) => language === 'sh')
    return [...inline, ...blocks.flatMap(({ where, text }) => text.split('\n').map((command) => ({ where, command })))]
  })

  test('npm scripts exist', () => {
    const named = commands.flatMap(({ where, command }) =>
      [...command.matchAll(/npm (?:run )?([\w:]+)/g)].map((match) => ({ where, script: match[1]! })),
    )
    expect(named.length).toBeGreaterThan(5)
    expect(named.filter(({ script }) => !scripts.includes(script))).toEqual([])
  })

  test('subcommands of drover exist', () => {
    const named = commands.flatMap(({ where, command }) =>
      [...command.matchAll(/(?:^|\s)(?:drover|node dist\/main\.js) ([a-z]+)/g)].map((match) => ({ where, name: match[1]! })),
    )
    expect(named.length).toBeGreaterThan(3)
    expect(named.filter(({ name }) => !existsSync(join(root, 'src/cli', `${name}.ts`)))).toEqual([])
  })

  test('files and folders exist', () => {
    const named = commands.flatMap(({ where, command }) => [...command.matchAll(FOLDERS)].map((match) => ({ where, path: match[1]! })))
    expect(named.length).toBeGreaterThan(5)
    expect(named.filter(({ path }) => !existsSync(join(root, path)))).toEqual([])
  })
})

describe('links', () => {
  const links = pages().flatMap((page) =>
    [...read(page).matchAll(/\]\(([^)\s]+)\)/g)]
      .map((match) => ({ page, target: match[1]! }))
      .filter(({ target }) => !/^https?:/.test(target)),
  )

  test('lead to files that exist', () => {
    expect(links.length).toBeGreaterThan(10)
    const broken = links.filter(({ page, target }) => {
      const path = target.split('#')[0]!
      return path !== '' && !existsSync(join(root, dirname(page), path))
    })
    expect(broken).toEqual([])
  })

  test('lead to headings that exist', () => {
    const broken = links.filter(({ page, target }) => {
      const [path, anchor] = target.split('#') as [string, string | undefined]
      if (anchor === undefined) return false
      return !anchorsOf(path === '' ? page : join(dirname(page), path)).includes(anchor)
    })
    expect(broken).toEqual([])
  })
})

/** Anchors of a page's headings, as code hosts make them. */
function anchorsOf(page: string): string[] {
  return [...read(page).matchAll(/^#+ (.+)$/gm)].map((match) =>
    match[1]!
      .toLowerCase()
      .replace(/[^\w\- ]/g, '')
      .replaceAll(' ', '-'),
  )
}

test('the image that the README tells kustomize to replace is the one in the manifests', () => {
  const replaced = /^images:\n {2}- name: (\S+)$/m.exec(read('README.md'))?.[1]
  const deployed = /^ +image: ([^:\s]+):\S+$/m.exec(read('manifests/deployment.yaml'))?.[1]
  expect(deployed).toBeDefined()
  expect(replaced).toBe(deployed)
})
