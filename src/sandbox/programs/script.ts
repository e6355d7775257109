import { pause } from '../timers.ts'
import type { Program, ProgramIo } from './program.ts'

/**
 * A small part of `sh`, enough for OS patch and reboot Plans: `sleep N`, `exit N`, `false`, `reboot`, `echo …`, `touch /run/reboot-required`
 * and `[ -f /run/reboot-required ]` before `&&` or `||`. Every other command succeeds. The text comes after `-c`, or from a script in a mounted volume;
 * `set -e` is taken as given.
 */
export const scriptProgram: Program = async (_pod, machine, io) => {
  const text = await scriptOf(io)
  for (const line of text.split(/[\n;]/)) {
    let skip = false
    // `a && b || c`, left to right, as the shell does.
    let last = 0
    for (const part of line.split(/(&&|\|\|)/)) {
      if (part === '&&' || part === '||') {
        skip = (part === '&&') === (last !== 0)
        continue
      }
      if (skip) continue
      const outcome = await command(part.trim())
      if (outcome.exits) return outcome.code
      last = outcome.code
    }
    // A failed test at the end of a list is no error under `set -e`; a failed command is.
    if (last !== 0 && !/[&|]/.test(line)) return last
  }
  return 0

  async function command(words: string): Promise<{ readonly code: number; readonly exits: boolean }> {
    const [name = '', ...rest] = words.split(/\s+/)
    const end = (code: number): { code: number; exits: true } => ({ code, exits: true })
    const ok = { code: 0, exits: false }
    if (io.killed.aborted) return end(143)
    if (/reboot-required/.test(words) && (name === '[' || name === 'test'))
      return { code: machine.trouble.rebootRequired ? 0 : 1, exits: false }
    switch (name) {
      case 'sleep':
        return (await pause(io.clock, Number(rest[0] ?? 0) * 1000, io.killed)) ? ok : end(143)
      case 'exit':
        return end(Number(rest[0] ?? 0))
      case 'false':
        return { code: 1, exits: false }
      case 'touch':
        if (/reboot-required/.test(words)) machine.trouble.rebootRequired = true
        return ok
      case 'reboot':
        io.log('rebooting')
        machine.reboot()
        return end(0)
      case 'echo':
        io.log(rest.join(' ').replace(/^(["'])(.*)\1$/, '$2'))
        return ok
      default:
        return ok
    }
  }
}

async function scriptOf(io: ProgramIo): Promise<string> {
  const { args } = io
  const inline = args.indexOf('-c')
  if (inline >= 0) return args[inline + 1] ?? ''
  for (const arg of args) {
    // `chroot /host sh /run/…/script.sh`: the volume may be mounted below /host as well.
    if (!arg.startsWith('/')) continue
    const text = (await io.read(arg)) ?? (await io.read(`/host${arg}`))
    if (text !== undefined) return text
  }
  return args.join(' ').replace(/^chroot \/host /, '')
}
