import type { Json } from '../../base/json.ts'
import type { Registry } from './registry.ts'

/** `/openapi/v3` and `/openapi/v3/<path>`; undefined when the path is none of these. */
export function openapi(_registry: Registry, _path: string, _accept: string | undefined): Json | undefined {
  return undefined
}
