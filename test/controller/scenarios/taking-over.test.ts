/** Taking over from SUC, and what happens when Plans, nodes and Jobs go away under the rollout (design §4.5, §4.9; promises 10 and 12). */
import { describe, expect } from '@jest/globals'
import { sucJobOn, sucPlan } from './suc.ts'
import { agents, blocked, MINUTE, NEW, OLD, PLANS, story } from './story.ts'

const AGENTS = ['agent-1', 'agent-2', 'agent-3']

describe('after SUC', () => {
  story('nodes with its label and the right hash are left alone', {}, async (s) => {
    const plan = await sucPlan(s, agents(), [])
    for (const node of AGENTS)
      await s.patch(`/api/v1/nodes/${node}`, { metadata: { labels: { 'plan.upgrade.cattle.io/agents': plan.hash } } })
    await s.begin()
    await s.until('Complete', () => s.complete('agents'), MINUTE)
    await s.wait(30 * MINUTE)
    expect(s.hash()).toBe(plan.hash)
    expect(s.writes().filter((write) => write.ref.resource !== 'plans' && write.ref.resource !== 'customresourcedefinitions')).toEqual([])
  })

  story('a node that it left in applying, cordoned and without a Job is finished first, and uncordoned', {}, async (s) => {
    const plan = await sucPlan(s, agents(), ['agent-3'])
    await s.setCordon('agent-3', true)
    await s.begin()
    await s.until('agent-3 is done', () => s.label('agent-3') === plan.hash)
    expect([s.runs('agent-1'), s.runs('agent-2')]).toEqual([0, 0])
    await s.until('all is done', () => s.complete('agents'))
    expect(AGENTS.map((node) => s.cordoned(node))).toEqual([false, false, false])
    expect(s.node('agent-3').status.nodeInfo.kubeletVersion).toBe(NEW)
  })

  story('a node that it left upgraded but cordoned and unlabelled is finished without a run', {}, async (s) => {
    const plan = await sucPlan(s, agents(), ['agent-2'])
    await s.setCordon('agent-2', true)
    const machine = s.sandbox.machines.get('agent-2')!
    machine.replaceBinary(NEW)
    machine.restartService()
    await s.wait(MINUTE)
    await s.begin()
    await s.until('all is done', () => s.complete('agents'))
    expect(s.label('agent-2')).toBe(plan.hash)
    expect(s.cordoned('agent-2')).toBe(false)
    expect(s.runs('agent-2')).toBe(0)
  })

  story('a Job of its that runs is adopted, not repeated, and its cordon lifted', {}, async (s) => {
    const plan = await sucPlan(s, agents(), ['agent-2'])
    await sucJobOn(s, plan, 'agent-2')
    await s.until("SUC's Job has cordoned the node", () => s.cordoned('agent-2'), MINUTE)
    await s.begin()
    await s.until('all is done', () => s.complete('agents'))
    const ofNode = s.sandbox.history.filter(
      (w) => w.ref.resource === 'jobs' && w.verb === 'create' && w.status < 300 && w.after?.metadata.name.includes('agent-2'),
    )
    expect(ofNode.map((write) => write.user)).toEqual(['admin'])
    // A Plan that has got annotations since would make a returning SUC replace its own Job.
    const shielded = s.writes({ resource: 'jobs', verb: 'patch' })[0]
    expect(shielded?.after?.metadata.annotations?.['objectset.rio.cattle.io/applied']).toMatch(/^\{ drover/)
    expect(shielded?.after?.['spec']).toEqual(shielded?.before?.['spec'])
    expect(s.cordoned('agent-2')).toBe(false)
    expect(s.label('agent-2')).toBe(plan.hash)
    // The upgrade itself started at most twice: the Job's own second pod after containerd died under the first.
    expect(s.sandbox.machines.get('agent-2')!.timeline.filter((event) => event.what === 'replaced').length).toBe(1)
    expect(s.record('agent-2')).toEqual({})
  })

  story('a Job that SUC made before it could store the node in applying is adopted too', {}, async (s) => {
    const plan = await sucPlan(s, agents(), [])
    await sucJobOn(s, plan, 'agent-2')
    await s.until("SUC's Job has cordoned the node", () => s.cordoned('agent-2'), MINUTE)
    await s.begin()
    await s.until('all is done', () => s.complete('agents'))
    expect(s.sandbox.machines.get('agent-2')!.timeline.filter((event) => event.what === 'replaced').length).toBe(1)
    expect(AGENTS.map((node) => s.cordoned(node))).toEqual([false, false, false])
  })

  story('a Job that it left paused is replaced, and the node upgraded once', {}, async (s) => {
    const plan = await sucPlan(s, agents(), ['agent-2'])
    await sucJobOn(s, plan, 'agent-2', 0)
    await s.begin()
    await s.until('all is done', () => s.complete('agents'))
    expect(s.sandbox.machines.get('agent-2')!.timeline.filter((event) => event.what === 'replaced').length).toBe(1)
  })

  story('a Job of its that has failed is a failure here too: nothing runs until somebody says so', {}, async (s) => {
    s.sandbox.machines.get('agent-2')!.trouble.programFailures = 3
    const plan = await sucPlan(s, agents(), ['agent-2'])
    await sucJobOn(s, plan, 'agent-2')
    await s.until(
      'its Job has failed',
      () => s.jobs()[0]?.status?.conditions?.some((c) => c.type === 'Failed' && c.status === 'True') === true,
    )
    await s.begin()
    await s.until('the Plan says so', () => /JobFailed/.test(s.condition('agents', 'Complete')))
    await s.wait(60 * MINUTE)
    expect(s.runs('agent-2')).toBe(3)
    expect(s.applying()).toEqual(['agent-2'])
    expect([s.cordons('agent-1'), s.cordons('agent-3')]).toEqual([0, 0])
    await s.annotatePlan('agents', { 'drover.io/retry': 'now' })
    await s.until('all is done', () => s.complete('agents'))
    expect(s.cordoned('agent-2')).toBe(false)
  })

  story('nodes already at the target without any label of the Plan are done without disruption', {}, async (s) => {
    const machine = s.sandbox.machines.get('agent-1')!
    machine.replaceBinary(NEW)
    machine.restartService()
    await s.wait(MINUTE)
    await s.begin()
    await s.apply(agents())
    await s.until('all is done', () => s.complete('agents'))
    expect([s.runs('agent-1'), s.cordons('agent-1'), s.label('agent-1')]).toEqual([0, 0, s.hash()])
  })
})

describe('a Plan that is deleted', () => {
  story('in the middle of a drain: cordon given back, nothing started', { cluster: blocked }, async (s) => {
    await s.begin()
    await s.apply(agents({ drain: { force: true } }))
    await s.until('the drain is blocked', () => AGENTS.some((node) => s.cordoned(node)), 10 * MINUTE)
    await s.wait(MINUTE)
    const node = AGENTS.find((name) => s.cordoned(name))!
    await s.remove(`${PLANS}/agents`)
    await s.until('the node is given back', () => !s.cordoned(node), MINUTE)
    await s.wait(10 * MINUTE)
    expect(AGENTS.map((name) => s.runs(name))).toEqual([0, 0, 0])
    expect(s.record(node)).toEqual({})
    expect(s.jobs()).toEqual([])
    expect(s.sandbox.server.peekAll('pods', 'system-upgrade')).toEqual([])
  })

  story('in the middle of an upgrade: driven to its verdict, labelled with the hash of the record, uncordoned', {}, async (s) => {
    await s.begin()
    await s.apply(agents())
    await s.until('an upgrade runs', () => AGENTS.some((node) => s.runs(node) > 0))
    const node = AGENTS.find((name) => s.runs(name) > 0)!
    const { hash } = s.record(node).work!
    await s.remove(`${PLANS}/agents`)
    await s.until('the node is given back', () => !s.cordoned(node))
    await s.wait(30 * MINUTE)
    expect(s.label(node)).toBe(hash)
    expect(s.node(node).status.nodeInfo.kubeletVersion).toBe(NEW)
    expect(AGENTS.filter((name) => s.runs(name) > 0)).toEqual([node])
    expect(s.record(node)).toEqual({})
    expect(s.jobs()).toEqual([])
  })

  story('in the middle of an upgrade that fails: the node is given back and nothing is left', {}, async (s) => {
    for (const machine of s.sandbox.machines.values()) machine.trouble.programFailures = 9
    await s.begin()
    await s.apply(agents())
    await s.until('an upgrade runs', () => AGENTS.some((node) => s.runs(node) > 0))
    const node = AGENTS.find((name) => s.runs(name) > 0)!
    await s.remove(`${PLANS}/agents`)
    await s.until('the node is given back', () => !s.cordoned(node))
    await s.wait(30 * MINUTE)
    expect(s.record(node)).toEqual({})
    expect(s.jobs()).toEqual([])
    expect(s.label(node)).toBeUndefined()
  })

  story('after a failure: slot and cordon are given back', {}, async (s) => {
    for (const machine of s.sandbox.machines.values()) machine.trouble.programFailures = 3
    await s.begin()
    await s.apply(agents())
    await s.until('failed', () => /JobFailed/.test(s.condition('agents', 'Complete')))
    const node = s.applying()[0]!
    await s.remove(`${PLANS}/agents`)
    await s.until('the node is given back', () => !s.cordoned(node), MINUTE)
    await s.wait(30 * MINUTE)
    expect(s.record(node)).toEqual({})
    expect(s.jobs()).toEqual([])
  })

  story('and made again in the middle of an upgrade: the upgrade is not repeated', {}, async (s) => {
    await s.begin()
    await s.apply(agents())
    await s.until('an upgrade runs', () => AGENTS.some((node) => s.runs(node) > 0))
    const node = AGENTS.find((name) => s.runs(name) > 0)!
    await s.remove(`${PLANS}/agents`)
    await s.apply(agents())
    await s.until('all is done', () => s.complete('agents'))
    expect(s.sandbox.machines.get(node)!.timeline.filter((event) => event.what === 'replaced').length).toBe(1)
    expect(s.cordons(node)).toBe(1)
    expect(AGENTS.map((name) => [s.cordoned(name), s.record(name), s.label(name)])).toEqual(AGENTS.map(() => [false, {}, s.hash()]))
  })

  story('and made again in the middle of a drain: backed out and begun anew, limits kept', { cluster: blocked }, async (s) => {
    await s.begin()
    await s.apply(agents({ drain: { force: true } }))
    await s.until('the drain is blocked', () => AGENTS.some((node) => s.cordoned(node)), 10 * MINUTE)
    await s.wait(MINUTE)
    await s.remove(`${PLANS}/agents`)
    await s.apply(agents())
    let most = 0
    await s.until('all is done', () => {
      most = Math.max(most, AGENTS.filter((node) => s.cordoned(node)).length)
      return s.complete('agents')
    })
    expect(most).toBe(1)
    expect(AGENTS.map((name) => [s.cordoned(name), s.record(name)])).toEqual(AGENTS.map(() => [false, {}]))
  })
})

describe('a node that goes away', () => {
  story('removed in the middle of its upgrade: the slot is free, the Job gone, the others go on', {}, async (s) => {
    await s.begin()
    await s.apply(agents())
    await s.until('an upgrade runs', () => AGENTS.some((node) => s.runs(node) > 0))
    const node = AGENTS.find((name) => s.runs(name) > 0)!
    s.sandbox.machines.get(node)!.remove()
    await s.remove(`/api/v1/nodes/${node}`)
    await s.until('the others are done', () => s.complete('agents'))
    await s.wait(2 * MINUTE)
    expect(s.applying()).toEqual([])
    expect(s.jobs().filter((job) => job.metadata.name.includes(node))).toEqual([])
  })

  story('made anew under the same name in the middle of its upgrade: it is another node', {}, async (s) => {
    await s.begin()
    await s.apply(agents())
    await s.until('an upgrade runs', () => AGENTS.some((node) => s.runs(node) > 0))
    const node = AGENTS.find((name) => s.runs(name) > 0)!
    await s.sandbox.finish(s.sandbox.machines.get(node)!.recreate())
    await s.until('all is done', () => s.complete('agents') && s.label(node) !== undefined)
    expect(s.node(node).status.nodeInfo.kubeletVersion).toBe(NEW)
    expect(AGENTS.map((name) => [s.cordoned(name), s.record(name)])).toEqual(AGENTS.map(() => [false, {}]))
  })

  story('removed in the middle of its drain: nothing hangs', { cluster: blocked }, async (s) => {
    await s.begin()
    await s.apply(agents({ drain: { force: true, timeout: '30m' } }))
    await s.until('the drain is blocked', () => AGENTS.some((node) => s.cordoned(node)), 10 * MINUTE)
    const node = AGENTS.find((name) => s.cordoned(name))!
    await s.wait(MINUTE)
    s.sandbox.machines.get(node)!.remove()
    await s.remove(`/api/v1/nodes/${node}`)
    await s.until('another node is taken', () => s.applying().length === 1 && s.applying()[0] !== node, 5 * MINUTE)
  })
})

describe('a Job that is deleted by hand', () => {
  story('before it changed anything: made again, and the node ends done', {}, async (s) => {
    for (const machine of s.sandbox.machines.values()) machine.trouble.hangs = true
    await s.begin()
    await s.apply(agents())
    await s.until('an upgrade runs', () => AGENTS.some((node) => s.runs(node) > 0))
    const node = AGENTS.find((name) => s.runs(name) > 0)!
    const [job] = s.jobs()
    for (const machine of s.sandbox.machines.values()) machine.trouble.hangs = false
    await s.remove(`/apis/batch/v1/namespaces/system-upgrade/jobs/${job!.metadata.name}`)
    await s.until('all is done', () => s.complete('agents'))
    expect(s.label(node)).toBe(s.hash())
    expect(s.cordons(node)).toBe(1)
  })

  story('each time, without end: the node fails after three attempts instead of going on for ever', {}, async (s) => {
    for (const machine of s.sandbox.machines.values()) machine.trouble.hangs = true
    await s.begin()
    await s.apply(agents())
    let deleted = 0
    for (let i = 0; i < 5 && !/JobFailed/.test(s.condition('agents', 'Complete')); i++) {
      await s.until(
        'a Job runs, or the node has failed',
        () => s.jobs().some((job) => (job.status?.active ?? 0) > 0) || /JobFailed/.test(s.condition('agents', 'Complete')),
      )
      const job = s.jobs().find((entry) => (entry.status?.active ?? 0) > 0)
      if (job === undefined) break
      deleted++
      await s.remove(`/apis/batch/v1/namespaces/system-upgrade/jobs/${job.metadata.name}`)
      await s.wait(2 * MINUTE)
    }
    expect(s.condition('agents', 'Complete')).toMatch(/JobDeleted/)
    expect(deleted).toBe(3)
    expect(s.node(s.applying()[0]!).status.nodeInfo.kubeletVersion).toBe(OLD)
  })
})
