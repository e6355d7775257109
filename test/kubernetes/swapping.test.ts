/** Swapping SUC for Drover in the middle of a rollout, and what the way back hangs on (design promise 10; docs/migration-from-suc.md). */
import { readFileSync } from 'node:fs'
import { afterEach, describe, expect } from '@jest/globals'
import { agentPlan, type Cluster, NEW, startCluster } from './cluster.ts'
import { testNeeding } from './needs.ts'
import { clusterOfSUC, holdUpgrades } from './suc-cluster.ts'
import { type Moment, recorded } from './swapping/recorded.ts'

const test = testNeeding('audit-log', 'all-nodes')

const LIMIT_MS = 300_000
const PLAN = 'agents'
const LABEL = `plan.upgrade.cattle.io/${PLAN}`
const hash = (): string => recorded('rollout').plan.status?.latestHash ?? ''
const APPLIED = 'objectset.rio.cattle.io/applied'

let cluster: Cluster | undefined
afterEach(async () => {
  await cluster?.stop()
  cluster = undefined
})

async function suc(moment: Moment): Promise<Cluster> {
  cluster = await clusterOfSUC(moment)
  return cluster
}

async function complete(c: Cluster): Promise<void> {
  await c.until('complete', async () => {
    const { status } = await c.plan(PLAN)
    return status?.applying?.length === 0 && (await c.condition(PLAN, 'Complete')).startsWith('True')
  })
  for (const { metadata, spec, status } of await agentsOf(c)) {
    expect([metadata?.name, metadata?.labels?.[LABEL], spec?.unschedulable, status?.nodeInfo?.kubeletVersion]).toEqual([
      metadata?.name,
      hash(),
      undefined,
      NEW,
    ])
    expect(JSON.parse(metadata?.annotations?.['drover.io/node-upgrade'] ?? '{}')).not.toHaveProperty('work')
  }
  expect((await c.plan(PLAN)).status?.latestHash).toBe(hash())
}

const agentsOf = async (c: Cluster) => (await c.nodes()).filter(({ metadata }) => metadata?.name?.startsWith('agent-'))
const replaced = (c: Cluster, node: string): number =>
  (c.machines.all.get(node)?.timeline ?? []).filter(({ what }) => what === 'replaced').length

interface Write {
  readonly verb: string
  readonly resource: string
  readonly name: string
  readonly code: number
  readonly body: { readonly metadata?: { readonly name?: string; readonly labels?: Labels; readonly annotations?: Labels } } & Record<
    string,
    unknown
  >
}
type Labels = Readonly<Record<string, string>>

/** What the controller asked the API server to change, dry runs, Leases and Events aside. */
function writes(c: Cluster): readonly Write[] {
  const found: Write[] = []
  for (const line of readFileSync(c.plane.auditLog, 'utf8').split('\n')) {
    if (line === '') continue
    const event = JSON.parse(line) as {
      readonly verb: string
      readonly requestURI: string
      readonly user: { readonly username: string }
      readonly objectRef?: { readonly resource: string; readonly subresource?: string; readonly name?: string }
      readonly responseStatus?: { readonly code: number }
      readonly requestObject?: Write['body']
    }
    const { verb, objectRef, responseStatus, requestObject = {} } = event
    if (event.user.username !== 'system:serviceaccount:system-upgrade:drover' || !/^(create|update|patch|delete)/.test(verb)) continue
    if (objectRef === undefined || /^(leases|events|selfsubject)/.test(objectRef.resource) || event.requestURI.includes('dryRun=')) continue
    const resource = objectRef.subresource === undefined ? objectRef.resource : `${objectRef.resource}/${objectRef.subresource}`
    const name = objectRef.name ?? requestObject.metadata?.name ?? ''
    found.push({ verb, resource, name, code: responseStatus?.code ?? 0, body: requestObject })
  }
  return found
}

describe('Drover takes over what SUC left', () => {
  test(
    'in the middle of a rollout: the node that is done is left alone, the Job that runs is adopted, the rest is upgraded',
    async () => {
      const c = await suc('rollout')
      const gate = holdUpgrades(c)
      const [running] = recorded('rollout').plan.status?.applying ?? []
      const done = recorded('rollout').nodes.find(({ version }) => version === NEW)?.name ?? ''
      await c.until(
        "SUC's Job upgrades",
        async () => gate.entered.has(running ?? '') && (await c.node(running ?? '')).spec?.unschedulable === true,
      )
      const theirs = (await c.jobs()).find(({ metadata }) => metadata?.labels?.['upgrade.cattle.io/node'] === running)
      const before = theirs?.metadata?.annotations?.[APPLIED] ?? ''
      await c.controller()
      await c.until('adopted', async () => {
        const job = (await c.jobs()).find(({ metadata }) => metadata?.uid === theirs?.metadata?.uid)
        return job?.metadata?.annotations?.[APPLIED] !== before
      })
      // Nothing else is begun while it runs, and nothing of it is stopped.
      expect([...gate.entered]).toEqual([[running, 1]])
      gate.open()
      await complete(c)
      expect(replaced(c, running ?? '')).toBe(1)
      expect(
        writes(c)
          .filter(({ verb, resource }) => verb === 'create' && resource === 'jobs')
          .map(({ name }) => name),
      ).toHaveLength(1)
      expect(writes(c).filter(({ resource, name }) => resource === 'nodes' && name === done)).toEqual([])
      expect(gate.entered.has(done)).toBe(false)
    },
    LIMIT_MS,
  )

  test(
    'wedged: the cordoned node without a Job is finished first and uncordoned',
    async () => {
      const c = await suc('wedged')
      const gate = holdUpgrades(c)
      const [wedged] = recorded('wedged').plan.status?.applying ?? []
      await c.controller()
      await c.until('an upgrade', async () => gate.entered.size > 0)
      expect([...gate.entered]).toEqual([[wedged, 1]])
      gate.open()
      await complete(c)
    },
    LIMIT_MS,
  )

  test(
    'a Job that it never let go: replaced, and the node upgraded once',
    async () => {
      const c = await suc('paused')
      const [job] = recorded('paused').jobs
      await c.controller()
      await complete(c)
      expect(replaced(c, job?.metadata?.labels?.['upgrade.cattle.io/node'] ?? '')).toBe(1)
    },
    LIMIT_MS,
  )

  test(
    'all done: no node, Job or pod is written',
    async () => {
      const c = await suc('complete')
      await c.controller()
      await c.until('its status', async () => (await c.condition(PLAN, 'Ready')).startsWith('True'))
      await complete(c)
      // The Plan's rollout memory aside, which names the nodes found at work: none.
      const written = writes(c).filter(({ code }) => code < 300)
      expect(new Set(written.map(({ resource }) => resource))).toEqual(new Set(['customresourcedefinitions', 'plans', 'plans/status']))
    },
    LIMIT_MS,
  )

  test(
    'a failure: it is remembered, and nothing runs until somebody says so',
    async () => {
      const c = await suc('failed')
      const [node] = recorded('failed').plan.status?.applying ?? []
      const machine = c.machines.all.get(node ?? '')
      if (machine === undefined) throw new Error(`there is no ${node}`)
      machine.trouble.programFailures = 9
      await c.until("SUC's Job has failed", async () =>
        (await c.jobs()).some(({ status }) => status?.conditions?.some(({ type, status: holds }) => type === 'Failed' && holds === 'True')),
      )
      const runs = (): number =>
        machine.timeline.filter(({ what, detail }) => what === 'programStart' && detail.includes('rke2-upgrade')).length
      const before = runs()
      expect(before).toBeGreaterThan(0)
      await c.controller()
      await c.until(
        'the record says so',
        async () => (await c.node(node ?? '')).metadata?.annotations?.['drover.io/node-upgrade']?.includes('JobFailed') === true,
      )
      await c.until('the Plan says so', async () => (await c.condition(PLAN, 'Ready')).includes('Failed'))
      expect((await c.plan(PLAN)).status?.applying).toEqual([node])
      expect(runs()).toBe(before)
      machine.trouble.programFailures = 0
      await c.kubectl('--namespace', 'system-upgrade', 'annotate', 'plan', PLAN, 'drover.io/retry=now')
      await complete(c)
    },
    LIMIT_MS,
  )
})

describe('what a returning SUC hangs on', () => {
  test(
    'names, marks and labels are those that SUC itself wrote, and only a Job that was started is shielded',
    async () => {
      cluster = await startCluster({ audit: 'Request' })
      const c = cluster
      await c.controller()
      await c.apply(agentPlan({ prepare: { image: 'busybox', args: ['true'] } }))
      await complete(c)
      const real = new Map(recorded('complete').jobs.map((job) => [job.metadata?.name, job]))
      const created = writes(c).filter(({ verb, code }) => verb === 'create' && code < 300)
      const jobs = created.filter(({ resource }) => resource === 'jobs')
      const apply = jobs.filter(({ name }) => name.startsWith('apply-'))
      expect(apply).toHaveLength(3)
      for (const { name, body } of apply) {
        const theirs = real.get(name)
        // Of the recorded rollout two Jobs are left; the third has been deleted by hand.
        if (theirs !== undefined) {
          expect(body.metadata?.labels).toEqual(theirs.metadata?.labels)
          const { [APPLIED]: _applied, ...annotations } = theirs.metadata?.annotations ?? {}
          expect(body.metadata?.annotations).toEqual({ ...annotations, 'drover.io/attempt': expect.any(String) })
        }
        expect(body.metadata?.annotations).not.toHaveProperty(APPLIED)
        expect(body['spec']).toMatchObject({ parallelism: 0 })
        const starts = writes(c).filter(
          (write) => write.verb === 'patch' && write.name === name && 'parallelism' in ((write.body['spec'] ?? {}) as object),
        )
        expect(starts.map(({ body }) => [body['spec'], Object.keys(body.metadata?.annotations ?? {})])).toEqual([
          // The TTL of a strict Job waits for the verdict; native Jobs have none to lose.
          [{ parallelism: 1, ttlSecondsAfterFinished: null }, [APPLIED]],
        ])
        const shield = starts[0]?.body.metadata?.annotations?.[APPLIED] ?? ''
        expect(shield).toMatch(/^\{/)
        expect(() => JSON.parse(shield) as unknown).toThrow()
      }
      expect(apply.filter(({ name }) => real.has(name))).toHaveLength(2)
      // By SUC's labels or marks it would take these for apply Jobs, and delete them or mark the node done.
      const helpers = [...jobs.filter(({ name }) => name.startsWith('prepare-')), ...created.filter(({ resource }) => resource === 'pods')]
      expect(helpers).toHaveLength(6)
      for (const { resource, body } of helpers) {
        const keys = [...Object.keys(body.metadata?.labels ?? {}), ...Object.keys(body.metadata?.annotations ?? {})]
        const theirs = keys.filter((key) => key.includes('cattle.io/'))
        expect(theirs).toEqual(resource === 'pods' ? ['upgrade.cattle.io/controller'] : [])
      }
    },
    LIMIT_MS,
  )
})
