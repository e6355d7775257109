import { describe, expect } from '@jest/globals'
import type { Tree } from '../../kube/client/collect.ts'
import type { Api, Contract, World } from './contract.ts'
import { conditionOf, invalidAt, job, pod, refused, script, withCondition } from './contract.ts'

const podsOf = async ({ api, at }: World, name: string): Promise<readonly Tree[]> =>
  (await api.ok(api.get(at.pods, { labelSelector: `batch.kubernetes.io/job-name=${name}` }))).items

async function start({ api, at }: World, body: object): Promise<Tree> {
  return api.ok(api.post(at.jobs, body))
}

const ended = (world: World, name: string, type: 'Complete' | 'Failed'): Promise<Tree> =>
  world.until(`${name} is ${type}`, () => withCondition(world.api, `${world.at.jobs}/${name}`, type))

const running = (world: World, name: string, count = 1): Promise<readonly Tree[]> =>
  world.until(`${count} pods of ${name} run`, async () => {
    const pods = (await podsOf(world, name)).filter(
      (each) => each.status.phase === 'Running' && each.metadata.deletionTimestamp === undefined,
    )
    return pods.length === count && pods
  })

const jobOf = (api: Api, path: string): Promise<Tree> => api.ok(api.get(path))

/** Jobs, from their defaults to their end. */
export function jobs(test: Contract): void {
  describe('a new Job', () => {
    test('gets defaults, a selector and labels of its own', async (world) => {
      const made = await start(world, job('j', 'exit 0', { suspend: true }))
      expect(made.spec).toMatchObject({
        parallelism: 1,
        completions: 1,
        backoffLimit: 6,
        completionMode: 'NonIndexed',
        suspend: true,
        podReplacementPolicy: 'TerminatingOrFailed',
        manualSelector: false,
      })
      const { uid } = made.metadata
      expect(made.spec.selector).toEqual({ matchLabels: { 'batch.kubernetes.io/controller-uid': uid } })
      expect(made.spec.template.metadata.labels).toEqual({
        'batch.kubernetes.io/controller-uid': uid,
        'batch.kubernetes.io/job-name': 'j',
        'controller-uid': uid,
        'job-name': 'j',
      })
      expect(made.metadata.labels).toEqual(made.spec.template.metadata.labels)
      const held = await start(world, job('held', 'exit 0', { parallelism: 0 }))
      expect([held.spec.parallelism, held.spec.completions]).toEqual([0, undefined])
      const many = await start(world, job('many', 'exit 0', { completions: 3, suspend: true }))
      expect([many.spec.parallelism, many.spec.completions]).toEqual([1, 3])
    })

    test('that is wrong is refused with the fields to blame', async ({ api, at }) => {
      const post = (spec: object, podSpec: object = {}) => api.post(at.jobs, job('j', 'exit 0', spec, podSpec))
      expect(await post({}, { restartPolicy: 'Always' })).toMatchObject(invalidAt('spec.template.spec.restartPolicy'))
      expect(await post({ activeDeadlineSeconds: -1 })).toMatchObject(invalidAt('spec.activeDeadlineSeconds'))
      expect(await post({ ttlSecondsAfterFinished: -1 })).toMatchObject(invalidAt('spec.ttlSecondsAfterFinished'))
      expect(await post({ backoffLimit: -1 })).toMatchObject(invalidAt('spec.backoffLimit'))
      expect(await post({ parallelism: -1 })).toMatchObject(invalidAt('spec.parallelism'))
      expect(await post({ podReplacementPolicy: 'Sometimes' })).toMatchObject(invalidAt('spec.podReplacementPolicy'))
      expect(await post({}, { containers: [] })).toMatchObject(invalidAt('spec.template.spec.containers'))
      expect(await post({}, { containers: [{ name: 'A', image: 'x' }] })).toMatchObject(invalidAt('spec.template.spec.containers[0].name'))
      expect(await post({}, { containers: [{ name: 'a', image: '' }] })).toMatchObject(invalidAt('spec.template.spec.containers[0].image'))
      expect(await post({}, { containers: [script('x', { volumeMounts: [{ name: 'v', mountPath: '/v' }] })] })).toMatchObject(
        invalidAt('spec.template.spec.containers[0].volumeMounts[0].name'),
      )
      expect(await post({ selector: { matchLabels: { a: 'b' } } })).toMatchObject(refused(422, 'Invalid'))
    })

    test('may not change its template, its completions or its selector', async (world) => {
      const { api, at } = world
      await start(world, job('j', 'sleep 600'))
      await running(world, 'j')
      const path = `${at.jobs}/j`
      const image = { spec: { template: { spec: { containers: [script('exit 1')] } } } }
      expect(await api.merge(path, image)).toMatchObject(
        refused(422, 'Invalid', {
          message: expect.stringContaining('field is immutable'),
          details: { group: 'batch', kind: 'Job', causes: [{ field: 'spec.template' }] },
        }),
      )
      expect(await api.merge(path, { spec: { completions: 2 } })).toMatchObject(invalidAt('spec.completions'))
      expect(await api.merge(path, { spec: { selector: { matchLabels: { a: 'b' } } } })).toMatchObject(refused(422, 'Invalid'))
      expect((await api.merge(path, { spec: { activeDeadlineSeconds: 1000, ttlSecondsAfterFinished: 5, backoffLimit: 1 } })).status).toBe(
        200,
      )
    })

    test('that is suspended and never ran may change where its pods go', async (world) => {
      const { api, at } = world
      await start(world, job('j', 'sleep 600', { suspend: true }))
      const path = `${at.jobs}/j`
      expect((await api.merge(path, { spec: { template: { spec: { nodeSelector: { a: 'b' } } } } })).status).toBe(200)
      expect(await api.merge(path, { spec: { template: { spec: { hostNetwork: true } } } })).toMatchObject(invalidAt('spec.template.spec'))
    })
  })

  describe('a Job', () => {
    test('runs to its end and says so', async (world) => {
      const { api, at } = world
      const made = await start(world, job('j', 'exit 0'))
      const done = await ended(world, 'j', 'Complete')
      expect(conditionOf(done, 'Complete')).toBe('True/CompletionsReached')
      expect(conditionOf(done, 'SuccessCriteriaMet')).toBe('True/CompletionsReached')
      expect(done.status.conditions.map((each: Tree) => each.message)).toEqual([
        'Reached expected number of succeeded pods',
        'Reached expected number of succeeded pods',
      ])
      expect(done.status).toMatchObject({ succeeded: 1, startTime: expect.any(String), completionTime: expect.any(String) })
      expect(done.status.active ?? 0).toBe(0)
      expect(done.status.failed ?? 0).toBe(0)
      const [only, second] = await podsOf(world, 'j')
      expect(second).toBeUndefined()
      expect(only.metadata).toMatchObject({
        generateName: 'j-',
        name: expect.stringMatching(/^j-[a-z0-9]{5}$/),
        ownerReferences: [
          { apiVersion: 'batch/v1', kind: 'Job', name: 'j', uid: made.metadata.uid, controller: true, blockOwnerDeletion: true },
        ],
      })
      expect(only.status.phase).toBe('Succeeded')
      expect((await api.get(`${at.jobs}/j/status`)).body.kind).toBe('Job')
    })

    test('without completions is done when one pod has succeeded', async (world) => {
      await start(world, job('work', 'exit 0', { parallelism: 2 }))
      const work = await ended(world, 'work', 'Complete')
      expect(work.spec.completions).toBeUndefined()
      expect(work.status.succeeded).toBe(2)
    })

    test('fails when its pods failed too often; their number is the limit and one', async (world) => {
      await start(world, job('j', 'exit 3', { backoffLimit: 1 }))
      const done = await ended(world, 'j', 'Failed')
      expect(conditionOf(done, 'Failed')).toBe('True/BackoffLimitExceeded')
      expect(conditionOf(done, 'FailureTarget')).toBe('True/BackoffLimitExceeded')
      expect(done.status.conditions.map((each: Tree) => each.message)).toEqual([
        'Job has reached the specified backoff limit',
        'Job has reached the specified backoff limit',
      ])
      expect(done.status).toMatchObject({ failed: 2 })
      expect(done.status.completionTime).toBeUndefined()
      const pods = await podsOf(world, 'j')
      expect(pods.map((each) => each.status.phase)).toEqual(['Failed', 'Failed'])
      // The second came no sooner than ten seconds after the first had failed.
      const [first, second] = pods.map((each) => Date.parse(each.metadata.creationTimestamp)).toSorted((a, b) => a - b) as [number, number]
      expect(second - first).toBeGreaterThanOrEqual(9000)
    })

    test('that is over its deadline ends its pods and fails', async (world) => {
      const { until } = world
      await start(world, job('j', 'sleep 600', { activeDeadlineSeconds: 3 }))
      const done = await ended(world, 'j', 'Failed')
      expect(conditionOf(done, 'Failed')).toBe('True/DeadlineExceeded')
      expect(conditionOf(done, 'FailureTarget')).toBe('True/DeadlineExceeded')
      expect(done.status.conditions[0].message).toBe('Job was active longer than specified deadline')
      expect(done.status).toMatchObject({ failed: 1 })
      await until('its pod is gone', async () => (await podsOf(world, 'j')).length === 0)
    })

    test('of parallelism 0 starts nothing, yet has a start and its deadline runs', async (world) => {
      const { api, at, until, clock } = world
      await start(world, job('j', 'exit 0', { parallelism: 0, completions: 1 }))
      const path = `${at.jobs}/j`
      const begun = await until('it has a startTime', async () => (await api.get(path)).body.status?.startTime as string | undefined)
      await clock.sleep(1500)
      expect(await podsOf(world, 'j')).toEqual([])
      await api.ok(api.merge(path, { spec: { parallelism: 1 } }))
      const done = await ended(world, 'j', 'Complete')
      expect(done.status.startTime).toBe(begun)
      await start(world, job('late', 'exit 0', { parallelism: 0, completions: 1, activeDeadlineSeconds: 2 }))
      expect(conditionOf(await ended(world, 'late', 'Failed'), 'Failed')).toBe('True/DeadlineExceeded')
      expect(await podsOf(world, 'late')).toEqual([])
    })

    test('whose parallelism is lowered to 0 ends its pods, and they do not count as failed', async (world) => {
      const { api, at, until } = world
      await start(world, job('j', 'sleep 600', { backoffLimit: 0 }))
      await running(world, 'j')
      await api.ok(api.merge(`${at.jobs}/j`, { spec: { parallelism: 0 } }))
      await until('the pod is gone', async () => (await podsOf(world, 'j')).length === 0)
      const after = await until('the Job has noticed', async () => {
        const now = await jobOf(api, `${at.jobs}/j`)
        return (now.status.active ?? 0) === 0 && (now.status.terminating ?? 0) === 0 && now
      })
      expect(after.status.failed ?? 0).toBe(0)
      expect(conditionOf(after, 'Failed')).toBe('')
    })

    test('that is suspended ends its pods and forgets its start; resumed, it begins anew', async (world) => {
      const { api, at, until } = world
      await start(world, job('j', 'sleep 600', { backoffLimit: 0, activeDeadlineSeconds: 600 }))
      const [first] = await running(world, 'j')
      const path = `${at.jobs}/j`
      expect((await jobOf(api, path)).status.startTime).toEqual(expect.any(String))
      await api.ok(api.merge(path, { spec: { suspend: true } }))
      const suspended = await until('it says so', () => withCondition(api, path, 'Suspended'))
      expect(conditionOf(suspended, 'Suspended')).toBe('True/JobSuspended')
      expect(suspended.status.conditions[0].message).toBe('Job suspended')
      expect(suspended.status.startTime).toBeUndefined()
      await until('the pod is gone', async () => (await podsOf(world, 'j')).length === 0)
      const quiet = await until('the Job has noticed', async () => {
        const now = await jobOf(api, path)
        return (now.status.terminating ?? 0) === 0 && now
      })
      expect(quiet.status.failed ?? 0).toBe(0)
      await api.ok(api.merge(path, { spec: { suspend: false } }))
      const [second] = await running(world, 'j')
      expect(second.metadata.uid).not.toBe(first.metadata.uid)
      const resumed = await jobOf(api, path)
      expect(conditionOf(resumed, 'Suspended')).toBe('False/JobResumed')
      expect(resumed.status.startTime).toEqual(expect.any(String))
    })

    test('born suspended has neither start nor pods', async (world) => {
      const { api, at, until } = world
      await start(world, job('j', 'exit 0', { suspend: true, activeDeadlineSeconds: 1 }))
      const path = `${at.jobs}/j`
      const born = await until('it says so', () => withCondition(api, path, 'Suspended'))
      expect(born.status.startTime).toBeUndefined()
      await world.clock.sleep(2500)
      expect(conditionOf(await jobOf(api, path), 'Failed')).toBe('')
      expect(await podsOf(world, 'j')).toEqual([])
    })

    test('with podReplacementPolicy Failed replaces a pod only when it is really over', async (world) => {
      const { api, at, until } = world
      // The container takes its time when it is told to end.
      const slow = { terminationGracePeriodSeconds: 5, containers: [script('sleep 600', { command: ['sh', '-c', 'sleep 600'] })] }
      await start(world, job('careful', 'sleep 600', { podReplacementPolicy: 'Failed' }, slow))
      const [first] = await running(world, 'careful')
      await api.ok(api.delete(`${at.pods}/${first.metadata.name}`))
      let both = 0
      await until('another pod is there', async () => {
        const pods = await podsOf(world, 'careful')
        if (pods.length > 1 && pods.some((each) => each.status.phase === 'Running' && each.metadata.deletionTimestamp !== undefined)) both++
        return pods.some((each) => each.metadata.uid !== first.metadata.uid)
      })
      expect(both).toBe(0)
      const now = await jobOf(api, `${at.jobs}/careful`)
      expect(now.status.failed).toBe(1)
    })

    test('replaces a pod that is being deleted at once, and counts it as failed', async (world) => {
      const { api, at, until } = world
      await start(world, job('hasty', 'sleep 600', { podReplacementPolicy: 'TerminatingOrFailed', backoffLimit: 1 }))
      const [first] = await running(world, 'hasty')
      // Held, so that it cannot go before its successor is there.
      await api.ok(
        api.json(`${at.pods}/${first.metadata.name}`, [{ op: 'add', path: '/metadata/finalizers/-', value: 'example.com/hold' }]),
      )
      await api.ok(api.delete(`${at.pods}/${first.metadata.name}`))
      const both = await until('its successor is there', async () => {
        const pods = await podsOf(world, 'hasty')
        return pods.length === 2 && pods
      })
      expect(both.find((each) => each.metadata.uid === first.metadata.uid).metadata.deletionTimestamp).toEqual(expect.any(String))
      await until('it is counted', async () => (await jobOf(api, `${at.jobs}/hasty`)).status.failed === 1)
      await api.ok(api.merge(`${at.pods}/${first.metadata.name}`, { metadata: { finalizers: null } }))
      await until('the first is gone', async () => (await podsOf(world, 'hasty')).length === 1)
    })

    test('that is finished goes after its time, its pods with it', async (world) => {
      const { api, at, until } = world
      await start(world, job('j', 'exit 0', { ttlSecondsAfterFinished: 1 }))
      await until('the Job is gone', async () => (await api.get(`${at.jobs}/j`)).status === 404)
      await until('its pods are gone', async () => (await podsOf(world, 'j')).length === 0)
      await start(world, job('later', 'exit 0'))
      await ended(world, 'later', 'Complete')
      await api.ok(api.merge(`${at.jobs}/later`, { spec: { ttlSecondsAfterFinished: 0 } }))
      await until('this one, too', async () => (await api.get(`${at.jobs}/later`)).status === 404)
    })

    test('that is finished does not wake up', async (world) => {
      const { api, at, clock } = world
      await start(world, job('j', 'exit 0'))
      await ended(world, 'j', 'Complete')
      await api.ok(api.merge(`${at.jobs}/j`, { spec: { suspend: true } }))
      await api.ok(api.merge(`${at.jobs}/j`, { spec: { suspend: false, parallelism: 3 } }))
      await clock.sleep(1500)
      expect(await podsOf(world, 'j')).toHaveLength(1)
      expect(conditionOf(await jobOf(api, `${at.jobs}/j`), 'Suspended')).toBe('')
    })

    test('holds its pods with a finalizer until it has counted them', async (world) => {
      const { until } = world
      await start(world, job('j', 'sleep 600'))
      const [pod_] = await running(world, 'j')
      expect(pod_.metadata.finalizers).toEqual(['batch.kubernetes.io/job-tracking'])
      await start(world, job('done', 'exit 0'))
      await ended(world, 'done', 'Complete')
      await until('the counted pod is let go', async () => (await podsOf(world, 'done'))[0]?.metadata.finalizers === undefined)
    })

    test('adopts no pod that another made', async (world) => {
      const { api, at, clock } = world
      await api.ok(
        api.post(at.pods, pod('stranger', 'sleep 600', {}, { labels: { 'batch.kubernetes.io/job-name': 'j', 'job-name': 'j' } })),
      )
      await start(world, job('j', 'exit 0', { suspend: true }))
      await clock.sleep(1000)
      expect((await api.get(`${at.pods}/stranger`)).body.metadata.ownerReferences).toBeUndefined()
    })
  })
}
