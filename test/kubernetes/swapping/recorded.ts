/** What the real SUC wrote; see the README beside this file. */
import { readFileSync } from 'node:fs'
import type { Job } from 'kubernetes-types/batch/v1.d.ts'
import type { Plan } from '../cluster.ts'

export type Moment = 'rollout' | 'wedged' | 'complete' | 'failed' | 'paused'

export interface Recorded {
  readonly plan: Plan & { readonly spec: { readonly version: string } }
  readonly jobs: readonly Job[]
  readonly nodes: readonly {
    readonly name: string
    readonly version: string
    readonly labels: Readonly<Record<string, string>>
    readonly unschedulable: boolean
  }[]
}

export function recorded(moment: Moment): Recorded {
  return JSON.parse(readFileSync(new URL(`./${moment}.json`, import.meta.url), 'utf8')) as Recorded
}
