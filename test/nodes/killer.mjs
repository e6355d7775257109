// Loaded into the payload (NODE_OPTIONS=--import): kills it with SIGKILL just before its KILL_AT-th change of the folder FOLDER or of what is in
// it, signals to other processes included. KILL_AT=0 only counts. Each change is written to COUNT_FILE before it is made.
import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'

const { FOLDER: folder = '', KILL_AT = '0', COUNT_FILE: log = '' } = process.env
const append = fs.appendFileSync
let changes = 0

function about(place) {
  if (typeof place === 'string') return place
  try {
    return fs.readlinkSync(`/proc/self/fd/${place}`)
  } catch {
    return ''
  }
}

function change(name, place) {
  const path = about(place)
  if (!path.startsWith(folder)) return
  changes += 1
  append(log, `${changes} ${name} ${path}\n`)
  if (changes === Number(KILL_AT)) kill(process.pid, 'SIGKILL')
}

const kill = process.kill.bind(process)
process.kill = (pid, signal) => {
  // Also before each signal that ends a process of the service.
  if (signal !== 0 && pid !== process.pid) change('kill', folder)
  return kill(pid, signal)
}

const writes = (flags) => typeof flags === 'string' && /[wa+]/.test(flags)
for (const name of ['open', 'openSync']) {
  const original = fs[name]
  fs[name] = (path, flags, ...rest) => {
    if (writes(flags)) change(name, path)
    return original(path, flags, ...rest)
  }
}
for (const name of ['write', 'writev', 'writeSync', 'fsync', 'fsyncSync', 'renameSync', 'linkSync', 'rmSync', 'chmodSync']) {
  const original = fs[name]
  fs[name] = (place, ...rest) => {
    change(name, place)
    return original(place, ...rest)
  }
}
syncBuiltinESMExports()
