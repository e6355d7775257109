import { createHash } from 'node:crypto'
import { planCRD } from '../api/crd.ts'
import { policyCRD } from '../api/crd-policy.ts'
import { TransportError } from '../base/errors.ts'
import type { JsonObject } from '../base/json.ts'
import type { Outside } from '../base/process.ts'
import type { Sandbox } from '../sandbox/cluster.ts'
import { type ApplyObject, apply, standardCluster } from '../sandbox/standard-cluster.ts'
import { type Selector, selects } from './checkers/seen.ts'
import { batchJob } from './batches.ts'
import { surroundingObjects } from './surroundings.ts'
import { type ChannelAnswer, NAMESPACE, type Scenario } from './scenario.ts'

const MINUTE = 60_000

/** The release channels of a world. The real protocol: a redirect names the version. */
export function channelServer(channels: ReadonlyMap<string, ChannelAnswer>): Outside['get'] {
  return async (url) => {
    const answer = channels.get(url) ?? { status: 404, body: '' }
    if (answer === 'down') throw new TransportError('ConnectionFailed', 'connection refused')
    if ('redirect' in answer) return { status: 302, statusLine: 'HTTP/1.1 302 Found', headers: { location: answer.redirect }, body: '' }
    return { status: answer.status, statusLine: `HTTP/1.1 ${answer.status} Answer`, headers: {}, body: answer.body }
  }
}

/** Machines, workloads, Secrets and the Plan's CRD; time passes until all of it stands. */
export async function buildCluster(sandbox: Sandbox, scenario: Scenario): Promise<void> {
  const servers = scenario.machines.filter((spec) => spec.role === 'server')
  const agents = scenario.machines.filter((spec) => spec.role === 'agent')
  const byName = new Map(scenario.machines.map((spec) => [spec.name, spec]))
  await standardCluster(sandbox, {
    servers: servers.length,
    agents: agents.length,
    serverName: (i) => servers[i - 1]?.name ?? `server-${i}`,
    agentName: (i) => agents[i - 1]?.name ?? `agent-${i}`,
    workloads: scenario.workloads,
    machine: (spec) => ({ ...spec, ...byName.get(spec.name) }),
  })
  const objects: readonly ApplyObject[] = [
    planCRD as unknown as ApplyObject,
    policyCRD as unknown as ApplyObject,
    ...scenario.secrets.map(secret),
    ...scenario.batches.map(batchJob),
    ...surroundingObjects(scenario.surroundings),
    ...(scenario.policies as unknown as readonly ApplyObject[]),
  ]
  await finish(sandbox, async () => {
    for (const object of objects) await apply(sandbox, object)
    if (scenario.leftovers.length > 0) await leaveBehind(sandbox, scenario)
  })
}

async function finish(sandbox: Sandbox, work: () => Promise<void>): Promise<void> {
  let done = false
  let failure: unknown
  work().then(
    () => {
      done = true
    },
    (error: unknown) => {
      failure = error
    },
  )
  await sandbox.run(() => done || failure !== undefined, MINUTE)
  if (failure !== undefined) throw failure
  if (!done) throw new Error('the cluster could not be filled')
}

/** What a SUC that was taken away leaves when its Jobs have expired: hostnames in `applying`, and their cordons. */
async function leaveBehind(sandbox: Sandbox, scenario: Scenario): Promise<void> {
  const plan = scenario.plans[0]
  const version = plan?.spec['version']
  if (plan === undefined || typeof version !== 'string' || plan.spec['secrets'] !== undefined) return
  const suc = sandbox.as('suc')
  const patch = (path: string, body: JsonObject) =>
    suc.send({ method: 'PATCH', path, body, contentType: 'application/merge-patch+json' }, new AbortController().signal)
  const left = scenario.leftovers.flatMap((index) => {
    const name = scenario.machines[index]?.name ?? ''
    const labels = sandbox.server.peek('nodes', name)?.metadata.labels ?? {}
    return selects(plan.spec['nodeSelector'] as Selector | undefined, labels) ? [name] : []
  })
  await apply(sandbox, plan)
  const account = plan.spec['serviceAccountName']
  const latestVersion = version.replace('+', '-')
  // SUC's hash of a Plan without Secrets and digest.
  const latestHash = createHash('sha224')
    .update(latestVersion + (typeof account === 'string' ? account : ''))
    .digest('hex')
  await patch(`/apis/upgrade.cattle.io/v1/namespaces/${NAMESPACE}/plans/${plan.metadata.name}/status`, {
    status: { applying: left, latestVersion, latestHash },
  })
  if (plan.spec['cordon'] !== true && plan.spec['drain'] === undefined) return
  for (const name of left) await patch(`/api/v1/nodes/${name}`, { spec: { unschedulable: true } })
}

function secret(name: string): ApplyObject {
  const object = { apiVersion: 'v1', kind: 'Secret', metadata: { name, namespace: NAMESPACE }, type: 'Opaque', data: { token: 'YQ==' } }
  return object
}
