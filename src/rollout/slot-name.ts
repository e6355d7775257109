import type { NodeView } from './world.ts'

/** The name under which a node stands in `applying`: its label `kubernetes.io/hostname`. */
export const slotName = ({ hostname, name }: Pick<NodeView, 'hostname' | 'name'>): string => hostname ?? name
