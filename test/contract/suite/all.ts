import type { Contract } from './contract.ts'
import { definitions } from './definitions.ts'
import { deletions } from './deletions.ts'
import { evictions } from './evictions.ts'
import { jobs } from './jobs.ts'
import { lists } from './lists.ts'
import { nodes } from './nodes.ts'
import { ours } from './ours.ts'
import { output } from './output.ts'
import { ownership } from './ownership.ts'
import { patches } from './patches.ts'
import { pods } from './pods.ts'
import { policyFields } from './policy-fields.ts'
import { records } from './records.ts'
import { requests } from './requests.ts'
import { watches } from './watches.ts'
import { writes } from './writes.ts'

/** The whole suite. */
export function contract(test: Contract): void {
  for (const topic of [
    requests,
    lists,
    watches,
    writes,
    patches,
    ownership,
    definitions,
    ours,
    policyFields,
    evictions,
    jobs,
    pods,
    deletions,
    nodes,
    records,
    output,
  ])
    topic(test)
}
