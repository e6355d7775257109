/** The mark on our Jobs and their pods (`drover.io/attempt`): which attempt at which run of the Plan they are. */
export interface Attempt {
  readonly planUID: string
  /** Counts from 1 for a node and a hash. */
  readonly attempt: number
  /** Value of `drover.io/retry` that was in force; empty if there was none. May contain slashes. */
  readonly retry: string
}

/** The first on any node, nobody having asked for it. */
export const firstAttempt = (planUID: string): Attempt => ({ planUID, attempt: 1, retry: '' })

export function attemptMark({ planUID, attempt, retry }: Attempt): string {
  return `${planUID}/${attempt}/${retry}`
}

/** Undefined where there is no such mark: the Job is not ours. */
export function parseAttemptMark(text: string | undefined): Attempt | undefined {
  const match = /^([^/]*)\/([1-9]\d{0,8})\/(.*)$/s.exec(text ?? '')
  if (match === null) return undefined
  const [, planUID = '', attempt, retry = ''] = match
  return { planUID, attempt: Number(attempt), retry }
}
