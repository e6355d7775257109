import { kubectlProgram } from './kubectl.ts'
import type { Program } from './program.ts'
import { scriptProgram } from './script.ts'
import { upgradeProgram } from './upgrade.ts'

/** The programs that every sandbox knows, by image repository. */
export function standardPrograms(): Map<string, Program> {
  return new Map<string, Program>([
    ['rancher/rke2-upgrade', upgradeProgram('rke2')],
    ['rancher/k3s-upgrade', upgradeProgram('k3s')],
    ['rancher/kubectl', kubectlProgram],
    ['rancher/kuberlr-kubectl', kubectlProgram],
    ['registry.suse.com/bci/bci-base', scriptProgram],
    ['alpine', scriptProgram],
    ['busybox', scriptProgram],
    ['ubuntu', scriptProgram],
  ])
}
