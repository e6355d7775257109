import type { ContainerState, ContainerStatus, Pod, PodCondition, PodStatus } from 'kubernetes-types/core/v1.d.ts'
import type { Stored } from '../kinds.ts'

/** A container as its kubelet sees it. */
export interface ContainerView {
  readonly name: string
  readonly image: string
  imageID: string
  containerID: string
  state: ContainerState
  lastState: ContainerState
  ready: boolean
  restartCount: number
}

export function newContainer(name: string, image: string, reason: string): ContainerView {
  return { name, image, imageID: '', containerID: '', state: { waiting: { reason } }, lastState: {}, ready: false, restartCount: 0 }
}

/** Takes up a container where an earlier status left it. */
export function containerFrom(status: ContainerStatus): ContainerView {
  return {
    name: status.name,
    image: status.image,
    imageID: status.imageID,
    containerID: status.containerID ?? '',
    state: status.state ?? {},
    lastState: status.lastState ?? {},
    ready: status.ready,
    restartCount: status.restartCount,
  }
}

/** What a pod's containers make of its phase. `initialised` = every init container has succeeded. */
export function phaseOf(
  pod: Pod,
  init: readonly ContainerView[],
  main: readonly ContainerView[],
): 'Pending' | 'Running' | 'Succeeded' | 'Failed' {
  const policy = pod.spec?.restartPolicy ?? 'Always'
  const failedInit = init.some(({ state }) => state.terminated !== undefined && state.terminated.exitCode !== 0)
  if (failedInit && policy === 'Never') return 'Failed'
  if (
    main.every(
      ({ state, lastState, restartCount }) => state.waiting !== undefined && restartCount === 0 && lastState.terminated === undefined,
    )
  )
    return 'Pending'
  if (policy === 'Always' || main.some(({ state }) => state.terminated === undefined)) {
    return main.some(({ state, restartCount }) => state.running !== undefined || state.terminated !== undefined || restartCount > 0)
      ? 'Running'
      : 'Pending'
  }
  const failed = main.some(({ state }) => state.terminated?.exitCode !== 0)
  if (failed && policy === 'OnFailure') return 'Running'
  return failed ? 'Failed' : 'Succeeded'
}

export interface StatusParts {
  readonly phase: string
  readonly init: readonly ContainerView[]
  readonly main: readonly ContainerView[]
  readonly startTime: string
  readonly hostIP: string
  readonly now: string
}

/** The pod's status as a kubelet writes it; conditions keep their transition times. */
export function podStatus(pod: Stored<Pod>, before: PodStatus | undefined, parts: StatusParts): PodStatus {
  const over = parts.phase === 'Succeeded' || parts.phase === 'Failed'
  const initialised =
    parts.init.every(({ state }) => state.terminated?.exitCode === 0) ||
    (parts.main.some(({ state }) => state.waiting === undefined) && parts.phase !== 'Pending')
  const ready = !over && parts.main.length > 0 && parts.main.every((container) => container.ready)
  const why = over ? (parts.phase === 'Succeeded' ? 'PodCompleted' : 'PodFailed') : 'ContainersNotReady'
  const condition = (type: string, yes: boolean, reason: string): PodCondition => {
    const status = yes ? 'True' : 'False'
    const old = before?.conditions?.find((one) => one.type === type)
    return {
      type,
      status,
      lastTransitionTime: old?.status === status ? (old.lastTransitionTime ?? parts.now) : parts.now,
      ...(yes ? {} : { reason }),
    }
  }
  return {
    phase: parts.phase,
    conditions: [
      condition('PodScheduled', true, ''),
      condition('Initialized', initialised, 'ContainersNotInitialized'),
      condition('ContainersReady', ready, why),
      condition('Ready', ready, why),
    ],
    hostIP: parts.hostIP,
    startTime: parts.startTime,
    ...(parts.init.length === 0 ? {} : { initContainerStatuses: parts.init.map(statusOf) }),
    containerStatuses: parts.main.map(statusOf),
    qosClass: pod.status?.qosClass ?? 'BestEffort',
  }
}

function statusOf(container: ContainerView): ContainerStatus {
  return {
    name: container.name,
    image: container.image,
    imageID: container.imageID,
    ...(container.containerID === '' ? {} : { containerID: container.containerID }),
    state: container.state,
    lastState: container.lastState,
    ready: container.ready,
    restartCount: container.restartCount,
    started: container.state.running !== undefined,
  }
}
