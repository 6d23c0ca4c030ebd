import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { UpdateRequest } from '../../actors/ports.ts'
import type { SessionId } from '../../actors/session.ts'
import { NOBODY, TestCluster, until } from '../support/hosts.ts'
import type { TestProcess } from '../support/hosts.ts'
import { Gate } from './host-gate.ts'
import type { Act } from './host-machines.ts'
import { contextIn, counterSession } from './host-machines.ts'

let cluster: TestCluster
/** Another process, which changes sessions behind the back of the one under test. */
let other: TestProcess

beforeAll(async () => {
  cluster = new TestCluster()
  other = await cluster.process({ definitions: [counterSession()] })
})
afterAll(() => cluster.close())

async function counter({ host }: TestProcess, n = 0): Promise<SessionId> {
  return (await host.create({ machine: 'counter', input: { n } }, NOBODY)).record.id
}

async function acting(): Promise<TestProcess & { acts: Act[]; gate: Gate }> {
  const acts: Act[] = []
  const gate = new Gate()
  const process = await cluster.process({
    definitions: [counterSession((act) => void acts.push(act))],
    wrap: gate.wrap,
  })
  return { ...process, acts, gate }
}

function add(process: TestProcess, id: SessionId, by = 1) {
  return process.host.update({ id, event: { type: 'ADD', by } }, NOBODY)
}

describe('CM6 no effect starts before its commit', () => {
  it('CM6 action, answer and publication wait for the commit', async () => {
    const p = await acting()
    const id = await counter(p)
    p.published.length = p.committed.length = 0
    p.gate.shut()
    let answered = false
    const update = p.host.update({ id, event: { type: 'ACT' } }, NOBODY).then(() => (answered = true))
    await until(() => p.gate.waiting === 1)
    await new Promise((resolve) => setTimeout(resolve, 20))
    expect([p.acts.length, p.published.length, p.committed.length, answered]).toEqual([0, 0, 0, false])
    p.gate.open()
    await update
    expect([p.acts.length, p.published.length, p.committed.length]).toEqual([1, 1, 1])
  })

  it('CM6 a lost race runs the action once, on the state that won', async () => {
    const p = await acting()
    const id = await counter(p)
    p.gate.shut()
    const update = p.host.update({ id, event: { type: 'ACT', by: 7 } }, NOBODY)
    await until(() => p.gate.waiting === 1)
    await add(other, id, 100)
    await add(other, id, 100)
    p.gate.open()
    expect(await update).toMatchObject({ outcome: 'committed', applied: 4 })
    expect(p.acts).toEqual([{ n: 201, by: 7 }])
    expect(p.gate.commits).toHaveLength(3)
  })

  it('CM6 what was not committed runs nothing: gone, conflict, refused in a batch', async () => {
    const p = await acting()
    const id = await counter(p)
    const conflict = p.host.update({ id, event: { type: 'ACT' }, ifVersion: 9 }, NOBODY)
    const fine = p.host.update({ id, event: { type: 'ACT', by: 2 } }, NOBODY)
    await expect(conflict).rejects.toMatchObject({ code: 'version_conflict' })
    await fine
    expect(p.acts).toEqual([{ n: 1, by: 2 }])
    await other.host.delete(id, NOBODY)
    await expect(p.host.update({ id, event: { type: 'ACT' } }, NOBODY)).rejects.toMatchObject({
      code: 'not_found',
    })
    expect(p.acts).toHaveLength(1)
  })

  it('CM6 a command that is known already runs its action on no other process', async () => {
    const [p, q] = [await acting(), await acting()]
    const id = await counter(p)
    const request = { id, event: { type: 'ACT' }, key: 'k' }
    await p.host.update(request, NOBODY)
    expect(await q.host.update(request, NOBODY)).toMatchObject({ outcome: 'duplicate' })
    expect([p.acts.length, q.acts.length]).toEqual([1, 0])
  })

  it('CM6 actions of a batch run in order, each once', async () => {
    const p = await acting()
    const id = await counter(p)
    await Promise.all([1, 2, 3, 4].map((by) => p.host.update({ id, event: { type: 'ACT', by } }, NOBODY)))
    expect(p.acts).toEqual([1, 2, 3, 4].map((by) => ({ n: by, by })))
  })

  it('CM6 an action that fails, at once or later, harms nothing and is logged', async () => {
    const process = await cluster.process({
      definitions: [
        counterSession(({ by }) => {
          if (by === 1) throw new Error('at once')
          return Promise.reject(new Error('later'))
        }),
      ],
    })
    const id = await counter(process)
    for (const by of [1, 2])
      expect(await process.host.update({ id, event: { type: 'ACT', by } }, NOBODY)).toMatchObject({
        outcome: 'committed',
      })
    await until(() => process.log.at('error').length === 2)
    expect(process.log.lines.map(({ details }) => (details as { reason?: string }).reason)).toEqual([
      'at once',
      'later',
    ])
    expect(await add(process, id)).toMatchObject({ applied: 4 })
  })
})

describe('CM7 no answer rests on a snapshot that was no longer current', () => {
  /** A process that is warm at version 1 of a session that another has taken on since. */
  async function stale(n: number, event: UpdateRequest['event']): Promise<{ p: TestProcess; id: SessionId }> {
    const p = await cluster.process({ definitions: [counterSession()] })
    const id = await counter(p, n)
    await other.host.update({ id, event }, NOBODY)
    return { p, id }
  }

  it('CM7 unchanged: a guard is asked again on the state that is', async () => {
    const { p, id } = await stale(0, { type: 'ADD', by: 5 })
    const taken = await p.host.update({ id, event: { type: 'TAKE', by: 5 } }, NOBODY)
    expect(taken).toMatchObject({ outcome: 'committed', applied: 3 })
    expect(contextIn(taken.record).n).toBe(0)
  })

  it('CM7 committed: what looked possible is refused by the guard now', async () => {
    const { p, id } = await stale(5, { type: 'TAKE', by: 5 })
    const taken = await p.host.update({ id, event: { type: 'TAKE', by: 5 } }, NOBODY)
    expect(taken).toMatchObject({ outcome: 'unchanged', record: { version: 2 } })
    expect(contextIn(taken.record).n).toBe(0)
  })

  it('CM7 unchanged comes with the record as it is, and writes nothing', async () => {
    const { p, id } = await stale(0, { type: 'ADD', by: 3 })
    const result = await p.host.update({ id, event: { type: 'TAKE', by: 9 } }, NOBODY)
    expect(result).toMatchObject({ outcome: 'unchanged', record: { version: 2 } })
    expect(result).not.toHaveProperty('applied')
    expect(await p.host.get(id)).toEqual(result.record)
  })

  it('CM7 session_ended: only if it has ended by now', async () => {
    const { p, id } = await stale(0, { type: 'STOP' })
    await expect(add(p, id)).rejects.toMatchObject({ code: 'session_ended' })
    // And the other way round: ended as this process knew it, another life by now.
    await other.host.delete(id, NOBODY)
    await other.host.create({ machine: 'counter', id, input: { n: 7 } }, NOBODY)
    const added = await add(p, id)
    expect(added).toMatchObject({ outcome: 'committed', applied: 2 })
    expect(contextIn(added.record).n).toBe(8)
  })

  it('CM7 version_conflict names the position that is', async () => {
    const { p, id } = await stale(0, { type: 'ADD' })
    const { epoch } = (await p.host.get(id)) ?? { epoch: '' }
    const before = p.host.update({ id, event: { type: 'ADD' }, ifVersion: 1 }, NOBODY)
    await expect(before).rejects.toMatchObject({ code: 'version_conflict', details: { epoch, version: 2 } })
    const q = await stale(0, { type: 'ADD' })
    expect(await q.p.host.update({ id: q.id, event: { type: 'ADD' }, ifVersion: 2 }, NOBODY)).toMatchObject({
      outcome: 'committed',
      applied: 3,
    })
  })

  it('CM7 a fault of the machine is told only about the state that is', async () => {
    const { p, id } = await stale(0, { type: 'STOP' })
    const broken = p.host.update({ id, event: { type: 'BREAK' } }, NOBODY)
    await expect(broken).rejects.toMatchObject({ code: 'session_ended' })
    const q = await stale(0, { type: 'ADD' })
    const fault = q.p.host.update({ id: q.id, event: { type: 'BREAK' } }, NOBODY)
    await expect(fault).rejects.toMatchObject({
      code: 'internal',
      message: expect.stringContaining('it broke') as string,
    })
  })

  it('CM7 a deletion and a new life in between are seen', async () => {
    const { p, id } = await stale(0, { type: 'ADD' })
    await other.host.delete(id, NOBODY)
    await expect(p.host.update({ id, event: { type: 'TAKE', by: 1 } }, NOBODY)).rejects.toMatchObject({
      code: 'not_found',
      details: { reason: 'deleted' },
    })
  })

  it('CM7 a race during the call itself: refused on the state that came back', async () => {
    const gate = new Gate()
    const p = await cluster.process({ definitions: [counterSession()], wrap: gate.wrap })
    const id = await counter(p, 5)
    gate.shut()
    const taken = p.host.update({ id, event: { type: 'TAKE', by: 5 } }, NOBODY)
    await until(() => gate.waiting === 1)
    await other.host.update({ id, event: { type: 'TAKE', by: 5 } }, NOBODY)
    gate.open()
    expect(await taken).toMatchObject({ outcome: 'unchanged', record: { version: 2 } })
  })

  it('CM7 what the feed told is not trusted either: a warm session that is ahead of Redis is compared', async () => {
    const p = await cluster.process({ definitions: [counterSession()] })
    const id = await counter(p, 1)
    const record = await p.host.get(id)
    if (record === null) return expect.unreachable()
    p.host.observe({ ...record, version: 9, state: record.state.replace('"n":1', '"n":50') })
    expect(await p.host.update({ id, event: { type: 'TAKE', by: 50 } }, NOBODY)).toMatchObject({
      outcome: 'unchanged',
    })
    const added = await add(p, id)
    expect([added.applied, contextIn(added.record).n]).toEqual([2, 2])
  })

  it('CM7 without a warm snapshot the first call asks what is there', async () => {
    const gate = new Gate()
    const p = await cluster.process({ definitions: [counterSession()], wrap: gate.wrap })
    const id = await counter(other, 3)
    expect(await add(p, id)).toMatchObject({ outcome: 'committed', applied: 2 })
    expect(gate.calls.flat().map(({ kind }) => kind)).toEqual(['check', 'commit'])
    await add(p, id)
    expect(gate.calls).toHaveLength(3)
  })
})
