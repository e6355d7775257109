import { readFileSync } from 'node:fs'
import { expect, test } from '@jest/globals'
import type { JsonObject } from '../../src/base/json.ts'
import { planCRD } from '../../src/api/crd.ts'
import { covers } from '../../src/controller/install.ts'
import { agentPlan, createWorld, NEW, OLD } from './harness.ts'

test('what the server adds is no difference, what is missing or other is', () => {
  expect(covers({ a: 1, b: { c: [1, { d: 2, extra: 3 }] } }, { b: { c: [1, { d: 2 }] } })).toBe(true)
  expect(covers({ b: { c: [1] } }, { b: { c: [1, 2] } })).toBe(false)
  expect(covers({ b: 'x' }, { b: 'y' })).toBe(false)
  expect(covers(undefined, { b: 'y' })).toBe(false)
})

test('a CRD that somebody else installed is brought up to date, and then left alone', async () => {
  const world = await createWorld({ cluster: { servers: 1, agents: 0 } })
  try {
    world.controller()
    const crd = () =>
      world.sandbox.server.peek('customresourcedefinitions', 'plans.upgrade.cattle.io') as
        | { spec: { versions: { additionalPrinterColumns?: unknown[] }[] } }
        | undefined
    expect(await world.sandbox.run(() => crd() !== undefined, 60_000)).toBe(true)
    await world.patch('/apis/apiextensions.k8s.io/v1/customresourcedefinitions/plans.upgrade.cattle.io', {
      spec: { versions: [{ ...crd()?.spec.versions[0], additionalPrinterColumns: [] }] },
    })
    world.controller('drover-2')
    expect(await world.sandbox.run(() => (crd()?.spec.versions[0]?.additionalPrinterColumns?.length ?? 0) > 0, 60_000)).toBe(true)
    world.controller('drover-3')
    await world.sandbox.run(() => false, 30_000)
    const crdWrites = world.sandbox.history.filter(
      (write) => write.ref.resource === 'customresourcedefinitions' && write.ref.name?.startsWith('plans.') && write.user !== 'admin',
    ).length
    expect(crdWrites).toBe(2)
  } finally {
    await world.stop()
  }
})

test('where the CRDs may not be looked at the controller goes on, and installs them once it may', async () => {
  let allowed = false
  const world = await createWorld({
    cluster: { servers: 1, agents: 0 },
    sandbox: { allow: (user, { resource }) => user === 'admin' || resource !== 'customresourcedefinitions' || allowed },
  })
  const { sandbox } = world
  const lease = () => sandbox.server.peek('leases.coordination.k8s.io', 'system-upgrade-controller', 'system-upgrade')
  const crds = () => sandbox.server.peekAll('customresourcedefinitions').length
  try {
    world.controller()
    expect(await sandbox.run(() => lease() !== undefined, 60_000)).toBe(true)
    expect(crds()).toBe(0)
    allowed = true
    expect(await sandbox.run(() => crds() === 2, 120_000)).toBe(true)
  } finally {
    await world.stop()
  }
})

test("SUC's CRD put over ours in the middle of a rollout is noticed by what it drops, and replaced", async () => {
  const world = await createWorld({
    cluster: { servers: 1, agents: 3, version: NEW, machine: (spec) => (spec.role === 'server' ? spec : { ...spec, version: OLD }) },
  })
  const { sandbox } = world
  const path = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions/plans.upgrade.cattle.io'
  const crd = () => sandbox.server.peek('customresourcedefinitions', 'plans.upgrade.cattle.io') as { spec: JsonObject } | undefined
  const counts = () => (world.plan('agent-plan')?.status as { nodeCounts?: { done: number } } | undefined)?.nodeCounts
  try {
    world.controller()
    expect(await sandbox.run(() => crd() !== undefined, 60_000)).toBe(true)
    await world.apply(agentPlan({ prepare: undefined, concurrency: 1 }))
    expect(await sandbox.run(() => counts()?.done === 1, 600_000)).toBe(true)
    const suc = JSON.parse(readFileSync('test/vectors/suc/suc-crd.json', 'utf8')) as { spec: JsonObject }
    await world.patch(path, { spec: suc.spec })
    expect(covers(crd()?.spec, planCRD.spec)).toBe(false)
    expect(await sandbox.run(() => covers(crd()?.spec, planCRD.spec), 600_000)).toBe(true)
    expect(await sandbox.run(() => world.complete('agent-plan') && counts()?.done === 3, 600_000)).toBe(true)
    const replaced = [...sandbox.machines.values()].map((machine) => machine.timeline.filter((event) => event.what === 'replaced').length)
    expect(replaced).toEqual([0, 1, 1, 1])
  } finally {
    await world.stop()
  }
})
