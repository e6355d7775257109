import type { Command } from './args.ts'

/** What `drover` does without a command. */
export const CONTROLLER: Command = {
  about: 'the controller, for a cluster; its flags and variables are in docs/settings.md',
  load: () => import('./controller.ts'),
}

export const COMMANDS: ReadonlyMap<string, Command> = new Map([
  ['explain', { about: 'why a node, or a Plan, is where it is', load: () => import('./explain.ts') }],
  ['release', { about: 'give back every slot and cordon, before uninstalling', load: () => import('./release.ts') }],
  ['demo', { about: 'upgrade a cluster in memory before your eyes', load: () => import('./demo.ts') }],
  ['sandbox', { about: 'serve a cluster in memory for kubectl', load: () => import('./sandbox.ts') }],
  ['payload', { about: 'upgrade the machine this runs on: the program of our own upgrade images', load: () => import('./payload.ts') }],
  ['simulate', { about: 'try the controller in random clusters with faults', load: () => import('./simulate.ts') }],
])
