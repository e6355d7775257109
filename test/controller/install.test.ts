import { expect, test } from '@jest/globals'
import { covers } from '../../src/controller/install.ts'
import { createWorld } from './harness.ts'

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
      (write) => write.ref.resource === 'customresourcedefinitions' && write.user !== 'admin',
    ).length
    expect(crdWrites).toBe(2)
  } finally {
    await world.stop()
  }
})
