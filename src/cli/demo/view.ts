/** How the demo looks: a frame that is redrawn on a terminal, or one line per change elsewhere. */
import type { Model, NodeRow } from './model.ts'

export interface Look {
  /** Columns of the terminal. */
  readonly width: number
  readonly color: boolean
}

const HEADER = ['NODE', 'ROLE', 'VERSION', 'PHASE', 'SINCE', 'WAITS FOR'] as const
const STYLE = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33, cyan: 36 } as const
type Style = keyof typeof STYLE

/** The whole picture, one string per terminal line, none wider than the terminal. */
export function frame(model: Model, elapsedMs: number, nowMs: number, look: Look): string[] {
  const cells = model.nodes.map((row) => [
    row.name,
    row.role,
    row.version,
    phaseText(row),
    row.sinceMs === undefined ? '' : duration(nowMs - row.sinceMs),
    row.waitsFor,
  ])
  const widths = HEADER.map((title, column) => Math.max(title.length, ...cells.map((cell) => cell[column]!.length)))
  const whole = (cell: readonly string[]) =>
    cell
      .map((value, column) => value.padEnd(widths[column]!))
      .join('  ')
      .trimEnd()
  const line = (cell: readonly string[]) => cut(whole(cell), look.width)
  // What a node under way waits for is the news: it is said in full below where the line has no room for it.
  const cutShort = model.nodes.filter((row, index) => row.phase !== 'Pending' && whole(cells[index]!).length > look.width)
  return [
    ...model.plans.map((plan) =>
      cut(
        `${plan.name}  ${plan.target || 'not resolved'}  ${plan.done}/${plan.selected}${plan.note === '' ? '' : `  ${plan.note}`}`,
        look.width,
      ),
    ),
    '',
    paint(line(HEADER), 'bold', look),
    ...model.nodes.map((row, index) => paint(line(cells[index]!), styleOf(row), look)),
    '',
    ...cutShort.flatMap((row) => wrap(`${row.name}: ${row.waitsFor}`, look.width)),
    progressBar(model, elapsedMs, look),
  ]
}

/** A bar, the count of nodes, and the time. Never wider than the terminal. */
export function progressBar(model: Model, elapsedMs: number, look: Look): string {
  const label = ` ${model.done}/${model.nodes.length} nodes upgraded  ${duration(elapsedMs)}`
  const room = Math.max(4, Math.min(40, look.width - label.length - 2))
  const filled = model.nodes.length === 0 ? 0 : Math.round((room * model.done) / model.nodes.length)
  const bar = `${paint('█'.repeat(filled), 'green', look)}${'░'.repeat(room - filled)}`
  return `[${bar}]${label}`
}

/**
 * One line for each node that changed since `before`, and for each Plan whose note did; all of them if there was none.
 * What holds a whole Plan is said once, not for each of its nodes.
 */
export function changes(before: Model | undefined, after: Model, elapsedMs: number): string[] {
  const stamp = duration(elapsedMs).padStart(6)
  const plans = after.plans.flatMap((plan) => {
    const old = before?.plans.find((one) => one.name === plan.name)
    if (old !== undefined && old.note === plan.note && old.complete === plan.complete && old.target === plan.target) return []
    return [
      `${stamp}  ${plan.name}: ${plan.complete ? 'complete' : plan.note === '' ? 'no word yet' : plan.note}${plan.target === '' ? '' : ` (target ${plan.target})`}`,
    ]
  })
  const nodes = after.nodes.flatMap((row) => {
    const old = before?.nodes.find((one) => one.name === row.name)
    const waitsFor = ownWait(row, after)
    if (old !== undefined && before !== undefined && sameText(old, row) && ownWait(old, before) === waitsFor) return []
    const from = old === undefined || old.phase === row.phase ? '' : `${old.phase} -> `
    const waits = waitsFor === '' ? '' : `, waits for: ${waitsFor}`
    return [`${stamp}  ${row.name} (${row.role}, ${row.version}): ${from}${phaseText(row)}${waits}`]
  })
  return [...plans, ...nodes]
}

/** `7s`, `1m05s`. Negative durations read as 0s. */
export function duration(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000))
  if (seconds < 60) return `${seconds}s`
  return `${Math.floor(seconds / 60)}m${String(seconds % 60).padStart(2, '0')}s`
}

function sameText(a: NodeRow, b: NodeRow): boolean {
  return phaseText(a) === phaseText(b) && a.version === b.version
}

/** What the node waits for, unless its Plan's line says it. */
function ownWait(row: NodeRow, { plans }: Model): string {
  return plans.some((plan) => plan.name === row.plan && plan.note === row.waitsFor) ? '' : row.waitsFor
}

function phaseText(row: NodeRow): string {
  const marks = [...(row.cordoned ? ['cordoned'] : []), ...(row.ready ? [] : ['not ready'])]
  return marks.length === 0 ? row.phase : `${row.phase} (${marks.join(', ')})`
}

function styleOf(row: NodeRow): Style {
  if (row.phase === 'Failed') return 'red'
  if (row.phase === 'Done') return 'green'
  if (row.phase === 'Pending') return 'dim'
  return row.waitsFor === '' ? 'cyan' : 'yellow'
}

function paint(text: string, style: Style, look: Look): string {
  return look.color && text !== '' ? `\u001b[${STYLE[style]}m${text}\u001b[0m` : text
}

/** At most three lines, broken between words where there are any. */
function wrap(text: string, width: number): string[] {
  const lines: string[] = []
  for (let rest = clean(text); rest !== ''; ) {
    if (lines.length === 2) return [...lines, cut(rest, width)]
    const space = rest.length > width ? rest.lastIndexOf(' ', width) : rest.length
    const end = space > 0 ? space : width
    lines.push(rest.slice(0, end))
    rest = rest.slice(end).trimStart()
  }
  return lines
}

/** No wider than `width`. */
function cut(raw: string, width: number): string {
  const text = clean(raw)
  return text.length <= width ? text : `${text.slice(0, Math.max(0, width - 1))}…`
}

/** Control characters could move the cursor, so they become spaces. */
function clean(text: string): string {
  return text.replace(/\p{Cc}/gu, ' ')
}
