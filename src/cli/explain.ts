/** `drover explain`: every reason why a node, or a Plan, is where it is. Reads only. */
import { DroverError } from '../base/errors.ts'
import { lookOnce } from '../controller/explain.ts'
import { planLabel } from '../api/names.ts'
import type { Hold } from '../api/reasons.ts'
import { allHolds } from '../rollout/all-holds.ts'
import { isComplete } from '../rollout/complete.ts'
import type { Decision, World } from '../rollout/world.ts'
import { CONNECTION_FLAGS, openSession } from './connect.ts'

const USAGE = `usage: drover explain node NAME [options]
       drover explain plan NAME [options]

Says what Drover would do with the node, or the nodes of the Plan, and everything that stands in the way. It writes nothing.

${CONNECTION_FLAGS}`

/** Of a Plan that no controller has begun with, or between two of its steps. */
const NOTHING_HOLDS = 'nothing stands in the way; a controller that runs goes on with it'

/** Exit code 0; 1 when there is no such node or Plan. */
export async function run(argv: readonly string[], signal: AbortSignal): Promise<number> {
  if (argv.includes('--help')) {
    process.stdout.write(USAGE)
    return 0
  }
  const session = await openSession(argv, [])
  try {
    const [kind, name, ...rest] = session.positionals
    if ((kind !== 'node' && kind !== 'plan') || name === undefined || rest.length > 0)
      throw new DroverError('Usage', `say what to explain\n${USAGE}`, { retry: 'never' })
    const { world, decision } = await lookOnce(session.process, session.settings, signal)
    const lines =
      kind === 'node' ? explainNode(name, world, decision) : explainPlan(`${session.settings.namespace}/${name}`, world, decision)
    if (lines === undefined) {
      process.stderr.write(`drover: there is no ${kind} ${name}${kind === 'plan' ? ` in namespace ${session.settings.namespace}` : ''}\n`)
      return 1
    }
    process.stdout.write(`${lines.join('\n')}\n`)
    return 0
  } finally {
    session.close()
  }
}

/** Lines about a node under each Plan that concerns it; undefined = no such node. */
export function explainNode(name: string, world: World, decision: Decision): string[] | undefined {
  const node = world.nodes.find((view) => view.name === name)
  if (node === undefined) return undefined
  const lines = [
    `node ${name}: ${node.kubeletVersion === '' ? 'no version' : node.kubeletVersion}, Ready ${node.ready}${node.unschedulable ? `, cordoned by ${node.cordonOwner ?? 'somebody'}` : ''}`,
  ]
  for (const { key, name: planName, plan } of world.plans) {
    const own = decision.reports.get(key)?.nodes.get(name)
    const label = node.labels[planLabel(planName)]
    const waiting = own === undefined || own.phase === 'Pending'
    const stop = waiting ? allHolds(world, key, name) : []
    if (own === undefined && label === undefined && stop === undefined) continue
    if (own === undefined && label !== undefined && plan?.status.latestHash === label) {
      lines.push(`Plan ${key}: Done (label has hash ${label.slice(0, 8)})`)
      continue
    }
    lines.push(`Plan ${key}: ${own?.phase ?? (stop === undefined ? 'does not select it' : 'Pending')}`)
    const said = own?.holds ?? []
    const more = (stop ?? []).filter((found) => !said.some((other) => other.reason === found.reason))
    const holds = [...said, ...more]
    lines.push(...holds.map(line))
    if (holds.length === 0 && waiting && stop !== undefined) lines.push(`  ${NOTHING_HOLDS}`)
  }
  if (lines.length === 1) lines.push('no Plan has anything to do with it')
  return lines
}

/** Lines about a Plan and its nodes; undefined = no such Plan. */
export function explainPlan(key: string, world: World, decision: Decision): string[] | undefined {
  const view = world.plans.find((candidate) => candidate.key === key)
  if (view === undefined) return undefined
  const report = decision.reports.get(key)
  const lines = [
    `Plan ${key}${view.plan === undefined ? '' : `: version ${view.plan.status.latestVersion || '(unresolved)'}, applying ${view.plan.status.applying.join(', ') || 'none'}`}`,
  ]
  lines.push(...(report?.holds ?? []).map(line))
  for (const [node, { phase, holds }] of report?.nodes ?? []) lines.push(`node ${node}: ${phase}`, ...holds.map(line))
  if (lines.length === 1) lines.push(isComplete(view) ? 'nothing is left to do' : NOTHING_HOLDS)
  return lines
}

function line(hold: Hold): string {
  const more = [
    `ended by ${ENDED_BY[hold.endedBy]}`,
    ...(hold.retryAt === undefined ? [] : [`looked at again ${new Date(hold.retryAt).toISOString()}`]),
    ...(hold.blockedBy === undefined ? [] : [`blocked by ${hold.blockedBy}`]),
  ]
  return `  ${hold.reason}: ${hold.message} (${more.join('; ')})`
}

const ENDED_BY = { time: 'time', cluster: 'the cluster', person: 'a person' } as const
