/** JSON as the API server sends it. Integers beyond 2^53 are bigint, so that none is rounded on its way. */
export type Json = null | boolean | number | bigint | string | readonly Json[] | { readonly [key: string]: Json | undefined }
export type JsonObject = { readonly [key: string]: Json | undefined }

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Where an integer of 16 digits or more may stand. Seldom true of a text without one, and not of the hexadecimal digests that image lists are full of. */
const LONG_NUMBER = /(?:^|[:,[\s])-?\d{16,}(?:[,}\]\s]|$)/

/** Strings (to be passed over) and numbers as JSON spells them; a number with a fraction or exponent is matched whole, to be left alone. */
const TOKENS = /"[^"\\]*(?:\\.[^"\\]*)*"|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/g
const INTEGER = /^-?\d{16,}$/

/** First character of a string that stands for an integer (`i`) or, doubling as its own escape, for a string that begins with it (`s`). */
const MARK = '\uE000'

/** As `JSON.parse`, but integers that a double cannot hold become bigint. Throws a SyntaxError. */
export function parseJson(text: string): Json {
  if (!LONG_NUMBER.test(text)) return JSON.parse(text) as Json
  let found = false
  const marked = text.replace(TOKENS, (token) => {
    if (token.startsWith('"')) return token.startsWith(`"${MARK}`) || token.startsWith('"\\u') ? `"${MARK}s${token.slice(1)}` : token
    if (!INTEGER.test(token) || Number.isSafeInteger(Number(token))) return token
    found = true
    return `"${MARK}i${token}"`
  })
  return found ? unmark(JSON.parse(marked) as Json) : (JSON.parse(text) as Json)
}

function unmark(value: Json): Json {
  if (typeof value === 'string') return value.startsWith(`${MARK}i`) ? BigInt(value.slice(2)) : plain(value)
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map(unmark)
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [plain(key), member === undefined ? member : unmark(member)]))
}

const plain = (text: string): string => (text.startsWith(`${MARK}s`) ? text.slice(2) : text)

/** As `JSON.stringify`, but a bigint is written as the integer it is. */
export function stringifyJson(value: Json): string {
  try {
    return JSON.stringify(value)
  } catch (error) {
    // The only value of this type that JSON.stringify refuses is a bigint; looking for one first would cost every call.
    if (!(error instanceof TypeError)) throw error
    return write(value)
  }
}

function write(value: Json): string {
  if (typeof value === 'bigint') return value.toString()
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  if (Array.isArray(value)) return `[${value.map(write).join(',')}]`
  const members: string[] = []
  for (const [key, member] of Object.entries(value)) {
    if (member !== undefined) members.push(`${JSON.stringify(key)}:${write(member)}`)
  }
  return `{${members.join(',')}}`
}
