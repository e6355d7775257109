import { dirname, join } from 'node:path/posix'
import { parseSync } from '@swc/core'

/** What the files of a room may use. */
interface Room {
  /** Rooms, besides itself. */
  readonly rooms: readonly string[]
  /** Modules of Node. */
  readonly node: 'pure' | 'any'
  /** May read clocks, draw random numbers, start timers, open sockets. */
  readonly world?: true
}

/**
 * The house. Walls stand where they keep a promise: rollout decides without I/O so that it can be tested and replayed, the sandbox judges
 * rollout and so must not know it, kube/client and observability could serve another controller.
 */
const ROOMS: Readonly<Record<string, Room>> = {
  base: { rooms: [], node: 'any', world: true },
  'kube/objects': { rooms: ['base'], node: 'pure' },
  'kube/client': { rooms: ['base', 'kube/objects'], node: 'any', world: true },
  api: { rooms: ['base', 'kube/objects'], node: 'pure' },
  rollout: { rooms: ['api', 'base', 'kube/objects'], node: 'pure' },
  observability: { rooms: ['base'], node: 'pure' },
  controller: { rooms: ['api', 'base', 'kube/client', 'kube/objects', 'observability', 'rollout'], node: 'pure' },
  sandbox: { rooms: ['base', 'kube/objects'], node: 'pure' },
  simulation: { rooms: ['*'], node: 'any' },
  payload: { rooms: ['api', 'base', 'rollout'], node: 'pure' },
  cli: { rooms: ['*'], node: 'any' },
  '': { rooms: ['base', 'cli'], node: 'any' }, // src/main.ts
}

/** Where a room may use a few files of another, not all of them. */
const DOORS: Readonly<Record<string, readonly string[]>> = {
  // It runs on a machine and decides nothing about a cluster.
  'payload → rollout': ['src/rollout/attempt.ts', 'src/rollout/version.ts'],
}

/** Files that serve HTTP by their nature. */
const LISTENERS = [/^src\/sandbox\/(?:.*\/)?listen(?:er)?\.ts$/, /^src\/observability\/server\.ts$/, /^src\/cli\/channel-server\.ts$/]
const LISTENER_MODULES = ['node:http', 'node:net', 'node:stream', 'node:zlib']
const SOCKET_MODULES = ['node:http', 'node:https', 'node:http2', 'node:net', 'node:tls', 'node:dgram', 'node:dns', 'node:dns/promises']
const TIMER_MODULES = ['node:timers', 'node:timers/promises', 'node:perf_hooks']

/** Modules of Node that compute and nothing else. */
const PURE_MODULES = ['node:assert', 'node:buffer', 'node:crypto', 'node:events', 'node:path', 'node:path/posix', 'node:util']

/** Packages that live in one room only. */
const PACKAGE_ROOMS: Readonly<Record<string, string>> = {
  '@kubernetes/client-node': 'kube/client',
  pino: 'base',
  'prom-client': 'observability',
}

/** Modules whose value reads the world; a type of theirs is fine anywhere. */
const WORLDLY_NAMES = ['systemClock', 'pinoLog']
/** Where those are handed to the rest. */
const EDGES = ['base', 'cli', 'kube/client', '']

const GLOBALS = ['setTimeout', 'setInterval', 'setImmediate', 'fetch', 'performance', 'WebSocket', 'EventSource']
const MEMBERS = [
  'Date.now',
  'Math.random',
  'AbortSignal.timeout',
  'process.hrtime',
  'process.uptime',
  'crypto.randomUUID',
  'crypto.getRandomValues',
]
const RANDOM_IMPORTS = ['randomUUID', 'randomBytes', 'randomInt', 'randomFillSync', 'getRandomValues', 'webcrypto']

/** Each with its reason. */
const EXCEPTIONS: Readonly<Record<string, readonly string[]>> = {
  // Virtual time must learn when nothing is left to compute, and only the event loop knows.
  'src/sandbox/clock.ts': ['setImmediate'],
  // Edges: here the real world is put into a Process.
  'src/cli/controller.ts': ['Math.random', 'randomUUID'],
  'src/cli/connect.ts': ['Math.random'],
  // Who listens for kubectl writes the kubeconfig that leads there.
  'src/sandbox/listen.ts': ['node:fs/promises'],
  // The payload's one door to the machine that it upgrades.
  'src/payload/linux-host.ts': ['node:child_process', 'node:fs', 'node:http', 'node:net', 'node:stream/promises'],
  // A sandbox runs on real time when it is asked to, and nobody above gives it a clock.
  'src/sandbox/cluster.ts': ['systemClock'],
}

const MAX_LINES = 500

type Node = { readonly type?: string } & Readonly<Record<string, unknown>>

/** What is wrong with a source file; one sentence each. */
export function violations(path: string, source: string): readonly string[] {
  const name = roomOf(path)
  const room = name === undefined ? undefined : ROOMS[name]
  if (name === undefined || room === undefined) return [`${path} stands in no room of the house; add the room to test/house/layering.ts`]
  const wrong: string[] = []
  const lines = source.split('\n').length - (source.endsWith('\n') ? 1 : 0)
  if (lines > MAX_LINES) wrong.push(`${path} has ${lines} lines, ${MAX_LINES} are allowed`)
  const found = inspect(parseSync(source, { syntax: 'typescript', target: 'es2022' }) as unknown as Node)
  if (found.defaultExport) wrong.push(`${path} has a default export`)
  if (found.any) wrong.push(`${path} says any`)
  for (const { specifier, names } of found.imports) {
    const reason = importViolation(path, name, room, specifier, names)
    if (reason !== undefined) wrong.push(`${path} imports ${specifier}: ${reason}`)
  }
  const taken = room.world === true ? [] : [...found.uses].filter((use) => !(EXCEPTIONS[path] ?? []).includes(use))
  for (const use of taken) wrong.push(`${path} uses ${use}; time, chance and sockets are given, not taken`)
  return wrong
}

function roomOf(path: string): string | undefined {
  const inside = path.replace(/^src\//, '')
  if (!inside.includes('/')) return ''
  return Object.keys(ROOMS).find((room) => room !== '' && inside.startsWith(`${room}/`))
}

function importViolation(path: string, name: string, room: Room, specifier: string, names: readonly string[]): string | undefined {
  if (specifier.startsWith('.')) {
    const target = roomOf(join(dirname(path), specifier))
    const worldly = names.find((imported) => WORLDLY_NAMES.includes(imported) && !(EXCEPTIONS[path] ?? []).includes(imported))
    const doors = DOORS[`${name} → ${target}`]
    if (doors !== undefined && !doors.includes(join(dirname(path), specifier)))
      return `${name} may know only ${doors.join(' and ')} of ${target}`
    if (worldly !== undefined && !EDGES.includes(name)) return `${worldly} is given by the edge, not imported`
    if (target === name || room.rooms.includes('*') || (target !== undefined && room.rooms.includes(target))) return undefined
    return `${name === '' ? 'main' : name} may not know ${target === '' ? 'main' : (target ?? 'what is outside src')}`
  }
  if (specifier.startsWith('node:')) {
    if (room.world === true || EXCEPTIONS[path]?.includes(specifier)) return undefined
    if (LISTENERS.some((listener) => listener.test(path)) && LISTENER_MODULES.includes(specifier)) return undefined
    if ([...SOCKET_MODULES, ...TIMER_MODULES].includes(specifier)) return 'time and sockets are given, not taken'
    if (
      specifier === 'node:crypto' &&
      names.some((imported) => RANDOM_IMPORTS.includes(imported) && !(EXCEPTIONS[path] ?? []).includes(imported))
    )
      return 'chance is given, not taken'
    return room.node === 'any' || PURE_MODULES.includes(specifier) ? undefined : `${name} does no I/O`
  }
  // By name it comes whole, with half a megabyte of translations, into every start of the controller.
  if (specifier === 'zod' && names.includes('z')) return 'take it as a namespace: import * as z'
  const owner = Object.entries(PACKAGE_ROOMS).find(([name]) => specifier === name || specifier.startsWith(`${name}/`))?.[1]
  return owner === undefined || owner === name ? undefined : `only ${owner} may`
}

interface Found {
  readonly imports: { readonly specifier: string; readonly names: readonly string[] }[]
  readonly uses: Set<string>
  defaultExport: boolean
  any: boolean
}

function inspect(module: Node): Found {
  const found: Found = { imports: [], uses: new Set(), defaultExport: false, any: false }
  const declared = new Set<string>()
  declaredNames(module, declared)
  visit(module, found, declared)
  return found
}

function children(node: Node): readonly Node[] {
  return Object.values(node)
    .flat()
    .filter((child): child is Node => typeof child === 'object' && child !== null)
}

/** Every name that the file itself binds: such a name is not the global one. */
function declaredNames(node: Node, into: Set<string>): void {
  const bound = [node['local'], node['identifier'], node['pat'], node['id'], node['param'], ...list(node['params'])]
  if (node.type !== 'CallExpression') for (const pattern of bound) bindings(pattern as Node | undefined, into)
  for (const child of children(node)) declaredNames(child, into)
}

function bindings(pattern: Node | undefined, into: Set<string>): void {
  if (pattern?.type === 'Identifier') into.add(String(pattern['value']))
  else if (pattern?.type === 'ObjectPattern')
    for (const property of list(pattern['properties'])) bindings((property['value'] ?? property['key']) as Node, into)
}

const list = (value: unknown): readonly Node[] => (Array.isArray(value) ? (value as Node[]) : [])
function valueOf(node: unknown): string {
  const value = (node as Node | null | undefined)?.['value']
  return typeof value === 'string' ? value : ''
}

function visit(node: Node, found: Found, declared: ReadonlySet<string>): void {
  switch (node.type) {
    case 'ImportDeclaration':
    case 'ExportNamedDeclaration':
    case 'ExportAllDeclaration': {
      const names = node['typeOnly'] === true ? [] : list(node['specifiers']).flatMap((specifier) => importedName(specifier))
      if (node['source'] !== null && node['source'] !== undefined) found.imports.push({ specifier: valueOf(node['source']), names })
      if (list(node['specifiers']).some((specifier) => valueOf(specifier['exported']) === 'default')) found.defaultExport = true
      return
    }
    case 'ExportDefaultDeclaration':
    case 'ExportDefaultExpression':
      found.defaultExport = true
      break
    case 'TsImportType':
      found.imports.push({ specifier: valueOf(node['argument']), names: [] })
      break
    case 'CallExpression': {
      const callee = node['callee'] as Node
      if (callee.type === 'Import') found.imports.push({ specifier: valueOf(list(node['arguments'])[0]?.['expression']), names: [] })
      if (callee.type === 'Identifier' && valueOf(callee) === 'Date') found.uses.add('Date()')
      break
    }
    case 'NewExpression':
      if (valueOf(node['callee']) === 'Date' && list(node['arguments']).length === 0) found.uses.add('new Date()')
      break
    case 'TsKeywordType':
      if (node['kind'] === 'any') found.any = true
      break
    case 'MemberExpression': {
      const object = node['object'] as Node
      const property = node['property'] as Node
      const path = `${valueOf(object)}.${valueOf(property)}`
      if (object.type === 'Identifier' && MEMBERS.includes(path)) found.uses.add(path)
      if (object.type === 'Identifier' && valueOf(object) === 'globalThis' && GLOBALS.includes(valueOf(property)))
        found.uses.add(valueOf(property))
      visit(object, found, declared)
      if (property.type === 'Computed') visit(property, found, declared)
      return
    }
    case 'Identifier':
      if (GLOBALS.includes(valueOf(node)) && !declared.has(valueOf(node))) found.uses.add(valueOf(node))
      break
    default:
  }
  const { key, ...rest } = node
  for (const child of children(rest)) visit(child, found, declared)
  if ((key as Node | undefined)?.type === 'Computed') visit(key as Node, found, declared)
}

function importedName(specifier: Node): string[] {
  if (specifier['isTypeOnly'] === true) return []
  if (specifier.type === 'ImportNamespaceSpecifier') return ['*']
  return [valueOf(specifier['imported'] ?? specifier['orig'] ?? specifier['local'])]
}
