/** Where the demo is shown: a frame that is redrawn on a terminal, lines for changes elsewhere. */
import type { Model } from './model.ts'
import { changes, frame } from './view.ts'

/** What the screen needs of `process.stdout`. */
export interface Output {
  readonly isTTY?: boolean
  readonly columns?: number
  write(text: string): unknown
}

export interface Screen {
  /** Lines that stay. */
  print(lines: readonly string[]): void
  /** Shows the model in place of the one before. */
  show(model: Model, elapsedMs: number, nowMs: number): void
  /** A line that stays, with something that happened. */
  note(text: string): void
  /** Gives the terminal back. */
  close(): void
}

const HIDE_CURSOR = '\u001b[?25l'
const SHOW_CURSOR = '\u001b[?25h'
const up = (lines: number) => (lines === 0 ? '' : `\u001b[${lines}A`)
const CLEAR_DOWN = '\u001b[0J'
const DEFAULT_COLUMNS = 100

/** Colour on a terminal, unless NO_COLOR is set to anything (no-color.org) or the terminal is dumb. A dumb terminal gets lines. */
export function openScreen(output: Output, env: Readonly<Record<string, string | undefined>>): Screen {
  const live = output.isTTY === true && env['TERM'] !== 'dumb'
  const color = live && (env['NO_COLOR'] ?? '') === ''
  let drawn = 0
  let last: Model | undefined
  const erase = () => {
    if (drawn > 0) output.write(`${up(drawn)}\r${CLEAR_DOWN}`)
    drawn = 0
  }
  const put = (lines: readonly string[]) => output.write(lines.map((line) => `${line}\n`).join(''))
  const draw = (lines: readonly string[]) => {
    erase()
    put(lines)
    drawn = lines.length
  }
  if (live) output.write(HIDE_CURSOR)
  return {
    print(lines) {
      // What was drawn last stays above.
      drawn = 0
      put(lines)
    },
    show(model, elapsedMs, nowMs) {
      if (live) draw(frame(model, elapsedMs, nowMs, { width: (output.columns ?? DEFAULT_COLUMNS) - 1, color }))
      else put(changes(last, model, elapsedMs))
      last = model
    },
    note(text) {
      erase()
      put([`        ${text}`])
    },
    close() {
      if (live) output.write(SHOW_CURSOR)
    },
  }
}
