/** kured's DaemonSet, where its lock is an annotation: read, and written as it was read. */
import type { DaemonSet } from 'kubernetes-types/apps/v1.d.ts'
import { ANNOTATION_KURED, FIELD_MANAGER } from '../api/names.ts'
import { isNotFound } from '../kube/client/api-error.ts'
import type { Client } from '../kube/client/client.ts'
import { KURED } from '../rollout/kured.ts'
import type { KuredView } from '../rollout/world.ts'

const PATH = `/apis/apps/v1/namespaces/${KURED.namespace}/daemonsets/${KURED.name}`

/** Null = there is no kured where it is looked for. */
export async function readKured(client: Client): Promise<KuredView | null> {
  try {
    return viewOf(await client.get<DaemonSet>(PATH))
  } catch (error) {
    if (isNotFound(error)) return null
    throw error
  }
}

/** Fails with a conflict when the DaemonSet has changed since it was read. */
export async function writeKured(
  client: Client,
  { uid, resourceVersion, value }: { readonly uid: string; readonly resourceVersion: string; readonly value: string | null },
  timeoutMs: number,
): Promise<KuredView> {
  const patch = { metadata: { uid, resourceVersion, annotations: { [ANNOTATION_KURED]: value } } }
  return viewOf(await client.mergePatch<DaemonSet>(PATH, patch, { fieldManager: FIELD_MANAGER, timeoutMs }))
}

function viewOf({ metadata, spec }: DaemonSet): KuredView {
  return {
    uid: metadata?.uid ?? '',
    resourceVersion: metadata?.resourceVersion ?? '',
    lock: metadata?.annotations?.[ANNOTATION_KURED],
    owners: ownersOf(
      spec?.template.spec?.containers.flatMap(({ command, args, env }) => [
        ...(command ?? []),
        ...(args ?? []),
        ...(env ?? []).map(({ name, value }) => (name === 'KURED_CONCURRENCY' ? `--concurrency=${value ?? ''}` : '')),
      ]) ?? [],
    ),
  }
}

/** kured's flag `--concurrency`; 1 without it. */
function ownersOf(words: readonly string[]): number {
  for (const [index, word] of words.entries()) {
    const text = /^--?concurrency=(.*)$/.exec(word)?.[1] ?? (/^--?concurrency$/.test(word) ? words[index + 1] : undefined)
    if (text !== undefined && /^[1-9][0-9]{0,4}$/.test(text)) return Number(text)
  }
  return 1
}
