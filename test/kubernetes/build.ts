/** Builds the Kubernetes programs for the tests, or says in one line what is missing. A cluster that is given needs none of them but kubectl. */
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { buildKube, kubeBinary, kubernetesVersion } from './binary.ts'
import { GIVEN, kubectlCommand } from './given.ts'

const say = (text: string): void => void process.stderr.write(`${text}\n`)

if (GIVEN === undefined && !existsSync(kubeBinary())) {
  const go = /go(\d+)\.(\d+)/.exec(spawnSync('go', ['version'], { encoding: 'utf8' }).stdout ?? '')
  if (go === null || Number(go[1]) < 1 || Number(go[2]) < 26) {
    say(`Kubernetes ${kubernetesVersion()} is built from its Go modules for these tests: Go 1.26 or newer must be on the PATH`)
    process.exit(1)
  }
}
if (spawnSync('openssl', ['version'], { stdio: 'ignore' }).status !== 0) {
  say('these tests need openssl on the PATH, and it is not there')
  process.exit(1)
}
try {
  if (GIVEN === undefined) await buildKube(say)
  else kubectlCommand()
} catch (error) {
  say(`${GIVEN === undefined ? 'Kubernetes could not be built: ' : ''}${error instanceof Error ? error.message : String(error)}`)
  process.exit(1)
}
