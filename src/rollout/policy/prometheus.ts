/** Answers of Prometheus' HTTP API (`/api/v1/query`), as its documentation describes them, read for a gate. */
import type { PrometheusCheck } from '../../api/gate.ts'
import type { OutsideResponse } from '../../base/process.ts'
import type { GateSeen } from '../world.ts'
import { compares } from './expect.ts'

/** Bodies are cut at this length on their way (`OutsideResponse`). */
const MAX_BODY_BYTES = 64 * 1024
const MAX_TEXT = 200

export type QueryAnswer = { readonly ok: true; readonly seen: GateSeen } | { readonly ok: false; readonly error: string }

/** The query's address. */
export const queryURL = ({ url, query }: PrometheusCheck): string => `${url}/api/v1/query?${new URLSearchParams({ query }).toString()}`

export function readAnswer(check: PrometheusCheck, { status, statusLine, body }: OutsideResponse): QueryAnswer {
  const fail = (error: string): QueryAnswer => ({ ok: false, error: `Prometheus ${error}` })
  if (Buffer.byteLength(body) >= MAX_BODY_BYTES) return fail('answers with 64 KiB or more; let the query aggregate')
  const answer = parse(body)
  // What it has against the query it says in JSON, with 400, 422 or 503.
  if (answer?.status === 'error') return fail(`answers with an error: ${cut(`${answer.errorType ?? ''}: ${answer.error ?? ''}`)}`)
  if (status !== 200) return fail(`answers with ${cut(statusLine)}`)
  if (answer?.status !== 'success') return fail('does not answer as Prometheus does')
  // A part of the data may be missing then.
  if (Array.isArray(answer.warnings) && answer.warnings.length > 0) return fail(`warns: ${cut(String(answer.warnings[0]))}`)
  const { resultType, result } = answer.data ?? {}
  const samples = resultType === 'scalar' ? [{ labels: {}, value: result }] : resultType === 'vector' ? vectorIn(result) : undefined
  if (samples === undefined) return fail(`answers with neither an instant vector nor a scalar (${cut(String(resultType))})`)
  return judge(check, samples) ?? fail('answers with samples that are no numbers')
}

interface Sample {
  readonly labels: Readonly<Record<string, unknown>>
  readonly value: unknown
}

function judge({ expect, emptyIs }: PrometheusCheck, samples: readonly Sample[]): QueryAnswer | undefined {
  const verdict = (met: boolean, message = ''): QueryAnswer => ({ ok: true, seen: { kind: 'verdict', met, message } })
  if (samples.length === 0)
    return emptyIs === 'Pass' ? verdict(true) : { ok: false, error: 'the query finds nothing (emptyIs: Pass would make that count as met)' }
  let broken: string | undefined
  for (const { labels, value } of samples) {
    const number = numberIn(value)
    if (number === undefined) return undefined
    if (!compares(expect.operator, number, expect.value))
      broken ??= `the query gives ${number}${labelText(labels)}, not ${expect.operator} ${expect.value}`
  }
  return broken === undefined ? verdict(true) : verdict(false, broken)
}

interface Answer {
  readonly status?: unknown
  readonly errorType?: string
  readonly error?: string
  readonly warnings?: unknown
  readonly data?: { readonly resultType?: unknown; readonly result?: unknown }
}

function parse(body: string): Answer | undefined {
  try {
    const value: unknown = JSON.parse(body)
    return typeof value === 'object' && value !== null ? (value as Answer) : undefined
  } catch {
    return undefined
  }
}

/** `[{metric: {…}, value: [time, "1"]}]`. A sample that has only a histogram is no number. */
function vectorIn(result: unknown): readonly Sample[] | undefined {
  if (!Array.isArray(result)) return undefined
  return (result as readonly { readonly metric?: unknown; readonly value?: unknown }[]).map((entry) => ({
    labels: typeof entry?.metric === 'object' && entry.metric !== null ? (entry.metric as Record<string, unknown>) : {},
    value: entry?.value,
  }))
}

/** `[time, "1.5"]`, where the text may also be NaN, +Inf or -Inf. */
function numberIn(value: unknown): number | undefined {
  const text: unknown = Array.isArray(value) && value.length === 2 ? (value as readonly unknown[])[1] : undefined
  if (typeof text !== 'string') return undefined
  if (text === 'NaN') return Number.NaN
  if (text === '+Inf') return Number.POSITIVE_INFINITY
  if (text === '-Inf') return Number.NEGATIVE_INFINITY
  const number = Number(text)
  return text.trim() === '' || Number.isNaN(number) ? undefined : number
}

function labelText(labels: Readonly<Record<string, unknown>>): string {
  const text = Object.entries(labels)
    .map(([name, value]) => `${name}="${String(value)}"`)
    .join(', ')
  return text === '' ? '' : ` for {${cut(text)}}`
}

const cut = (text: string): string => (text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT)}…` : text)
