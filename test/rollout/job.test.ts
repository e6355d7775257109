import { gunzipSync } from 'node:zlib'
import { describe, expect, test } from '@jest/globals'
import type { Job } from 'kubernetes-types/batch/v1.d.ts'
import { parseSettings } from '../../src/controller/settings.ts'
import type { Json, JsonObject } from '../../src/base/json.ts'
import { attemptMark, parseAttemptMark } from '../../src/rollout/attempt.ts'
import type { JobInput } from '../../src/rollout/job-input.ts'
import { applyJob, applyJobName } from '../../src/rollout/job.ts'
import { SHIELD } from '../../src/rollout/objectset.ts'
import { sucJob } from '../../src/rollout/suc-job.ts'
import { recorded } from '../kubernetes/swapping/recorded.ts'
import { decode, golden, jobInput, planWith } from './sample.ts'

const ATTEMPT = { planUID: 'plan-uid', attempt: 2, retry: 'a/b' }
const MARK = 'plan-uid/2/a/b'

function nativeJob(input: JobInput): Job {
  const made = applyJob({ ...input, mode: 'native', attempt: ATTEMPT })
  if (!made.ok) throw new Error(made.error)
  return made.job
}

function strictJob(input: JobInput): Job {
  const made = applyJob({ ...input, mode: 'strict' })
  if (!made.ok) throw new Error(made.error)
  return made.job
}

function without(pairs: Readonly<Record<string, string>> | undefined, wanted: (key: string) => boolean): Record<string, string> {
  return Object.fromEntries(Object.entries(pairs ?? {}).filter(([key]) => !wanted(key)))
}

const isMark = (key: string): boolean => key.startsWith('objectset.rio.cattle.io/') || key === 'drover.io/attempt'

function inputOf(vector: JsonObject): JobInput {
  const plan = decode(vector['plan'] ?? null)
  const { metadata } = vector['node'] as unknown as { metadata: { name: string; labels?: Record<string, string> } }
  const env = {
    ...(vector['settings'] as Record<string, string>),
    SYSTEM_UPGRADE_CONTROLLER_NAME: 'c',
    SYSTEM_UPGRADE_CONTROLLER_NAMESPACE: 'n',
  }
  const { settings } = parseSettings(env, [])
  return { ...jobInput(plan, { name: metadata.name, labels: metadata.labels ?? {} }), settings }
}

const isElsewhere = ({ node }: JobInput): boolean => (node.labels['kubernetes.io/hostname'] ?? node.name) !== node.name

const WINDOWS = { name: 'win-1', labels: { 'kubernetes.io/hostname': 'win-1', 'kubernetes.io/os': 'windows' } }

describe('a native apply Job', () => {
  test.each(golden('job').map((vector) => [vector['id'], vector] as const))("is SUC's but for what Drover does itself: %s", (_, vector) => {
    const input = inputOf(vector)
    const sucs = sucJob({ ...input, settings: { ...input.settings, job: { ...input.settings.job, kubectlImageWindows: 'any' } } })
    if (!sucs.ok) throw new Error(sucs.error)
    const native = nativeJob(input)
    const { initContainers: _init, ...sucPod } = sucs.job.spec?.template.spec ?? { containers: [] }
    expect(native.metadata?.name).toBe(sucs.job.metadata?.name)
    expect(native.metadata?.namespace).toBe(sucs.job.metadata?.namespace)
    expect(native.metadata?.ownerReferences).toBeUndefined()
    const foreign = (key: string): boolean =>
      isMark(key) || key.startsWith('meta.helm.sh/') || key.startsWith('argocd.') || key === 'app.kubernetes.io/instance'
    const hidden = (key: string): boolean => foreign(key) || (isElsewhere(input) && key === 'upgrade.cattle.io/controller')
    expect(without(native.metadata?.labels, isMark)).toEqual(without(sucs.job.metadata?.labels, hidden))
    expect(without(native.metadata?.annotations, isMark)).toEqual(without(sucs.job.metadata?.annotations, foreign))
    expect(native.spec?.template.metadata?.labels).toEqual(without(sucs.job.spec?.template.metadata?.labels, foreign))
    expect(without(native.spec?.template.metadata?.annotations, isMark)).toEqual(
      without(sucs.job.spec?.template.metadata?.annotations, foreign),
    )
    expect(native.spec?.template.spec).toEqual(sucPod)
    // The Job is kept until the node is judged, so it is born without a TTL.
    const { ttlSecondsAfterFinished: _ttl, ...sucSpec } = sucs.job.spec ?? { template: {} }
    expect({ ...native.spec, template: {} }).toEqual({ ...sucSpec, parallelism: 0, template: {} })
  })

  test('carries the attempt on the Job and on its pods', () => {
    const job = nativeJob(jobInput(planWith()))
    expect(job.metadata?.annotations?.['drover.io/attempt']).toBe(MARK)
    expect(job.spec?.template.metadata?.annotations?.['drover.io/attempt']).toBe(MARK)
  })

  test("carries SUC's marks but for `applied`, without which SUC replaces a Job that nobody started; strict carries that too", () => {
    const input = jobInput(planWith({ cordon: true, prepare: { image: 'a' } }))
    const [native, strict] = [nativeJob(input), strictJob(input)]
    expect(native.spec?.template.spec?.initContainers).toBeUndefined()
    expect(native.spec?.template.metadata?.labels).not.toHaveProperty('objectset.rio.cattle.io/hash')
    const { 'objectset.rio.cattle.io/applied': applied, ...annotations } = strict.metadata?.annotations ?? {}
    expect(JSON.parse(applied ?? '')).toEqual({ ...strict, metadata: { ...strict.metadata, annotations } })
    for (const { metadata } of [native, { ...strict, metadata: { ...strict.metadata, annotations } }]) {
      expect(metadata?.labels?.['objectset.rio.cattle.io/hash']).toBe('d661ea5d7278683dce770ce40b105bf148fce4d9')
      expect(without(metadata?.annotations, (key) => !key.startsWith('objectset.'))).toEqual({
        'objectset.rio.cattle.io/id': 'system-upgrade-controller',
        'objectset.rio.cattle.io/owner-gvk': 'upgrade.cattle.io/v1, Kind=Plan',
        'objectset.rio.cattle.io/owner-name': 'server-plan',
        'objectset.rio.cattle.io/owner-namespace': 'system-upgrade',
      })
    }
  })

  test('is hidden from SUC where the node is not called by its hostname, for SUC deletes Jobs of such nodes; drains still spare its pod', () => {
    const named = (name: string) => nativeJob(jobInput(planWith(), { name, labels: { 'kubernetes.io/hostname': 'host-1' } }))
    const label = 'upgrade.cattle.io/controller'
    const labels = (job: Job) => [job.metadata?.labels?.[label], job.spec?.template.metadata?.labels?.[label]]
    expect(labels(named('host-1'))).toEqual(['system-upgrade-controller', 'system-upgrade-controller'])
    expect(labels(named('node-1'))).toEqual([undefined, 'system-upgrade-controller'])
    // What Drover knows its Jobs by is there all the same.
    expect(named('node-1').metadata?.labels).toMatchObject({ 'upgrade.cattle.io/node': 'node-1', 'upgrade.cattle.io/plan': 'server-plan' })
  })

  test('is shielded by an `applied` that SUC takes for JSON and cannot read', () => {
    expect(Object.keys(SHIELD)).toEqual(['objectset.rio.cattle.io/applied'])
    const [text = ''] = Object.values(SHIELD)
    // What does not begin so is taken for base64, found empty, and the Job replaced.
    expect(text[0]).toBe('{')
    expect(() => JSON.parse(text) as unknown).toThrow()
  })

  test('is born paused even where the node stands in applying', () => {
    const plan = planWith({}, { status: { applying: ['node-1'] } })
    expect(nativeJob(jobInput(plan)).spec?.parallelism).toBe(0)
    expect(strictJob(jobInput(plan)).spec?.parallelism).toBe(0)
    expect(sucJob(jobInput(plan))).toMatchObject({ job: { spec: { parallelism: 1 } } })
  })

  test('needs no kubectl image for Windows, which strict cannot do without', () => {
    const input = jobInput(planWith({ cordon: true }), WINDOWS)
    expect(nativeJob(input).spec?.template.spec?.containers).toHaveLength(1)
    expect(applyJob({ ...input, mode: 'strict' })).toEqual({
      ok: false,
      error: 'SYSTEM_UPGRADE_JOB_KUBECTL_IMAGE_WINDOWS is required when targeting Windows nodes',
    })
  })

  test("leaves GitOps tools' ownership keys to strict mode, and drover.io/ keys to nobody", () => {
    const owned = [
      'argocd.argoproj.io/tracking-id',
      'kustomize.toolkit.fluxcd.io/name',
      'helm.toolkit.fluxcd.io/name',
      'meta.helm.sh/release-name',
      'helm.sh/chart',
      'app.kubernetes.io/instance',
      'app.kubernetes.io/managed-by',
      'kapp.k14s.io/app',
    ]
    const pairs = Object.fromEntries(
      [...owned, 'team', 'app.kubernetes.io/name', 'drover.io/paused', 'fleet.cattle.io/x'].map((key) => [key, 'x']),
    )
    const input = jobInput(planWith({}, { metadata: { labels: pairs, annotations: { ...pairs, 'kubectl.kubernetes.io/y': 'x' } } }))
    const copied = (job: Job): string[] =>
      [
        job.metadata?.labels,
        job.metadata?.annotations,
        job.spec?.template.metadata?.labels,
        job.spec?.template.metadata?.annotations,
      ].flatMap((group) => Object.entries(group ?? {}).flatMap(([key, value]) => (value === 'x' ? [key] : [])))
    const unowned = ['app.kubernetes.io/name', 'team']
    expect([...new Set(copied(nativeJob(input)))].toSorted()).toEqual(unowned)
    expect([...new Set(copied(strictJob(input)))].toSorted()).toEqual([...owned, ...unowned].toSorted())
  })
})

describe('a strict apply Job', () => {
  test.each(['rollout', 'complete', 'failed', 'paused'] as const)('is the one that the real SUC sent, down to its marks: %s', (moment) => {
    const { plan, jobs } = recorded(moment)
    expect(jobs.length).toBeGreaterThan(0)
    for (const { metadata } of jobs) {
      // SUC keeps what it sent, without kind and with values cut at 64 characters.
      const text = gunzipSync(Buffer.from(metadata?.annotations?.['objectset.rio.cattle.io/applied'] ?? '', 'base64')).toString()
      const theirs = JSON.parse(text) as Job
      const uid = theirs.metadata?.ownerReferences?.[0]?.uid ?? ''
      const name = metadata?.labels?.['upgrade.cattle.io/node'] ?? ''
      const input = jobInput(decode({ ...plan, metadata: { ...plan.metadata, uid } } as unknown as Json), {
        name,
        labels: { 'kubernetes.io/hostname': name },
      })
      const backoffLimit = theirs.spec?.backoffLimit ?? 0
      const settings = { ...input.settings, job: { ...input.settings.job, backoffLimit } }
      const { apiVersion: _api, kind: _kind, ...ours } = strictJob({ ...input, settings })
      // What SUC kept in the mark is the Job as it was before the mark.
      const annotations = without(ours.metadata?.annotations, (key) => key === 'objectset.rio.cattle.io/applied')
      const spec = { ...ours.spec, parallelism: theirs.spec?.parallelism }
      expect({ ...ours, metadata: { ...ours.metadata, annotations }, spec }).toEqual(theirs)
    }
  })

  test('belongs to the Plan', () => {
    expect(strictJob(jobInput(planWith())).metadata?.ownerReferences).toEqual([
      {
        apiVersion: 'upgrade.cattle.io/v1',
        kind: 'Plan',
        name: 'server-plan',
        uid: 'plan-uid',
        controller: true,
        blockOwnerDeletion: false,
      },
    ])
  })
})

describe('what the vectors leave open, read from the rules', () => {
  const only = (job: Job) => job.spec?.template.spec

  test('an empty hash leaves no empty value in the environment', () => {
    const made = sucJob({ ...jobInput(planWith()), latestHash: '' })
    const env = made.ok ? only(made.job)?.containers[0]?.env : undefined
    expect(env).toContainEqual({ name: 'SYSTEM_UPGRADE_PLAN_LATEST_HASH' })
  })

  test('prepare mounts its own volumes and keeps its own security context', () => {
    const made = sucJob(
      jobInput(
        planWith({
          prepare: { image: 'a', securityContext: { privileged: true }, volumes: [{ name: 'v', source: '/s', destination: '/d' }] },
        }),
      ),
    )
    const prepare = made.ok ? only(made.job)?.initContainers?.[0] : undefined
    expect(prepare?.securityContext).toEqual({ privileged: true })
    expect(prepare?.volumeMounts).toContainEqual({ name: 'v', mountPath: '/d' })
  })

  test.each([
    ['..', '/run/system-upgrade'],
    ['a/../../b/', '/run/system-upgrade/b'],
    ['./x//y', '/run/system-upgrade/secrets/x/y'],
    ['../../../../..', '/'],
    ['/as//it/../is/', '/as//it/../is/'],
  ])('a secret with path %s is mounted at %s', (path, mountPath) => {
    const made = sucJob(jobInput(planWith({ secrets: [{ name: 's', path }] })))
    expect(made.ok && only(made.job)?.containers[0]?.volumeMounts?.at(-1)).toEqual({ name: 'secret-s', mountPath, readOnly: true })
  })

  test.each([
    [{ postCompleteDelay: '0s' }, 0, 60],
    [{ postCompleteDelay: '840.9s' }, 900, 900],
    [{ postCompleteDelay: '841.9s' }, 900, 901],
    [{ postCompleteDelay: '-30s' }, 0, 30],
    [{}, 0, 0],
  ])('with %j and a TTL of %d s a finished Job is kept %d s', (spec, ttlSecondsAfterFinish, expected) => {
    const input = jobInput(planWith(spec))
    const made = sucJob({ ...input, settings: { ...input.settings, job: { ...input.settings.job, ttlSecondsAfterFinish } } })
    expect(made.ok && made.job.spec?.ttlSecondsAfterFinished).toBe(expected)
  })
})

describe('names and marks', () => {
  test('the name is that of the vectors', () => {
    expect(applyJobName('server-plan', 'node-1.example.com', jobInput(planWith()).latestHash)).toBe(
      'apply-server-plan-on-node-1-with-7c9e6679f0a1b2c3d4e5f607-1cce1',
    )
  })

  test('a mark is read back, whatever the retry value', () => {
    for (const retry of ['', 'x', 'a/b/c', '2026-01-01T00:00:00Z', 'line\nbreak']) {
      const attempt = { planUID: 'u', attempt: 7, retry }
      expect(parseAttemptMark(attemptMark(attempt))).toEqual(attempt)
    }
  })

  test.each([undefined, '', 'u', 'u/1', 'u/0/', 'u/x/', 'u/-1/'])('%j is no mark', (text) => {
    expect(parseAttemptMark(text)).toBeUndefined()
  })
})
