/** Gates and hooks of a RolloutPolicy as decoded: what has to be so outside of Drover before a rollout goes on. Durations are milliseconds. */
import type { LabelSelector } from 'kubernetes-types/meta/v1.d.ts'
import type { JsonPath } from '../kube/objects/json-path.ts'

/**
 * PlanStart: before the first node of a hash. NodeStart: before each node. NodeEnd: when a node is proven, before it is uncordoned and done.
 * WaveEnd: when a wave has soaked, before it is approved and the next begins.
 */
export type GatePosition = 'PlanStart' | 'NodeStart' | 'NodeEnd' | 'WaveEnd'

export interface GateSpec {
  readonly name: string
  readonly at: readonly GatePosition[]
  readonly check: GateCheck
  /** How long it must have been met without a break. Default 0. */
  readonly stableForMs: number
  /** How long it may hold, counted from when it first does. Missing: for ever. */
  readonly timeoutMs?: number
  /**
   * Pause: it goes on holding, as something that a person should see to. Fail: at NodeEnd the node fails, elsewhere the Plan stops until
   * drover.io/retry. Continue: it is passed over. Default Pause.
   */
  readonly onTimeout: 'Pause' | 'Fail' | 'Continue'
}

export type GateCheck = ObjectCheck | PrometheusCheck | PodsAbsentCheck

/** Objects of any kind: the named one, or all that the selector matches, must be as expected. */
export interface ObjectCheck {
  readonly kind: 'object'
  readonly apiVersion: string
  readonly of: string
  /** Missing: the object is of no namespace, or the selector means all of them. */
  readonly namespace?: string
  readonly name?: string
  readonly selector?: LabelSelector
  /** All must hold. At least one. */
  readonly expect: readonly Expectation[]
}

export type Expectation =
  | { readonly kind: 'condition'; readonly type: string; readonly status: string }
  | {
      readonly kind: 'path'
      readonly path: JsonPath
      readonly operator: Operator
      /** One for the operators that compare, any number for `in` and `notIn`, none for `exists` and `absent`. */
      readonly values: readonly string[]
    }

export const COMPARISONS = ['eq', 'ne', 'gt', 'ge', 'lt', 'le'] as const
export const OPERATORS = [...COMPARISONS, 'in', 'notIn', 'exists', 'absent'] as const
export type Comparison = (typeof COMPARISONS)[number]
export type Operator = (typeof OPERATORS)[number]

/** Every sample of an instant vector, or the scalar, must compare as expected. */
export interface PrometheusCheck {
  readonly kind: 'prometheus'
  /** Without the `/api/v1/query`. */
  readonly url: string
  readonly query: string
  readonly expect: { readonly operator: Comparison; readonly value: number }
  /** What an answer without a sample means. Default Hold. */
  readonly emptyIs: 'Pass' | 'Hold'
  /** PEM, believed beside the controller's own authorities. */
  readonly caBundle?: string
  readonly caSecretRef?: SecretKey
  readonly tokenSecretRef?: SecretKey
}

/** A key of a Secret of the policy's namespace. */
export interface SecretKey {
  readonly name: string
  readonly key: string
}

/** No pod that the selector matches may be there and not have ended. */
export interface PodsAbsentCheck {
  readonly kind: 'podsAbsent'
  /** Missing: in all namespaces. */
  readonly namespace?: string
  readonly selector: LabelSelector
  /** Only those on the node that is to be taken, or has been upgraded. Default false. */
  readonly onNode: boolean
}

export interface HooksSpec {
  /** Asked for when a node has been claimed, before it is prepared or cordoned. */
  readonly before: readonly HookSpec[]
  /** Asked for when a node is proven, before it is uncordoned and done. */
  readonly after: readonly HookSpec[]
}

/** Somebody outside acknowledges a node by writing the request's token into an annotation of it. */
export interface HookSpec {
  readonly name: string
  readonly ackAnnotation: string
  /** From then on a person is asked for. Missing: never. */
  readonly timeoutMs?: number
}
