import type { ConfigMap, Container, Pod, Secret, Volume, VolumeMount } from 'kubernetes-types/core/v1.d.ts'
import type { Client } from '../client.ts'
import { CONFIG_MAPS, SECRETS, type Stored } from '../kinds.ts'

/** What the kubelet could not make out of the pod: the container waits with this reason. */
export class ConfigError extends Error {}

type Values = Readonly<Record<string, string>>

/** The container's environment: envFrom, then env, later entries over earlier ones. */
export async function resolveEnv(client: Client, pod: Stored<Pod>, container: Container): Promise<Values> {
  const env: Record<string, string> = {}
  for (const from of container.envFrom ?? []) {
    const ref = from.secretRef ?? from.configMapRef
    if (ref?.name === undefined) continue
    const values = await valuesOf(client, pod, from.secretRef === undefined ? 'configmap' : 'secret', ref.name, ref.optional === true)
    for (const [key, value] of Object.entries(values ?? {})) env[`${from.prefix ?? ''}${key}`] = value
  }
  for (const { name, value, valueFrom } of container.env ?? []) {
    if (valueFrom?.fieldRef !== undefined) env[name] = fieldOf(pod, valueFrom.fieldRef.fieldPath)
    else if (valueFrom?.secretKeyRef !== undefined || valueFrom?.configMapKeyRef !== undefined) {
      const ref = valueFrom.secretKeyRef ?? valueFrom.configMapKeyRef
      const values = await valuesOf(
        client,
        pod,
        valueFrom.secretKeyRef === undefined ? 'configmap' : 'secret',
        ref?.name ?? '',
        ref?.optional === true,
      )
      const found = values?.[ref?.key ?? '']
      if (found !== undefined) env[name] = found
      else if (ref?.optional !== true)
        throw new ConfigError(`couldn't find key ${ref?.key ?? ''} in ${pod.metadata.namespace ?? ''}/${ref?.name ?? ''}`)
    } else env[name] = expand(value ?? '', env)
  }
  return env
}

/** Kubernetes' `$(NAME)`: `$$` is a dollar, unknown names stay as written. */
export function expand(text: string, env: Values): string {
  return text.replace(/\$\$|\$\(([A-Za-z_.-][\w.-]*)\)/g, (all, name: string | undefined) =>
    name === undefined ? '$' : (env[name] ?? all),
  )
}

/** Throws when a Secret or ConfigMap that a volume needs is missing: the pod stays in ContainerCreating. */
export async function checkVolumes(client: Client, pod: Stored<Pod>): Promise<void> {
  for (const volume of pod.spec?.volumes ?? []) {
    const source = fileSource(volume)
    if (source !== undefined) await valuesOf(client, pod, source.kind, source.name, source.optional)
  }
}

/** The text of a file in a volume that the container mounts, or undefined. */
export async function readMounted(client: Client, pod: Stored<Pod>, container: Container, path: string): Promise<string | undefined> {
  const mount = container.volumeMounts?.filter((one) => path.startsWith(`${one.mountPath}/`)).sort(longestFirst)[0]
  const volume = pod.spec?.volumes?.find(({ name }) => name === mount?.name)
  if (mount === undefined || volume === undefined) return undefined
  const file = path.slice(mount.mountPath.length + 1)
  const field = volume.downwardAPI?.items?.find((item) => item.path === file)?.fieldRef?.fieldPath
  if (field !== undefined) return fieldOf(pod, field)
  const source = fileSource(volume)
  if (source === undefined) return undefined
  return (await valuesOf(client, pod, source.kind, source.name, true))?.[file]
}

function longestFirst(a: VolumeMount, b: VolumeMount): number {
  return b.mountPath.length - a.mountPath.length
}

function fileSource(
  volume: Volume,
): { readonly kind: 'secret' | 'configmap'; readonly name: string; readonly optional: boolean } | undefined {
  if (volume.secret?.secretName !== undefined)
    return { kind: 'secret', name: volume.secret.secretName, optional: volume.secret.optional === true }
  if (volume.configMap?.name !== undefined)
    return { kind: 'configmap', name: volume.configMap.name, optional: volume.configMap.optional === true }
  return undefined
}

async function valuesOf(
  client: Client,
  pod: Stored<Pod>,
  kind: 'secret' | 'configmap',
  name: string,
  optional: boolean,
): Promise<Values | undefined> {
  const { namespace } = pod.metadata
  if (kind === 'secret') {
    const secret = await client.get<Secret>(SECRETS, namespace, name)
    if (secret !== undefined)
      return Object.fromEntries(
        Object.entries(secret.data ?? {}).map(([key, value]) => [key, Buffer.from(value, 'base64').toString('utf8')]),
      )
  } else {
    const map = await client.get<ConfigMap>(CONFIG_MAPS, namespace, name)
    if (map !== undefined) return map.data ?? {}
  }
  if (optional) return undefined
  throw new ConfigError(`${kind} "${name}" not found`)
}

function fieldOf(pod: Stored<Pod>, path: string): string {
  const { metadata } = pod
  const keyed = /^metadata\.(labels|annotations)(?:\['(.+)'\])?$/.exec(path)
  if (keyed !== null) {
    const values = (keyed[1] === 'labels' ? metadata.labels : metadata.annotations) ?? {}
    if (keyed[2] !== undefined) return values[keyed[2]] ?? ''
    return Object.entries(values)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, value]) => `${key}=${JSON.stringify(value)}`)
      .join('\n')
  }
  switch (path) {
    case 'metadata.name':
      return metadata.name
    case 'metadata.namespace':
      return metadata.namespace ?? ''
    case 'metadata.uid':
      return metadata.uid
    case 'spec.nodeName':
      return pod.spec?.nodeName ?? ''
    case 'spec.serviceAccountName':
      return pod.spec?.serviceAccountName ?? 'default'
    case 'status.hostIP':
    case 'status.podIP':
      return '10.0.0.1'
    default:
      throw new ConfigError(`field ${path} is not supported`)
  }
}
