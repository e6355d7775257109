import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { decodePlan } from '../../src/api/decode-plan.ts'
import type { Plan } from '../../src/api/plan.ts'
import { type Json, type JsonObject, parseJson } from '../../src/base/json.ts'
import type { JobSettings } from '../../src/base/settings.ts'
import type { JobInput } from '../../src/rollout/job-input.ts'

export const HASH = '7c9e6679f0a1b2c3d4e5f60718293a4b5c6d7e8f9001122334455667'

export const JOB_SETTINGS: JobSettings = {
  activeDeadlineSeconds: 600,
  activeDeadlineSecondsMax: 0,
  backoffLimit: 2,
  kubectlImage: 'rancher/kubectl:v1.30.3',
  kubectlImageWindows: '',
  privileged: true,
  imagePullPolicy: 'IfNotPresent',
  ttlSecondsAfterFinish: 900,
  podReplacementPolicy: 'TerminatingOrFailed',
}

/** A decoded Plan with this spec; `rest` replaces metadata and status fields. */
export function planWith(spec: JsonObject = {}, rest: { metadata?: JsonObject; status?: JsonObject } = {}): Plan {
  return decode({
    metadata: { name: 'server-plan', namespace: 'system-upgrade', uid: 'plan-uid', ...rest.metadata },
    spec: { concurrency: 1, nodeSelector: {}, upgrade: { image: 'rancher/rke2-upgrade' }, version: 'v1.33.4+rke2r1', ...spec },
    status: { latestVersion: 'v1.33.4-rke2r1', latestHash: HASH, ...rest.status },
  })
}

export function decode(raw: Json): Plan {
  const decoded = decodePlan(raw)
  if (!decoded.ok) throw new Error(decoded.error)
  return decoded.plan
}

export function jobInput(plan: Plan, node: Partial<JobInput['node']> = {}): JobInput {
  return {
    plan,
    latestVersion: plan.status.latestVersion,
    latestHash: plan.status.latestHash,
    node: { name: 'node-1', labels: { 'kubernetes.io/hostname': 'node-1' }, ...node },
    settings: { name: 'system-upgrade-controller', job: JOB_SETTINGS },
  }
}

/** The cases of a golden file. */
export function golden(name: string): readonly JsonObject[] {
  const lines = readFileSync(new URL(`../vectors/suc/${name}.jsonl`, import.meta.url), 'utf8')
    .trim()
    .split('\n')
  return lines.map((line) => parseJson(line) as JsonObject)
}

/** As much of a node as SUC's choice looks at. */
export const labelledNode = (name: string, labels: Readonly<Record<string, string>> = {}) => ({
  name,
  uid: `uid-${name}`,
  labels: { 'kubernetes.io/hostname': name, ...labels } as Readonly<Record<string, string>>,
})

export const labelledNodes = fc
  .uniqueArray(fc.integer({ min: 0, max: 60 }), { maxLength: 30 })
  .map((numbers) => numbers.map((number) => labelledNode(`node-${String(number).padStart(2, '0')}`)))
