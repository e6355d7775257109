import { parseDuration } from '../../kube/objects/duration.ts'
import type { Json } from '../../base/json.ts'
import { equal, isArray, isObject } from './json.ts'

// The part of CEL that validation rules of definitions use: logic, comparison, sums, `has`, `size`, `in`, fields, indexes, times, durations,
// `matches`, `startsWith`, `endsWith`, `contains`, `all`, `exists`. A rule with more in it is refused with its definition.

type Value = Json | Date | Span
type Scope = Readonly<Record<string, Value>>
type Node = (scope: Scope) => Value

class Span {
  readonly ns: bigint
  constructor(ns: bigint) {
    this.ns = ns
  }
}

/** A rule that cannot be evaluated for a value, as when a text is no time. */
export class CelError extends Error {}

const token = /\s*(?:(\d+(?:\.\d+)?)|("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|([A-Za-z_]\w*)|(&&|\|\||==|!=|<=|>=|[-+!<>()[\],.?:]))/y

export type Rule = (self: Json, oldSelf: Json | undefined) => boolean

const compiled = new Map<string, Rule>()

/** The rule, ready to be asked. Throws a `CelError` for what is not known here. */
export function compile(text: string): Rule {
  let rule = compiled.get(text)
  if (rule === undefined) compiled.set(text, (rule = parse(text)))
  return rule
}

function parse(rule: string): Rule {
  const words = tokenize(rule)
  let at = 0
  const peek = (): string | undefined => words[at]
  const take = (wanted: string): boolean => {
    if (words[at] !== wanted) return false
    at++
    return true
  }
  const need = (wanted: string): void => {
    if (!take(wanted)) throw new CelError(`expected ${wanted} and found ${peek() ?? 'the end'} in: ${rule}`)
  }

  function choice(): Node {
    const test = either()
    if (!take('?')) return test
    const yes = choice()
    need(':')
    const no = choice()
    return (scope) => (truth(test(scope)) ? yes(scope) : no(scope))
  }
  function either(): Node {
    let left = both()
    while (take('||')) {
      const [a, b] = [left, both()]
      left = (scope) => logic(a, b, scope, true)
    }
    return left
  }
  function both(): Node {
    let left = comparison()
    while (take('&&')) {
      const [a, b] = [left, comparison()]
      left = (scope) => logic(a, b, scope, false)
    }
    return left
  }
  function comparison(): Node {
    const left = sum()
    const sign = peek()
    if (sign === undefined || !['==', '!=', '<', '<=', '>', '>=', 'in'].includes(sign)) return left
    at++
    const right = sum()
    return (scope) => compare(sign, left(scope), right(scope))
  }
  function sum(): Node {
    let left = unary()
    for (;;) {
      const sign = take('+') ? 1 : take('-') ? -1 : 0
      if (sign === 0) return left
      const [a, b] = [left, unary()]
      left = (scope) => add(a(scope), b(scope), sign)
    }
  }
  function unary(): Node {
    if (take('!')) {
      const inner = unary()
      return (scope) => !truth(inner(scope))
    }
    return member(primary())
  }
  function member(start: Node): Node {
    let object = start
    for (;;) {
      const of = object
      if (take('[')) {
        const index = choice()
        need(']')
        object = (scope) => field(of(scope), index(scope))
      } else if (take('.')) {
        const name = identifier()
        object = take('(') ? method(of, name) : (scope) => field(of(scope), name)
      } else return object
    }
  }
  function method(of: Node, name: string): Node {
    if (name === 'all' || name === 'exists') {
      const variable = identifier()
      need(',')
      const body = choice()
      need(')')
      return (scope) => {
        const value = of(scope)
        const items = isList(value) ? value : Object.keys(value as object)
        const holds = (item: Json): boolean => truth(body({ ...scope, [variable]: item }))
        return name === 'all' ? items.every(holds) : items.some(holds)
      }
    }
    const rest = parameters()
    const run = methods[name]
    if (run === undefined) throw new CelError(`undeclared reference to '${name}' in: ${rule}`)
    return (scope) => run(of(scope), ...rest.map((each) => each(scope)))
  }
  function parameters(end = ')'): readonly Node[] {
    const found: Node[] = []
    if (take(end)) return found
    do found.push(choice())
    while (take(','))
    need(end)
    return found
  }
  function identifier(): string {
    const word = peek()
    if (word === undefined || !/^[A-Za-z_]/.test(word)) throw new CelError(`expected a name in: ${rule}`)
    at++
    return word
  }
  function primary(): Node {
    const word = peek()
    if (take('(')) {
      const inner = choice()
      need(')')
      return inner
    }
    if (take('[')) {
      const items = parameters(']')
      return (scope) => items.map((item) => item(scope) as Json)
    }
    if (word === undefined) throw new CelError(`the rule ends too early: ${rule}`)
    at++
    if (/^\d/.test(word)) return () => Number(word)
    if (/^["']/.test(word)) return () => JSON.parse(`"${word.slice(1, -1).replaceAll('"', '\\"')}"`) as string
    if (word === 'true' || word === 'false') return () => word === 'true'
    if (word === 'null') return () => null
    if (!/^[A-Za-z_]/.test(word)) throw new CelError(`unexpected ${word} in: ${rule}`)
    if (!take('(')) {
      return (scope) => {
        const value = scope[word]
        if (value === undefined) throw new CelError(`undeclared reference to '${word}'`)
        return value
      }
    }
    if (word === 'has') return presence()
    const given = parameters()
    const run = functions[word]
    if (run === undefined) throw new CelError(`undeclared reference to '${word}' in: ${rule}`)
    return (scope) => run(...given.map((each) => each(scope)))
  }
  /** `has(a.b.c)`: the last field may be missing, those before it may not. */
  function presence(): Node {
    let object = primary()
    let last: string | undefined
    while (take('.')) {
      const [of, before] = [object, last]
      if (before !== undefined) object = (scope) => field(of(scope), before)
      last = identifier()
    }
    need(')')
    const name = last
    if (name === undefined) throw new CelError(`has() needs a field in: ${rule}`)
    const of = object
    return (scope) => {
      const value = of(scope) as Json
      return isObject(value) && value[name] !== undefined
    }
  }

  const whole = choice()
  if (at < words.length) throw new CelError(`unexpected ${words[at] ?? ''} in: ${rule}`)
  return (self, oldSelf) => truth(whole({ self, ...(oldSelf === undefined ? {} : { oldSelf }) }))
}

function tokenize(rule: string): readonly string[] {
  const words: string[] = []
  token.lastIndex = 0
  while (token.lastIndex < rule.trimEnd().length) {
    const from = token.lastIndex
    const found = token.exec(rule)
    if (found === null) throw new CelError(`syntax error at ${rule.slice(from, from + 10)}`)
    words.push(found[1] ?? found[2] ?? found[3] ?? found[4] ?? '')
  }
  return words
}

function truth(value: Value): boolean {
  if (typeof value !== 'boolean') throw new CelError('no such overload')
  return value
}

/** Either side may decide alone, even when the other cannot be evaluated. */
function logic(a: Node, b: Node, scope: Scope, deciding: boolean): boolean {
  let failure: unknown
  for (const side of [a, b]) {
    try {
      if (truth(side(scope)) === deciding) return deciding
    } catch (error) {
      failure = error
    }
  }
  if (failure !== undefined) throw failure as Error
  return !deciding
}

const isList = (value: Value): value is readonly Json[] => isArray(value as Json)

function compare(sign: string, a: Value, b: Value): boolean {
  if (sign === 'in')
    return isList(b) ? b.some((item) => equal(item, a as Json)) : isObject(b as Json) && Object.hasOwn(b as object, String(a as string))
  if (sign === '==' || sign === '!=')
    return (order(a) === undefined ? equal(a as Json, b as Json) : order(a) === order(b)) === (sign === '==')
  const [x, y] = [order(a), order(b)]
  if (x === undefined || typeof x !== typeof y) throw new CelError('no such overload')
  const [left, right] = [x, y as typeof x]
  if (sign === '<') return left < right
  if (sign === '<=') return left <= right
  return sign === '>' ? left > right : left >= right
}

/** What a value is compared by; undefined when it has no order. */
function order(value: Value): number | bigint | string | undefined {
  if (value instanceof Date) return value.getTime()
  if (value instanceof Span) return value.ns
  return typeof value === 'number' || typeof value === 'bigint' || typeof value === 'string' ? value : undefined
}

function add(a: Value, b: Value, sign: 1 | -1): Value {
  if (typeof a === 'number' && typeof b === 'number') return a + sign * b
  if (sign === 1 && typeof a === 'string' && typeof b === 'string') return a + b
  throw new CelError('no such overload')
}

function field(value: Value, key: Value): Value {
  const found = isList(value)
    ? value[Number(key)]
    : isObject(value as Json)
      ? (value as Readonly<Record<string, Json>>)[String(key as string)]
      : undefined
  if (found === undefined) throw new CelError(`no such key: ${String(key as string)}`)
  return found
}

const functions: Readonly<Record<string, (...given: readonly Value[]) => Value>> = {
  size: (value = null) => sizeOf(value),
  timestamp(text) {
    const time = new Date(typeof text === 'string' && /^\d{4}-\d\d-\d\dT/.test(text) ? text : Number.NaN)
    if (Number.isNaN(time.getTime())) throw new CelError("type conversion error from 'string' to 'google.protobuf.Timestamp'")
    return time
  },
  duration(text) {
    const read = parseDuration(String(text as string))
    if (!read.ok) throw new CelError("type conversion error from 'string' to 'google.protobuf.Duration'")
    return new Span(read.ns)
  },
}

const methods: Readonly<Record<string, (self: Value, ...given: readonly Value[]) => Value>> = {
  size: (self) => sizeOf(self),
  matches: (self, pattern) => new RegExp(String(pattern as string), 'u').test(String(self as string)),
  startsWith: (self, part) => String(self as string).startsWith(String(part as string)),
  endsWith: (self, part) => String(self as string).endsWith(String(part as string)),
  contains: (self, part) => String(self as string).includes(String(part as string)),
}

function sizeOf(value: Value): number {
  // In code points, as CEL counts.
  if (typeof value === 'string') return Array.from(value).length
  if (isList(value)) return value.length
  return Object.keys(value as object).length
}
