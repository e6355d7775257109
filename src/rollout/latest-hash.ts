/** The hash that says what a Plan would do: SUC's latestHash, label value of every node that is done. */
import { createHash } from 'node:crypto'
import type { Secret } from 'kubernetes-types/core/v1.d.ts'
import { ANNOTATION_DIGEST } from '../api/names.ts'
import type { Plan } from '../api/plan.ts'
import { digestParts } from './digest.ts'
import { secretHash } from './secret-hash.ts'

export interface HashInput {
  readonly plan: Plan
  /** As in `status.latestVersion`, already munged. */
  readonly latestVersion: string
  /** The Secrets that the Plan names, by name, from its namespace. Those marked `ignoreUpdates` are not looked at. */
  readonly secrets: ReadonlyMap<string, Secret>
}

export type HashResult =
  | { readonly ok: true; readonly hash: string; readonly digestParts: readonly string[]; readonly secretHashes: readonly string[] }
  | { readonly ok: false; readonly error: string }

/**
 * SHA-224 over version, service account, digest values and Secret hashes, joined without separators.
 * While the version cannot be resolved (reason `Error`, whatever the condition's status) the old hash stays.
 * The error names the first Secret that is missing, in the API server's words.
 */
export function latestHash({ plan, latestVersion, secrets }: HashInput): HashResult {
  if (plan.status.conditions.find(({ type }) => type === 'LatestResolved')?.reason === 'Error') {
    return { ok: true, hash: plan.status.latestHash, digestParts: [], secretHashes: [] }
  }
  const parts = partsOf(plan, latestVersion)
  // A hash without its digest would start finished nodes anew.
  if (parts === undefined) return { ok: false, error: `the fields that ${ANNOTATION_DIGEST} names were not kept` }
  const secretHashes: string[] = []
  for (const { name, ignoreUpdates } of plan.spec.secrets ?? []) {
    if (ignoreUpdates) continue
    const secret = secrets.get(name)
    if (secret === undefined) return { ok: false, error: `secrets "${name}" not found` }
    secretHashes.push(secretHash(secret))
  }
  const hash = createHash('sha224')
  for (const text of [latestVersion, plan.spec.serviceAccountName ?? '', ...parts, ...secretHashes]) hash.update(text, 'utf8')
  return { ok: true, hash: hash.digest('hex'), digestParts: parts, secretHashes }
}

/** Undefined for a Plan with the annotation that did not come from decodePlan. */
function partsOf(plan: Plan, latestVersion: string): string[] | undefined {
  const paths = plan.metadata.annotations[ANNOTATION_DIGEST] ?? ''
  if (paths === '') return []
  if (plan.encoded === undefined) return undefined
  // SUC prints the Plan with the version that it has just resolved.
  const status = { ...(plan.encoded['status'] as object | undefined), ...(latestVersion === '' ? {} : { latestVersion }) }
  return digestParts({ ...plan.encoded, status }, paths)
}
