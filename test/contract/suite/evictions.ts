import { describe, expect } from '@jest/globals'
import type { Tree } from '../../kube/client/collect.ts'
import type { Contract, World } from './contract.ts'
import { conditionOf, job, pod, refused } from './contract.ts'

const eviction = (name: string, more: object = {}): object => ({ apiVersion: 'policy/v1', kind: 'Eviction', metadata: { name }, ...more })

/** A pod with the label app=web that is Ready. */
async function web(world: World, name: string, text = 'sleep 600', spec: object = {}): Promise<void> {
  const { api, at } = world
  await api.ok(api.post(at.pods, pod(name, text, spec, { labels: { app: 'web' } })))
}

const readyIn = async ({ api, at }: World, name: string): Promise<boolean> => {
  const { body } = await api.get(`${at.pods}/${name}`)
  return body.status?.conditions?.some((each: Tree) => each.type === 'Ready' && each.status === 'True') === true
}

async function ready(world: World, ...names: readonly string[]): Promise<void> {
  for (const name of names) await world.until(`${name} is Ready`, () => readyIn(world, name))
}

async function budget(world: World, name: string, spec: object): Promise<string> {
  const { api, at } = world
  await api.ok(api.post(at.poddisruptionbudgets, { metadata: { name }, spec: { selector: { matchLabels: { app: 'web' } }, ...spec } }))
  return `${at.poddisruptionbudgets}/${name}`
}

/** Until the budget's status is of its present generation and counts so many healthy pods. */
async function counted({ api, until }: World, path: string, healthy: number): Promise<Tree> {
  return until(`${path} counts ${healthy} pods`, async () => {
    const { body } = await api.get(path)
    const now = body.status?.observedGeneration === body.metadata.generation && body.status?.currentHealthy === healthy
    return now && body
  })
}

const violates = "Cannot evict pod as it would violate the pod's disruption budget."

/** The Eviction API and PodDisruptionBudgets. */
export function evictions(test: Contract): void {
  describe('an eviction', () => {
    test('without a budget is a delete with its grace', async (world) => {
      const { api, at, until } = world
      await web(world, 'a')
      await ready(world, 'a')
      const { body } = await api.get(`${at.pods}/a`)
      expect(await api.post(`${at.pods}/a/eviction`, eviction('a'))).toMatchObject({
        status: 201,
        body: { kind: 'Status', status: 'Success', code: 201 },
      })
      const gone = await until('the pod goes', async () => {
        const now = await api.get(`${at.pods}/a`)
        return now.status === 404 || now.body.metadata.deletionTimestamp !== undefined
      })
      expect(gone).toBe(true)
      expect(body.metadata.deletionTimestamp).toBeUndefined()
    })

    test('refused by a budget: 429, with the cause and its numbers, and no Retry-After', async (world) => {
      const { api, at } = world
      await web(world, 'a')
      await ready(world, 'a')
      const path = await budget(world, 'all', { minAvailable: 1 })
      expect((await counted(world, path, 1)).status).toMatchObject({
        disruptionsAllowed: 0,
        currentHealthy: 1,
        desiredHealthy: 1,
        expectedPods: 1,
      })
      const answer = await api.post(`${at.pods}/a/eviction`, eviction('a'))
      expect(answer).toMatchObject(
        refused(429, 'TooManyRequests', {
          message: violates,
          details: {
            causes: [{ reason: 'DisruptionBudget', message: 'The disruption budget all needs 1 healthy pods and has 1 currently' }],
          },
        }),
      )
      expect(answer.retryAfterMs).toBeUndefined()
      expect((await api.get(`${at.pods}/a`)).body.metadata.deletionTimestamp).toBeUndefined()
    })

    test('granted takes one disruption away, and notes the pod', async (world) => {
      const { api, at, until } = world
      for (const name of ['a', 'b']) await web(world, name, 'sleep 600', { terminationGracePeriodSeconds: 1 })
      await ready(world, 'a', 'b')
      const path = await budget(world, 'one', { maxUnavailable: 1 })
      // A bare pod has no scale: maxUnavailable cannot be counted.
      const bare = await until('the budget says so', async () => {
        const { body } = await api.get(path)
        return body.status?.observedGeneration !== undefined && body
      })
      expect(bare.status).toMatchObject({ disruptionsAllowed: 0, expectedPods: 0 })
      await api.ok(api.merge(path, { spec: { maxUnavailable: null, minAvailable: 1 } }))
      expect((await counted(world, path, 2)).status).toMatchObject({ disruptionsAllowed: 1, desiredHealthy: 1 })
      expect((await api.post(`${at.pods}/a/eviction`, eviction('a'))).status).toBe(201)
      expect((await api.post(`${at.pods}/b/eviction`, eviction('b'))).status).toBe(429)
      await counted(world, path, 1)
    })

    test('a budget that has not been looked at yet: 429 with a time to wait', async (world) => {
      const { api, at } = world
      await web(world, 'a')
      await ready(world, 'a')
      // No controller ever sees this budget as it is now: each try comes right after a change.
      const path = await budget(world, 'new', { minAvailable: 1 })
      const answers: Tree[] = []
      for (let tries = 0; tries < 20; tries++) {
        const changed = api.merge(path, { spec: { minAvailable: 1 + (tries % 2) } })
        const asked = api.post(`${at.pods}/a/eviction`, eviction('a'))
        await api.ok(changed)
        answers.push(await asked)
      }
      // Which of both refusals comes is a race that Kubernetes leaves open; that there is one is not.
      for (const answer of answers)
        expect(answer).toMatchObject(refused(429, 'TooManyRequests', { details: { causes: [{ reason: 'DisruptionBudget' }] } }))
      for (const { body, retryAfterMs } of answers.filter((answer) =>
        /still being processed/.test(answer.body.details.causes[0].message),
      )) {
        expect(body.message).toBe(violates)
        expect(body.details.causes[0].message).toBe('The disruption budget new is still being processed by the server.')
        expect(retryAfterMs).toBe(10_000)
      }
    })

    test('of a pod with two budgets: 500', async (world) => {
      const { api, at } = world
      await web(world, 'a')
      await ready(world, 'a')
      await counted(world, await budget(world, 'one', { minAvailable: 0 }), 1)
      await counted(world, await budget(world, 'two', { minAvailable: 0 }), 1)
      expect(await api.post(`${at.pods}/a/eviction`, eviction('a'))).toMatchObject({
        status: 500,
        body: {
          status: 'Failure',
          code: 500,
          message: 'This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.',
        },
      })
    })

    test('a dry run asks all the questions and takes nothing', async (world) => {
      const { api, at } = world
      await web(world, 'a')
      await ready(world, 'a')
      const path = await budget(world, 'all', { minAvailable: 0 })
      await counted(world, path, 1)
      const dry = (): Promise<Tree> => api.post(`${at.pods}/a/eviction`, eviction('a', { deleteOptions: { dryRun: ['All'] } }))
      expect((await dry()).status).toBe(201)
      expect((await api.post(`${at.pods}/a/eviction`, eviction('a'), { dryRun: 'All' })).status).toBe(201)
      expect((await api.get(path)).body.status).toMatchObject({ disruptionsAllowed: 1 })
      await api.ok(api.merge(path, { spec: { minAvailable: 1 } }))
      await counted(world, path, 1)
      expect(await dry()).toMatchObject(refused(429, 'TooManyRequests', { details: { causes: [{ reason: 'DisruptionBudget' }] } }))
      const { body } = await api.get(`${at.pods}/a`)
      expect(body.metadata.deletionTimestamp).toBeUndefined()
    })

    test('with the uid of another pod: 409', async (world) => {
      const { api, at } = world
      await web(world, 'a')
      const stale = eviction('a', { deleteOptions: { preconditions: { uid: '00000000-0000-4000-8000-000000000000' } } })
      expect(await api.post(`${at.pods}/a/eviction`, stale)).toMatchObject(refused(409, 'Conflict'))
      expect(await api.post(`${at.pods}/none/eviction`, eviction('none'))).toMatchObject(
        refused(404, 'NotFound', { message: 'pods "none" not found' }),
      )
      expect(await api.post(`${at.pods}/a/eviction`, eviction('b'))).toMatchObject(refused(400, 'BadRequest'))
      const { uid } = (await api.get(`${at.pods}/a`)).body.metadata
      expect((await api.post(`${at.pods}/a/eviction`, eviction('a', { deleteOptions: { preconditions: { uid } } }))).status).toBe(201)
    })

    test('of a pod that is over or waits for a node asks no budget', async (world) => {
      const { api, at, until } = world
      await web(world, 'over', 'exit 0')
      await web(world, 'waits', 'exit 0', { nodeSelector: { nowhere: 'x' } })
      await until('the pod is over', async () => (await api.get(`${at.pods}/over`)).body.status.phase === 'Succeeded')
      const path = await budget(world, 'all', { minAvailable: 5 })
      await counted(world, path, 0)
      expect((await api.post(`${at.pods}/over/eviction`, eviction('over'))).status).toBe(201)
      expect((await api.post(`${at.pods}/waits/eviction`, eviction('waits'))).status).toBe(201)
      await until('both are gone', async () => (await api.ok(api.get(at.pods))).items.length === 0)
    })

    test('of a pod that is not Ready goes by the policy of its budget', async (world) => {
      const { api, at, until } = world
      const probe = { readinessProbe: { exec: { command: ['x'] }, initialDelaySeconds: 3000 } }
      const sick = (name: string): object => ({
        containers: [{ name: 'main', image: 'busybox:1', command: ['sh', '-c', 'sleep 600'], ...probe }],
        ...(name === '' ? {} : {}),
      })
      await web(world, 'sick', '', sick('sick'))
      await until('it runs', async () => (await api.get(`${at.pods}/sick`)).body.status.phase === 'Running')
      const path = await budget(world, 'all', { minAvailable: 1 })
      await counted(world, path, 0)
      expect((await api.post(`${at.pods}/sick/eviction`, eviction('sick'))).status).toBe(429)
      await api.ok(api.merge(path, { spec: { unhealthyPodEvictionPolicy: 'AlwaysAllow' } }))
      await counted(world, path, 0)
      expect((await api.post(`${at.pods}/sick/eviction`, eviction('sick'))).status).toBe(201)
    })

    test('over pods whose owner has no scale cannot be counted with maxUnavailable: nothing may go', async (world) => {
      const { api, at, until } = world
      await api.ok(api.post(at.jobs, job('j', 'sleep 600')))
      const [owned] = await until('its pod runs', async () => {
        const { items } = await api.ok(api.get(at.pods))
        return items[0]?.status.phase === 'Running' && items
      })
      const spec = { maxUnavailable: 1, selector: { matchLabels: { 'job-name': 'j' } } }
      await api.ok(api.post(at.poddisruptionbudgets, { metadata: { name: 'lost' }, spec }))
      const lost = await until('the budget says so', async () => {
        const { body } = await api.get(`${at.poddisruptionbudgets}/lost`)
        return conditionOf(body, 'DisruptionAllowed') === 'False/SyncFailed' && body
      })
      expect(lost.status.conditions[0].message).toBe('jobs.batch does not implement the scale subresource')
      const { name } = owned.metadata
      const answer = await api.post(`${at.pods}/${name}/eviction`, eviction(name))
      // To the API server such a budget never was looked at.
      expect(answer).toMatchObject(
        refused(429, 'TooManyRequests', {
          details: {
            causes: [{ reason: 'DisruptionBudget', message: 'The disruption budget lost is still being processed by the server.' }],
          },
        }),
      )
      expect(answer.retryAfterMs).toBe(10_000)
    })

    test('counts a workload by its scale', async (world) => {
      const { api, at, until } = world
      const labels = { app: 'web' }
      const template = {
        metadata: { labels },
        spec: { terminationGracePeriodSeconds: 1, containers: [{ name: 'main', image: 'registry.example/app:1' }] },
      }
      await api.ok(
        api.post(at.deployments, { metadata: { name: 'web' }, spec: { replicas: 4, selector: { matchLabels: labels }, template } }),
      )
      const path = await budget(world, 'half', { maxUnavailable: '25%' })
      expect((await counted(world, path, 4)).status).toMatchObject({ expectedPods: 4, desiredHealthy: 3, disruptionsAllowed: 1 })
      await api.ok(api.merge(path, { spec: { maxUnavailable: null, minAvailable: '30%' } }))
      // 1.2 of 4 is rounded up.
      expect((await counted(world, path, 4)).status).toMatchObject({ expectedPods: 4, desiredHealthy: 2, disruptionsAllowed: 2 })
      const [first] = (await api.ok(api.get(at.pods))).items
      expect((await api.post(`${at.pods}/${first.metadata.name}/eviction`, eviction(first.metadata.name))).status).toBe(201)
      await until('another pod takes its place', async () => {
        const { items } = await api.ok(api.get(at.pods))
        return items.every((item: Tree) => item.metadata.name !== first.metadata.name) && items.length === 4
      })
      await counted(world, path, 4)
    })
  })

  describe('a PodDisruptionBudget', () => {
    test('has one of both limits', async ({ api, at }) => {
      const post = (spec: object) => api.post(at.poddisruptionbudgets, { metadata: { name: 'a' }, spec })
      expect(await post({ minAvailable: 1, maxUnavailable: 1 })).toMatchObject(
        refused(422, 'Invalid', { message: expect.stringContaining('minAvailable and maxUnavailable cannot be both set') }),
      )
      expect(await post({ minAvailable: '120%' })).toMatchObject(
        refused(422, 'Invalid', { details: { causes: [{ field: 'spec.minAvailable' }] } }),
      )
      expect(await post({ maxUnavailable: -1 })).toMatchObject(
        refused(422, 'Invalid', { details: { causes: [{ field: 'spec.maxUnavailable' }] } }),
      )
      expect(await post({ minAvailable: 'many' })).toMatchObject(
        refused(422, 'Invalid', { details: { causes: [{ field: 'spec.minAvailable' }] } }),
      )
    })
  })
}
