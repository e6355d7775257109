import type { Program } from '../sandbox/programs/program.ts'
import { BATCH } from './batches.ts'
import { OS_PATCH, REBOOT } from './plans.ts'

/** What the images of scenario Plans do that are no Kubernetes upgrades, and those of batch Jobs. */
export function registerPrograms(programs: Map<string, Program>): void {
  const rebooted = new WeakMap<object, string>()
  programs.set(OS_PATCH, async (_pod, machine, io) => {
    await io.clock.sleep(2_000 + io.random() * 20_000, io.killed)
    if (machine.trouble.programFailures > 0) {
      machine.trouble.programFailures -= 1
      io.log('patch failed')
      return 1
    }
    io.log('patched')
    return 0
  })
  programs.set(BATCH, async (_pod, _machine, io) => {
    await io.clock.sleep(40_000 + io.random() * 260_000, io.killed)
    return 0
  })
  programs.set(REBOOT, async (_pod, machine, io) => {
    await io.clock.sleep(1_000, io.killed)
    // The second pod finds the marker that the first one left, as examples/reboot.yaml does.
    if (rebooted.get(machine) === io.env['SYSTEM_UPGRADE_PLAN_LATEST_HASH']) return 0
    rebooted.set(machine, io.env['SYSTEM_UPGRADE_PLAN_LATEST_HASH'] ?? '')
    machine.reboot()
    await io.clock.sleep(600_000, io.killed)
    return 1
  })
}
