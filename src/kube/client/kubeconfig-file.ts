/** What kubeconfig files say of the cluster and the user of their current context. */
import { readFileSync } from 'node:fs'
import { dirname, isAbsolute, join } from 'node:path'
import { parse } from 'yaml'
import * as z from 'zod'
import { DroverError, messageOf } from '../../base/errors.ts'
import { explain } from '../../base/explain-faults.ts'
import { isObject, type JsonObject } from '../../base/json.ts'

/** An empty text and a null are as good as nothing. */
const text = z
  .string({ error: 'must be text; a number needs quotes' })
  .nullish()
  .transform((value) => value || undefined)
const flag = z.boolean({ error: 'must be true or false' }).nullish()

const clusterFields = z.object({
  server: z.url({ protocol: /^https?$/, error: 'must be the URL of an API server' }),
  'certificate-authority': text,
  'certificate-authority-data': text,
  'insecure-skip-tls-verify': flag,
  'tls-server-name': text,
  'proxy-url': text,
})
const userFields = z.object({
  token: text,
  tokenFile: text,
  username: text,
  password: text,
  'client-certificate': text,
  'client-certificate-data': text,
  'client-key': text,
  'client-key-data': text,
  as: text,
  'as-uid': text,
  exec: z.looseObject({ command: z.string({ error: 'must be a program' }).min(1, { error: 'must be a program' }) }).nullish(),
  'auth-provider': z.looseObject({ name: z.string({ error: 'must be the name of a provider' }) }).nullish(),
})
const contextFields = z.object({ cluster: text, user: text, namespace: text })

/** Entries that nothing points at are nobody's business, as with kubectl. */
const entries = z.array(z.looseObject({ name: z.string() }), { error: 'must be a list of entries with names' }).nullish()
const document = z.object({ 'current-context': text, clusters: entries, contexts: entries, users: entries })

export type KubeconfigCluster = z.output<typeof clusterFields>
export type KubeconfigUser = z.output<typeof userFields> & { readonly name: string }

export interface CurrentContext {
  readonly cluster: KubeconfigCluster
  /** Undefined: the context names none, requests are anonymous. */
  readonly user: KubeconfigUser | undefined
  readonly namespace: string | undefined
}

interface Source {
  readonly file: string
  readonly said: z.output<typeof document>
}

/**
 * The current context of the files together: the first file to say something wins, and paths stand relative to their own file, both as with
 * kubectl. Throws a DroverError `Kubeconfig` that names file and field.
 */
export function readKubeconfig(files: readonly string[]): CurrentContext {
  const sources = files.map((file): Source => ({ file, said: decoded(file, document, yamlOf(file), '') }))
  const named = files.join(', ')
  const current = sources.map(({ said }) => said['current-context']).find((name) => name !== undefined)
  if (current === undefined) throw refusal(named, 'current-context: is not set; choose one with `kubectl config use-context`')
  const context = find(sources, 'contexts', 'context', current, contextFields)
  if (context === undefined) throw refusal(named, `current-context ${JSON.stringify(current)} is not among the contexts`)
  const { cluster: clusterName, user: userName, namespace } = context.value
  if (clusterName === undefined) throw refusal(context.file, `context ${JSON.stringify(current)} names no cluster`)
  const cluster = find(sources, 'clusters', 'cluster', clusterName, clusterFields)
  if (cluster === undefined) throw refusal(named, `context ${JSON.stringify(current)}: there is no cluster ${JSON.stringify(clusterName)}`)
  const user = userName === undefined ? undefined : find(sources, 'users', 'user', userName, userFields)
  if (userName !== undefined && user === undefined) {
    throw refusal(named, `context ${JSON.stringify(current)}: there is no user ${JSON.stringify(userName)}`)
  }
  return {
    cluster: withPaths(cluster, ['certificate-authority']),
    user: user === undefined || userName === undefined ? undefined : { ...withCommand(user), name: userName },
    namespace,
  }
}

interface Found<T> {
  readonly value: T
  readonly file: string
}

function find<T>(
  sources: readonly Source[],
  list: 'clusters' | 'contexts' | 'users',
  field: string,
  name: string,
  fields: z.ZodType<T>,
): Found<T> | undefined {
  for (const { file, said } of sources) {
    const at = said[list]?.findIndex((entry) => entry.name === name) ?? -1
    // A user without a word of credentials is written as null.
    if (at >= 0) return { file, value: decoded(file, fields, said[list]?.[at]?.[field] ?? {}, `${list}[${at}].${field}`) }
  }
  return undefined
}

function withPaths<T extends object>({ value, file }: Found<T>, fields: readonly (keyof T)[]): T {
  const absolute = fields.flatMap((field) => {
    const path = value[field]
    return typeof path === 'string' ? [[field, beside(file, path)]] : []
  })
  return { ...value, ...Object.fromEntries(absolute) }
}

function withCommand(found: Found<z.output<typeof userFields>>): z.output<typeof userFields> {
  const user = withPaths(found, ['tokenFile', 'client-certificate', 'client-key'])
  // A bare word is looked up on the PATH.
  if (!user.exec?.command.includes('/')) return user
  return { ...user, exec: { ...user.exec, command: beside(found.file, user.exec.command) } }
}

const beside = (file: string, path: string): string => (isAbsolute(path) ? path : join(dirname(file), path))

function yamlOf(file: string): JsonObject {
  let read: unknown
  try {
    // An empty file says nothing, which is not an error.
    read = parse(readFileSync(file, 'utf8')) ?? {}
  } catch (error) {
    throw refusal(file, messageOf(error), error)
  }
  if (!isObject(read)) throw refusal(file, 'is no kubeconfig')
  return read
}

function decoded<T>(file: string, schema: z.ZodType<T>, value: unknown, root: string): T {
  const result = schema.safeParse(value)
  if (result.success) return result.data
  throw refusal(file, explain(result.error, root))
}

function refusal(where: string, message: string, cause?: unknown): DroverError {
  return new DroverError('Kubeconfig', `${where}: ${message}`, { retry: 'never', cause })
}
