/**
 * What tools that wait for a Plan make of its status: kstatus, by which Flux goes and which health checks for Argo CD follow, and Fleet, which
 * looks at reasons and types of conditions first.
 */
export interface Waited {
  readonly generation: number
  readonly status: {
    readonly observedGeneration?: number
    readonly conditions?: readonly { readonly type: string; readonly status: string; readonly reason?: string }[]
  }
}

const is = ({ status }: Waited, type: string, value: string): boolean =>
  (status.conditions ?? []).some((condition) => condition.type === type && condition.status === value)

/** sigs.k8s.io/cli-utils: the generation, then Reconciling, then Stalled, then Ready. */
export function kstatusOf(object: Waited): 'InProgress' | 'Failed' | 'Current' {
  const { observedGeneration } = object.status
  if (observedGeneration !== undefined && observedGeneration !== object.generation) return 'InProgress'
  if (is(object, 'Reconciling', 'True')) return 'InProgress'
  if (is(object, 'Stalled', 'True')) return 'Failed'
  return is(object, 'Ready', 'False') || is(object, 'Ready', 'Unknown') ? 'InProgress' : 'Current'
}

/** Types of conditions of which Fleet takes False for an error and Unknown for being under way; those that a Plan might be given. */
const FALSE_IS_ERROR = new Set([
  'Active',
  'Built',
  'Created',
  'Deployed',
  'Drained',
  'Initialized',
  'Installed',
  'Pending',
  'Processed',
  'Provisioned',
  'Reconciled',
  'Registered',
  'Updated',
  'Upgraded',
  'Waiting',
])
/** And those of which it takes False for being under way, Unknown for an error. */
const FALSE_IS_TRANSITION = new Set(['Available', 'Completed', 'Ready'])

/** Fleet's agent, in the order in which it looks. */
export function fleetOf(object: Waited): 'error' | 'transitioning' | 'ready' {
  const conditions = object.status.conditions ?? []
  if (conditions.some(({ reason }) => reason === 'Error')) return 'error'
  if (is(object, 'Stalled', 'True') || is(object, 'Failed', 'True')) return 'error'
  for (const { type, status } of conditions) {
    if (FALSE_IS_ERROR.has(type) && status === 'False') return 'error'
    if (FALSE_IS_TRANSITION.has(type) && status === 'Unknown') return 'error'
  }
  for (const { type, status } of conditions) {
    if (FALSE_IS_ERROR.has(type) && status === 'Unknown') return 'transitioning'
    if (FALSE_IS_TRANSITION.has(type) && status === 'False') return 'transitioning'
  }
  const seen = kstatusOf(object)
  return seen === 'InProgress' ? 'transitioning' : seen === 'Failed' ? 'error' : 'ready'
}
