/** Where the API server keeps objects of a kind: asked for once, remembered for a while. */
import { isObject } from '../../base/json.ts'
import { DroverError } from '../../base/errors.ts'
import type { Clock } from '../../base/clock.ts'
import { isNotFound } from './api-error.ts'
import type { Client, ReadOptions } from './client.ts'

/** Definitions come and go, but seldom. */
const MAX_AGE_MS = 600_000
/** Groups remembered at once. */
const MAX_GROUPS = 64

export interface ResourceKind {
  /** Such as `/apis/apps/v1`. */
  readonly prefix: string
  readonly plural: string
  readonly namespaced: boolean
}

export interface Discovery {
  /** @throws DroverError `UnknownKind` when the API server does not know the kind; ApiError and TransportError when it cannot be asked */
  find(apiVersion: string, kind: string, options?: ReadOptions): Promise<ResourceKind>
}

export function createDiscovery(client: Client, clock: Clock): Discovery {
  const groups = new Map<string, { readonly at: number; readonly kinds: Promise<ReadonlyMap<string, ResourceKind>> }>()

  function kindsOf(apiVersion: string, options: ReadOptions): Promise<ReadonlyMap<string, ResourceKind>> {
    const known = groups.get(apiVersion)
    if (known !== undefined && clock.mono() - known.at < MAX_AGE_MS) return known.kinds
    const kinds = read(client, apiVersion, options)
    if (groups.size >= MAX_GROUPS) groups.clear()
    groups.set(apiVersion, { at: clock.mono(), kinds })
    // What could not be read is asked for again.
    kinds.catch(() => {
      if (groups.get(apiVersion)?.kinds === kinds) groups.delete(apiVersion)
    })
    return kinds
  }

  return {
    async find(apiVersion, kind, options = {}) {
      const found = (await kindsOf(apiVersion, options)).get(kind)
      if (found !== undefined) return found
      // It may be defined any moment.
      groups.delete(apiVersion)
      throw unknown(apiVersion, kind)
    },
  }

  async function read(from: Client, apiVersion: string, options: ReadOptions): Promise<ReadonlyMap<string, ResourceKind>> {
    const prefix = apiVersion.includes('/') ? `/apis/${apiVersion}` : `/api/${apiVersion}`
    try {
      return kindsIn((await from.get(prefix, options))['resources'], prefix)
    } catch (error) {
      if (isNotFound(error)) return new Map()
      throw error
    }
  }
}

/** Of an APIResourceList; subresources are left out. */
function kindsIn(resources: unknown, prefix: string): ReadonlyMap<string, ResourceKind> {
  const kinds = new Map<string, ResourceKind>()
  for (const entry of Array.isArray(resources) ? (resources as readonly unknown[]) : []) {
    if (!isObject(entry)) continue
    const { name, kind, namespaced } = entry
    if (typeof name !== 'string' || typeof kind !== 'string' || name.includes('/')) continue
    kinds.set(kind, { prefix, plural: name, namespaced: namespaced === true })
  }
  return kinds
}

const unknown = (apiVersion: string, kind: string): DroverError =>
  new DroverError('UnknownKind', `the API server does not know ${kind} of ${apiVersion}`, { retry: 'backoff' })
