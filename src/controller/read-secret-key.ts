/** Reads one value of a Secret that a policy names. */
import type { Secret } from 'kubernetes-types/core/v1.d.ts'
import type { SecretKey } from '../api/gate.ts'
import type { Client, ReadOptions } from '../kube/client/client.ts'

/**
 * Decoded; undefined = the Secret has no such key.
 * @throws ApiError or TransportError
 */
export async function readSecretKey(
  client: Client,
  namespace: string,
  { name, key }: SecretKey,
  options: ReadOptions,
): Promise<string | undefined> {
  const secret = await client.get<Secret>(`/api/v1/namespaces/${namespace}/secrets/${encodeURIComponent(name)}`, options)
  const encoded = secret.data?.[key]
  return encoded === undefined ? undefined : Buffer.from(encoded, 'base64').toString('utf8')
}
