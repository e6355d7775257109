/** Failures: found out, remembered, never repeated unasked, and never made worse (design §4.6–4.8). */
import { describe, expect } from '@jest/globals'
import { agents, blocked, MINUTE, NEW, OLD, SECOND, story, type Story } from './story.ts'

const failed = (s: Story, plan = 'agents') => /JobFailed/.test(s.condition(plan, 'Complete'))
/** The one node that the Plan has taken first. */
const first = (s: Story) => s.applying()[0] ?? ''

async function failFirst(s: Story): Promise<string> {
  for (const [name, machine] of s.sandbox.machines) if (name.startsWith('agent')) machine.trouble.programFailures = 3
  await s.begin()
  await s.apply(agents())
  await s.until('the Plan reports the failure', () => failed(s))
  return first(s)
}

describe('a Job that fails for good', () => {
  story('node is Failed, keeps cordon and slot, and no other node is touched at concurrency 1', {}, async (s) => {
    const node = await failFirst(s)
    expect(s.condition('agents', 'Complete')).toMatch(
      new RegExp(`^False JobFailed: Job system-upgrade/apply-agents-on-${node}-with-.* failed on Node ${node}: BackoffLimitExceeded: `),
    )
    expect(s.condition('agents', 'Stalled')).toMatch(/^True NodeFailed/)
    await s.wait(60 * MINUTE)
    expect(s.cordoned(node)).toBe(true)
    expect(s.applying()).toEqual([node])
    expect(s.runs(node)).toBe(3)
    expect(s.record(node).past?.['system-upgrade/agents']).toMatchObject({
      reason: 'JobFailed',
      attempts: 1,
      log: expect.stringContaining('could not download runtime'),
    })
    for (const other of ['agent-1', 'agent-2', 'agent-3'].filter((name) => name !== node)) {
      expect([other, s.cordons(other), s.runs(other)]).toEqual([other, 0, 0])
    }
    expect(s.events('JobFailed').map((event) => [event.type, event.count])).toEqual([
      ['Warning', 1],
      ['Warning', 1],
    ])
  })

  story('drover.io/retry runs it once more, and the same value never a second time', {}, async (s) => {
    const node = await failFirst(s)
    for (const machine of s.sandbox.machines.values()) machine.trouble.programFailures = 0
    s.sandbox.machines.get(node)!.trouble.programFailures = 3
    await s.annotatePlan('agents', { 'drover.io/retry': '1' })
    await s.until('the second attempt failed', () => s.record(node).past?.['system-upgrade/agents']?.attempts === 2)
    await s.wait(60 * MINUTE)
    expect(s.runs(node)).toBe(6)
    expect(s.record(node).past?.['system-upgrade/agents']?.attempts).toBe(2)
    await s.annotatePlan('agents', { 'drover.io/retry': '2' })
    await s.until('all is done', () => s.complete('agents'))
    // 3 + 3 that failed, and of the good upgrade the pod that dies with containerd and the one that finds nothing to do.
    expect(s.runs(node)).toBe(8)
    expect(s.record(node)).toEqual({})
    expect(s.cordoned(node)).toBe(false)
  })

  story('a retry value that stood already when the node failed does not run it again', {}, async (s) => {
    for (const [name, machine] of s.sandbox.machines) if (name.startsWith('agent')) machine.trouble.programFailures = 3
    await s.begin()
    await s.apply(agents({}, { 'drover.io/retry': 'old' }))
    await s.until('the Plan reports the failure', () => failed(s))
    const node = first(s)
    await s.wait(30 * MINUTE)
    expect(s.runs(node)).toBe(3)
    await s.annotatePlan('agents', { 'drover.io/retry': null })
    await s.wait(30 * MINUTE)
    expect(s.runs(node)).toBe(3)
  })

  story('the failure is remembered over a restart of the controller', {}, async (s) => {
    const node = await failFirst(s)
    const message = s.condition('agents', 'Complete')
    for (const machine of s.sandbox.machines.values()) machine.trouble.programFailures = 0
    await restart(s)
    await s.wait(60 * MINUTE)
    expect(s.runs(node)).toBe(3)
    expect(s.applying()).toEqual([node])
    expect(s.condition('agents', 'Complete')).toBe(message)
  })

  story("an edit of the Plan's spec runs it again", {}, async (s) => {
    const node = await failFirst(s)
    for (const machine of s.sandbox.machines.values()) machine.trouble.programFailures = 0
    await s.patchPlan('agents', { jobActiveDeadlineSecs: 1200 })
    await s.until('all is done', () => s.complete('agents'))
    // 3 that failed, and of the good upgrade the pod that dies with containerd and the one that finds nothing to do.
    expect(s.runs(node)).toBe(5)
    expect(s.label(node)).toBe(s.hash())
    expect(s.cordoned(node)).toBe(false)
  })

  story('at concurrency 2 the failed node keeps its slot and the other slot goes on', {}, async (s) => {
    s.sandbox.machines.get('agent-2')!.trouble.programFailures = 3
    await s.begin()
    await s.apply(agents({ concurrency: 2 }))
    await s.until('the others are done', () => s.label('agent-1') !== undefined && s.label('agent-3') !== undefined && failed(s))
    await s.wait(10 * MINUTE)
    expect(s.applying()).toEqual(['agent-2'])
    expect([s.cordoned('agent-1'), s.cordoned('agent-2'), s.cordoned('agent-3')]).toEqual([false, true, false])
    expect(s.complete('agents')).toBe(false)
  })

  story('a failed node that leaves the selection frees its slot and its cordon', {}, async (s) => {
    const node = await failFirst(s)
    for (const machine of s.sandbox.machines.values()) machine.trouble.programFailures = 0
    await s.patch(`/api/v1/nodes/${node}`, { metadata: { labels: { 'plan.upgrade.cattle.io/agents': 'disabled' } } })
    await s.until('all others are done', () => s.complete('agents'))
    expect(s.cordoned(node)).toBe(false)
    expect(s.runs(node)).toBe(3)
  })
})

describe('a release that never comes up', () => {
  story('is NodeLost at its deadline, its Job suspended, and the machine under repair is not upgraded again', {}, async (s) => {
    s.sandbox.releases.set(NEW, 'crash')
    await s.begin()
    await s.apply(agents())
    await s.until('a node is lost', () => /NodeLost/.test(s.condition('agents', 'Complete')), 120 * MINUTE)
    const node = first(s)
    const lostAt = s.sandbox.clock.mono()
    const silent = s.sandbox.machines.get(node)!.timeline.find((event) => event.what === 'serviceDown')!
    // 40 s until Unknown, then verify.timeout (15 min).
    expect(lostAt - silent.at).toBeGreaterThan(15 * MINUTE)
    expect(lostAt - silent.at).toBeLessThan(18 * MINUTE)
    const [job] = s.jobs().filter((entry) => entry.metadata.name.startsWith('apply-'))
    expect(job?.spec.suspend).toBe(true)
    expect(s.cordoned(node)).toBe(true)
    // Repaired: back on the old release.
    s.sandbox.machines.get(node)!.replaceBinary(OLD)
    await s.until('the node is back', () => s.sandbox.machines.get(node)!.service === 'up')
    await s.wait(60 * MINUTE)
    expect(s.runs(node)).toBe(1)
    expect(s.node(node).status.nodeInfo.kubeletVersion).toBe(OLD)
    expect(s.applying()).toEqual([node])
    expect(s.record(node).past?.['system-upgrade/agents']?.reason).toBe('NodeLost')
  })

  story('put right onto the target, the node is verified and done without a new run', {}, async (s) => {
    s.sandbox.releases.set(NEW, 'crash')
    await s.begin()
    await s.apply(agents())
    await s.until('a node is lost', () => /NodeLost/.test(s.condition('agents', 'Complete')), 120 * MINUTE)
    const node = first(s)
    await s.wait(20 * MINUTE)
    s.sandbox.releases.delete(NEW)
    await s.until('the node is done', () => s.label(node) === s.hash())
    expect(s.runs(node)).toBe(1)
    expect(s.cordoned(node)).toBe(false)
    await s.until('the others follow', () => s.complete('agents'))
  })

  story('back on the old version within its time, the node is VersionMismatch and not upgraded again', {}, async (s) => {
    s.sandbox.releases.set(NEW, 'crash')
    await s.begin()
    await s.apply(agents())
    await s.until('the node is silent', () => s.jobs().some((job) => job.spec.suspend === true), 60 * MINUTE)
    const node = first(s)
    s.sandbox.machines.get(node)!.replaceBinary(OLD)
    await s.until('judged', () => failed(s))
    expect(s.record(node).past?.['system-upgrade/agents']?.reason).toBe('VersionMismatch')
    expect(s.runs(node)).toBe(1)
  })
})

describe('a machine that dies under a Plan that is no Kubernetes upgrade', () => {
  story('is NodeLost; its Job is stopped, so that switching it on again runs nothing', {}, async (s) => {
    s.sandbox.programs.set('os-patch', async (_pod, _machine, io) => {
      await io.clock.sleep(5 * MINUTE)
      return 0
    })
    await s.begin()
    await s.apply(agents({ upgrade: { image: 'os-patch' }, version: 'v1.2.3', jobActiveDeadlineSecs: 0 }))
    await s.until('a patch runs', () => s.applying().some((name) => s.runs(name) > 0))
    const node = first(s)
    s.sandbox.machines.get(node)!.powerOff()
    await s.until('the node is lost', () => /NodeLost/.test(s.condition('agents', 'Complete')), 18 * MINUTE)
    s.sandbox.machines.get(node)!.powerOn()
    await s.wait(60 * MINUTE)
    expect(s.runs(node)).toBe(1)
    expect(s.label(node)).toBeUndefined()
    expect(s.applying()).toEqual([node])
    expect(s.cordoned(node)).toBe(true)
  })
})

describe('what looks like a failure and is none', () => {
  story('the first pod of a good upgrade dies with containerd: no failure, one attempt', {}, async (s) => {
    await s.begin()
    await s.apply(agents())
    await s.until('all is done', () => s.complete('agents'))
    const died = s.sandbox.history.filter(
      (write) =>
        write.ref.resource === 'pods' &&
        (write.after?.['status'] as { phase?: string } | undefined)?.phase === 'Failed' &&
        write.ref.name?.startsWith('apply-'),
    )
    expect(died.length).toBeGreaterThan(0)
    expect(s.events('JobFailed')).toEqual([])
    for (const node of ['agent-1', 'agent-2', 'agent-3']) {
      const attempts = s.writes({ resource: 'jobs', verb: 'create' }).filter((write) => write.after?.metadata.name.includes(node))
      expect([node, attempts.length]).toEqual([node, 1])
    }
  })

  story('even where the Job has no second try, the node speaks before the Job is believed', {}, async (s) => {
    await s.begin('drover-1', { SYSTEM_UPGRADE_JOB_BACKOFF_LIMIT: '0' })
    await s.apply(agents({ concurrency: 3 }))
    await s.until('all is done', () => s.complete('agents'))
    const over = s.sandbox.history.filter(
      (write) => write.ref.resource === 'jobs' && JSON.stringify(write.after?.['status'] ?? {}).includes('BackoffLimitExceeded'),
    )
    expect(over.length).toBeGreaterThan(0)
    expect(s.events('JobFailed')).toEqual([])
  })

  story('a Job that is Complete while the old kubelet runs on is VersionMismatch, never done', {}, async (s) => {
    s.sandbox.machines.get('agent-1')!.trouble.dieAfterReplace = 1
    await s.begin()
    await s.apply(agents({ nodeSelector: { matchLabels: { 'kubernetes.io/hostname': 'agent-1' } } }))
    await s.until('judged', () => failed(s), 18 * MINUTE)
    expect(s.record('agent-1').past?.['system-upgrade/agents']?.reason).toBe('VersionMismatch')
    expect(s.label('agent-1')).toBeUndefined()
    expect(s.cordoned('agent-1')).toBe(true)
    // Somebody restarts the service, which was all that was missing.
    s.sandbox.machines.get('agent-1')!.restartService()
    await s.until('done', () => s.complete('agents'))
    expect(s.cordoned('agent-1')).toBe(false)
    expect(s.runs('agent-1')).toBe(2)
  })
})

describe('an upgrade image that is missing', () => {
  story('touches no node, is named, and the rollout goes on by itself when it appears', {}, async (s) => {
    const image = `rancher/rke2-upgrade:${NEW.replace('+', '-')}`
    s.sandbox.images.missing.add(image)
    await s.begin()
    await s.apply(agents())
    await s.until('the hold is shown', () => /ImageUnavailable/.test(s.condition('agents', 'Complete')), MINUTE)
    expect(s.condition('agents', 'Complete')).toContain(image)
    await s.wait(6 * 60 * MINUTE)
    expect(['agent-1', 'agent-2', 'agent-3'].map((node) => s.cordons(node))).toEqual([0, 0, 0])
    expect(s.applying()).toEqual([])
    expect(s.writes().length).toBeLessThan(60)
    s.sandbox.images.missing.delete(image)
    await s.until('all is done', () => s.complete('agents'))
  })
})

describe('drain.timeout', () => {
  story('a drain that does not end in time fails the node and gives it back uncordoned', { cluster: blocked }, async (s) => {
    await s.begin()
    await s.apply(agents({ cordon: false, drain: { force: true, timeout: '2m' } }))
    await s.until('judged', () => failed(s), 30 * MINUTE)
    const node = first(s)
    expect(s.condition('agents', 'Complete')).toMatch(/DrainTimeout.*default\/web-/)
    expect(s.cordoned(node)).toBe(false)
    expect(s.runs(node)).toBe(0)
    await s.wait(10 * MINUTE)
    expect(s.cordons(node)).toBe(1)
    expect(s.applying()).toEqual([node])
  })
})

async function restart(s: Story): Promise<void> {
  s.crash()
  await s.begin('drover-2')
  await s.wait(5 * SECOND)
}
