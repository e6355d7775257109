import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { parseSettings } from '../../src/controller/settings.ts'
import { type Row, SETTINGS } from '../../src/controller/settings-table.ts'
import { expectDocumentedTable } from '../house/generated.ts'

const rows: readonly Row<unknown>[] = Object.values(SETTINGS)
const NAMESPACE = 'SYSTEM_UPGRADE_CONTROLLER_NAMESPACE'

const parse = (env: Record<string, string>, argv: readonly string[] = []) => parseSettings({ [NAMESPACE]: 'ns', ...env }, argv)

test('docs/settings.md lists exactly the settings', () => {
  const code = (value: string) => (value === '' ? '' : `\`${value}\``)

  expectDocumentedTable(
    'docs/settings.md',
    ['variable', 'flag', 'value', 'default', 'meaning'],
    rows.map((row) => [code(row.env), code(row.flag === undefined ? '' : `--${row.flag}`), row.kind.name, code(row.default), row.about]),
  )
})

test('every default parses, and no two settings share a name', () => {
  for (const row of rows) expect({ env: row.env, read: row.kind.read(row.default) }).toHaveProperty('read.ok')
  expect(new Set(rows.map((row) => row.env)).size).toBe(rows.length)
})

test("defaults are SUC's, and Drover's as documented", () => {
  const { settings, warnings } = parse({})

  expect(warnings).toEqual([])
  expect(settings).toEqual({
    name: 'system-upgrade-controller',
    namespace: 'ns',
    nodeName: undefined,
    debug: false,
    leaderElect: false,
    kubeConfig: undefined,
    masterURL: undefined,
    threads: 2,
    job: {
      activeDeadlineSeconds: 600,
      activeDeadlineSecondsMax: 0,
      backoffLimit: 2,
      kubectlImage: 'rancher/kubectl:v1.30.3',
      kubectlImageWindows: '',
      privileged: true,
      imagePullPolicy: 'IfNotPresent',
      ttlSecondsAfterFinish: 900,
      podReplacementPolicy: 'TerminatingOrFailed',
    },
    planPollingIntervalMs: 900_000,
    compatibility: 'native',
    verify: { minReadyMs: 10_000, timeoutMs: 900_000 },
    drain: { stalledAfterMs: 3_600_000 },
    clusterMaxUnavailable: undefined,
    kstatus: true,
    statusDelayMs: 25_000,
    selfCheck: true,
    channelAgreementMs: 60_000,
    channelTimeoutMs: 10_000,
    lease: { durationMs: 90_000, renewDeadlineMs: 60_000, retryMs: 10_000 },
    metricsAddress: ':8080',
  })
})

test("the ConfigMap of Rancher's chart is taken as it is", () => {
  const { settings, warnings } = parse({
    SYSTEM_UPGRADE_CONTROLLER_DEBUG: 'false',
    SYSTEM_UPGRADE_CONTROLLER_THREADS: '2',
    SYSTEM_UPGRADE_CONTROLLER_LEADER_ELECT: 'true',
    SYSTEM_UPGRADE_JOB_ACTIVE_DEADLINE_SECONDS: '900',
    SYSTEM_UPGRADE_JOB_BACKOFF_LIMIT: '99',
    SYSTEM_UPGRADE_JOB_IMAGE_PULL_POLICY: 'Always',
    SYSTEM_UPGRADE_JOB_KUBECTL_IMAGE: 'rancher/kuberlr-kubectl:v8.1.0',
    SYSTEM_UPGRADE_JOB_KUBECTL_IMAGE_WINDOWS: 'rancher/kuberlr-kubectl:v8.1.0',
    SYSTEM_UPGRADE_JOB_PRIVILEGED: 'true',
    SYSTEM_UPGRADE_JOB_TTL_SECONDS_AFTER_FINISH: '900',
    SYSTEM_UPGRADE_PLAN_POLLING_INTERVAL: '15m',
  })

  expect(warnings).toEqual([])
  expect(settings.leaderElect).toBe(true)
  expect(settings.job).toMatchObject({
    activeDeadlineSeconds: 900,
    backoffLimit: 99,
    imagePullPolicy: 'Always',
    kubectlImageWindows: 'rancher/kuberlr-kubectl:v8.1.0',
  })
})

describe('the namespace', () => {
  test("falls back to the pod's", () => {
    expect(parseSettings({}, [], 'cattle-system\n').settings.namespace).toBe('cattle-system')
    expect(parse({}).settings.namespace).toBe('ns')
    expect(parseSettings({ [NAMESPACE]: 'mine' }, [], 'cattle-system').settings.namespace).toBe('mine')
  })

  test.each([undefined, '', '\n'])('is required: pod namespace %j', (podNamespace) => {
    expect(() => parseSettings({}, [], podNamespace)).toThrow(
      expect.objectContaining({ code: 'MissingSetting', message: expect.stringContaining('--namespace') }),
    )
  })
})

describe('a value that does not parse leaves the default and warns', () => {
  test.each([
    ['SYSTEM_UPGRADE_CONTROLLER_DEBUG', 'yes', 'debug', false],
    ['SYSTEM_UPGRADE_CONTROLLER_THREADS', 'two', 'threads', 2],
    ['SYSTEM_UPGRADE_CONTROLLER_THREADS', '0', 'threads', 2],
    ['SYSTEM_UPGRADE_JOB_ACTIVE_DEADLINE_SECONDS', 'ten', 'job.activeDeadlineSeconds', 600],
    ['SYSTEM_UPGRADE_JOB_ACTIVE_DEADLINE_SECONDS', '9223372036854775808', 'job.activeDeadlineSeconds', 600],
    ['SYSTEM_UPGRADE_JOB_ACTIVE_DEADLINE_SECONDS', '1e3', 'job.activeDeadlineSeconds', 600],
    ['SYSTEM_UPGRADE_JOB_BACKOFF_LIMIT', '2147483648', 'job.backoffLimit', 2],
    ['SYSTEM_UPGRADE_JOB_PRIVILEGED', 'no', 'job.privileged', true],
    ['SYSTEM_UPGRADE_PLAN_POLLING_INTERVAL', '60s', 'planPollingIntervalMs', 900_000],
    ['SYSTEM_UPGRADE_PLAN_POLLING_INTERVAL', '15', 'planPollingIntervalMs', 900_000],
    ['DROVER_COMPATIBILITY', 'Strict', 'compatibility', 'native'],
    ['DROVER_VERIFY_MIN_READY', '-1s', 'verify.minReadyMs', 10_000],
    ['DROVER_VERIFY_TIMEOUT', '0', 'verify.timeoutMs', 900_000],
    ['DROVER_CLUSTER_MAX_UNAVAILABLE', '101%', 'clusterMaxUnavailable', undefined],
    ['DROVER_CLUSTER_MAX_UNAVAILABLE', '-1', 'clusterMaxUnavailable', undefined],
    ['DROVER_LEASE_RETRY', '1 s', 'lease.retryMs', 10_000],
  ])('%s=%s', (env, value, path, expected) => {
    const { settings, warnings } = parse({ [env]: value })

    const got = path.split('.').reduce<unknown>((at, key) => (at as Record<string, unknown>)[key], settings)
    expect(got).toBe(expected)
    expect(warnings).toHaveLength(1)
    expect(warnings[0]).toContain(`${env} is "${value}", expected is `)
  })

  test('an empty variable is not set, and warns of nothing', () => {
    const empty = Object.fromEntries(
      rows.filter((row) => row.emptyCounts === undefined && row.env !== NAMESPACE).map((row) => [row.env, '']),
    )

    expect(parse(empty)).toEqual(parse({}))
  })

  test('an empty metrics address turns the server off', () => {
    expect(parse({ DROVER_METRICS_ADDRESS: '' })).toMatchObject({ settings: { metricsAddress: '' }, warnings: [] })
  })
})

test.each([
  ['+7', 7],
  ['0', 0],
  ['-5', -5],
])("integers are Go's: %s", (value, expected) => {
  expect(parse({ SYSTEM_UPGRADE_JOB_ACTIVE_DEADLINE_SECONDS: value }).settings.job.activeDeadlineSeconds).toBe(expected)
})

test.each(['1', 't', 'T', 'true', 'True', 'TRUE'])("booleans are Go's: %s", (value) => {
  expect(parse({ SYSTEM_UPGRADE_CONTROLLER_DEBUG: value }).settings.debug).toBe(true)
})

test.each([
  ['1h30m', 5_400_000],
  ['90s', 90_000],
  ['1.5m', 90_000],
  ['.5s', 500],
  ['100ms', 100],
  ['1µs', 1],
  ['1h1ms', 3_600_001],
])("durations are Go's: %s", (value, expected) => {
  expect(parse({ DROVER_VERIFY_TIMEOUT: value })).toMatchObject({ settings: { verify: { timeoutMs: expected } }, warnings: [] })
})

test('any text at all yields settings, each either read or warned of', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...rows.filter((row) => row.env !== NAMESPACE)),
      fc.oneof(fc.string(), fc.stringMatching(/^[+-]?[0-9.]{1,3}(ms|s|m|h|%)?$/)),
      (row, value) => {
        const { settings, warnings } = parse({ [row.env]: value })

        expect(settings.lease.retryMs).toBeLessThan(settings.lease.renewDeadlineMs)
        expect(settings.lease.renewDeadlineMs).toBeLessThan(settings.lease.durationMs)
        expect(Number.isInteger(settings.job.activeDeadlineSeconds)).toBe(true)
        expect(warnings.length > 0 || value === '' || 'ok' in row.kind.read(value)).toBe(true)
      },
    ),
  )
})

test('lease times that contradict each other fall back together', () => {
  const { settings, warnings } = parse({ DROVER_LEASE_DURATION: '30s', DROVER_LEASE_RENEW_DEADLINE: '40s', DROVER_LEASE_RETRY: '5s' })

  expect(settings.lease).toEqual({ durationMs: 90_000, renewDeadlineMs: 60_000, retryMs: 10_000 })
  expect(warnings).toEqual([
    'DROVER_LEASE_RETRY < DROVER_LEASE_RENEW_DEADLINE < DROVER_LEASE_DURATION does not hold; 10s, 60s, 90s are used',
  ])
})

describe('flags', () => {
  test.each([
    [['--name', 'a', '--threads=4', '--debug']],
    [['-name', 'a', '-threads', '4', '-debug']],
    [['-name=a', '--threads', '4', '--debug=true']],
  ])('%j', (argv) => {
    expect(parse({}, argv)).toMatchObject({ settings: { name: 'a', threads: 4, debug: true }, warnings: [] })
  })

  test('win over the environment', () => {
    const env = { SYSTEM_UPGRADE_CONTROLLER_NAME: 'env', SYSTEM_UPGRADE_CONTROLLER_DEBUG: 'true' }

    expect(parse(env, ['--name=flag', '--debug=false']).settings).toMatchObject({ name: 'flag', debug: false })
  })

  test('that do not parse are named as flags', () => {
    expect(parse({}, ['--threads', 'x']).warnings).toEqual(['--threads is "x", expected is a whole number from 1 to 1000; 2 is used'])
  })

  test.each([['--colour'], ['stray'], ['--'], ['-'], ['---name=a'], ['--constructor']])('%j is refused by name', (flag) => {
    expect(() => parse({}, [flag])).toThrow(
      expect.objectContaining({ code: 'UnknownFlag', message: expect.stringContaining(JSON.stringify(flag)) }),
    )
  })

  test('without their value are refused', () => {
    expect(() => parse({}, ['--kubeconfig'])).toThrow(expect.objectContaining({ code: 'BadFlag' }))
  })

  test("SUC's dead flag is ignored with a warning", () => {
    expect(parse({}, ['--service-account', 'x', '--debug'])).toMatchObject({
      settings: { debug: true },
      warnings: ['--service-account is ignored'],
    })
  })
})
