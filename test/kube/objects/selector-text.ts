/** Reads selector strings such as `a=b,c in (d,e),!f`, as the API takes them in `?labelSelector=`, with its error texts. */
import { validateLabelKey } from '../../../src/kube/objects/label-validation.ts'
import { goQuote } from '../../../src/kube/objects/go-quote.ts'
import {
  makeRequirement,
  type Operator,
  type Requirement,
  type RequirementResult,
  type SelectorResult,
} from '../../../src/kube/objects/selector.ts'
import { compareUtf8 } from '../../../src/kube/objects/utf8-order.ts'

type Token = { readonly kind: 'word' | 'symbol' | 'end'; readonly text: string }
type Failure = { readonly ok: false; readonly error: string }
type Values = { readonly ok: true; readonly values: readonly string[] } | Failure

/** Longest first, as the scanner takes them. */
const SYMBOLS = ['==', '!=', '=', '!', '(', ')', ',', '>', '<']
const OPERATORS: Readonly<Record<string, Operator>> = { '=': '=', '==': '==', '!=': '!=', in: 'in', notin: 'notin', '>': 'gt', '<': 'lt' }

/** An empty text selects everything. */
export function parseSelector(text: string): SelectorResult {
  const tokens = scan(text)
  const requirements: Requirement[] = []
  let at = 0
  const peek = (): Token => tokens[at] ?? { kind: 'end', text: '' }
  const take = (): Token => {
    const token = peek()
    at++
    return token
  }
  const startsTerm = (token: Token): boolean => token.kind === 'word' || isSymbol(token, '!')

  while (peek().kind !== 'end') {
    if (!startsTerm(peek())) return fail(`found '${peek().text}', expected: !, identifier, or 'end of string'`)
    const made = takeRequirement(peek, take)
    if (!made.ok) return fail(`unable to parse requirement: ${made.error}`)
    requirements.push(made.requirement)
    const next = take()
    if (next.kind === 'end') break
    if (!isSymbol(next, ',')) return fail(`found '${next.text}', expected: ',' or 'end of string'`)
    if (!startsTerm(peek())) return fail(`found '${peek().text}', expected: identifier after ','`)
  }
  return { ok: true, selector: { nothing: false, requirements: requirements.sort((a, b) => compareUtf8(a.key, b.key)) } }
}

function takeRequirement(peek: () => Token, take: () => Token): RequirementResult {
  let token = take()
  const negated = isSymbol(token, '!')
  if (negated) token = take()
  if (token.kind !== 'word') return fail(`found '${token.text}', expected: identifier`)
  const key = token.text
  const faults = validateLabelKey(key)
  if (faults.length > 0) return fail(`<nil>: Invalid value: ${goQuote(key)}: ${faults.join('; ')}`)
  if (negated) return makeRequirement(key, '!', [])
  if (peek().kind === 'end' || isSymbol(peek(), ',')) return makeRequirement(key, 'exists', [])

  const word = take()
  const operator = Object.hasOwn(OPERATORS, word.text) ? OPERATORS[word.text] : undefined
  if (operator === undefined) return fail(`found '${word.text}', expected: in, notin, =, ==, !=, gt, lt`)
  const values = operator === 'in' || operator === 'notin' ? takeList(peek, take) : takeOne(peek, take)
  return values.ok ? makeRequirement(key, operator, values.values) : values
}

function takeOne(peek: () => Token, take: () => Token): Values {
  if (peek().kind === 'end' || isSymbol(peek(), ',')) return { ok: true, values: [''] }
  const token = take()
  return token.kind === 'word' ? { ok: true, values: [token.text] } : fail(`found '${token.text}', expected: identifier`)
}

/** `(a,b)`. Two commas side by side, or one at an end, stand for the empty value. */
function takeList(peek: () => Token, take: () => Token): Values {
  const open = take()
  if (!isSymbol(open, '(')) return fail(`found '${open.text}' expected: '('`)
  if (peek().kind !== 'word' && !isSymbol(peek(), ',') && !isSymbol(peek(), ')')) {
    return fail(`found '${peek().text}', expected: ',', ')' or identifier`)
  }
  const values = new Set<string>()
  let expectValue = true
  for (;;) {
    const token = take()
    if (token.kind === 'word' && expectValue) {
      values.add(token.text)
      expectValue = false
      if (!isSymbol(peek(), ',') && !isSymbol(peek(), ')')) return fail(`found '${peek().text}', expected: ',' or ')'`)
      continue
    }
    if (!isSymbol(token, ',') && !isSymbol(token, ')')) return fail(`found '${token.text}', expected: ',', or identifier`)
    if (expectValue) values.add('')
    if (isSymbol(token, ')')) return { ok: true, values: [...values].sort(compareUtf8) }
    expectValue = true
  }
}

function scan(text: string): Token[] {
  const tokens: Token[] = []
  let at = 0
  while (at < text.length) {
    if (/[ \t\r\n]/.test(text.charAt(at))) {
      at++
      continue
    }
    const symbol = SYMBOLS.find((candidate) => text.startsWith(candidate, at))
    if (symbol !== undefined) {
      tokens.push({ kind: 'symbol', text: symbol })
      at += symbol.length
      continue
    }
    const start = at
    while (at < text.length && !/[=!(),>< \t\r\n]/.test(text.charAt(at))) at++
    tokens.push({ kind: 'word', text: text.slice(start, at) })
  }
  return tokens
}

function isSymbol(token: Token, text: string): boolean {
  return token.kind === 'symbol' && token.text === text
}

function fail(error: string): Failure {
  return { ok: false, error }
}
