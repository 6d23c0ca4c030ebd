import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { SessionId } from '../../actors/session.ts'
import { tracesOf } from '../persistence/store-support.ts'
import { NOBODY, TestCluster, until } from '../support/hosts.ts'
import type { TestProcess } from '../support/hosts.ts'
import { ManualClock } from '../transport/support/manual-clock.ts'
import { Gate } from './host-gate.ts'
import { contextIn, counterSession } from './host-machines.ts'

let cluster: TestCluster

beforeAll(() => {
  cluster = new TestCluster()
})
afterAll(() => cluster.close())

interface Tally {
  readonly versions: number[]
  readonly errors: unknown[]
  slowestMs: number
}

/** `writers` clients of one process, each sends its next event once it is answered. */
async function press({ host }: TestProcess, id: SessionId, writers: number, each: number): Promise<Tally> {
  const tally: Tally = { versions: [], errors: [], slowestMs: 0 }
  const client = async (): Promise<void> => {
    for (let n = 0; n < each; n++) {
      const began = performance.now()
      try {
        const { applied } = await host.update({ id, event: { type: 'ADD' } }, NOBODY)
        tally.versions.push(applied ?? -1)
      } catch (error) {
        tally.errors.push(error)
      }
      tally.slowestMs = Math.max(tally.slowestMs, performance.now() - began)
    }
  }
  await Promise.all(Array.from({ length: writers }, client))
  return tally
}

describe('several processes at one session', () => {
  it.each([2, 4])('CM2 %i of them: all succeed, none starves, nothing is applied twice', async (count) => {
    const processes = await Promise.all(
      Array.from({ length: count }, () => cluster.process({ definitions: [counterSession()] })),
    )
    const [first] = processes as [TestProcess]
    const { id } = (await first.host.create({ machine: 'counter' }, NOBODY)).record
    const tallies = await Promise.all(processes.map((one) => press(one, id, 4, 30)))
    const all = tallies.flatMap(({ versions }) => versions).sort((a, b) => a - b)
    expect(tallies.flatMap(({ errors }) => errors)).toEqual([])
    expect(all).toEqual(Array.from({ length: count * 120 }, (_, n) => n + 2))
    for (const { slowestMs } of tallies) expect(slowestMs).toBeLessThan(2000)
    const record = await first.host.get(id)
    expect([record?.version, contextIn(record ?? { state: '' }).n]).toEqual([count * 120 + 1, count * 120])
    const { rows } = await tracesOf(cluster, id)
    for (const [n, row] of rows.entries()) expect(Number(row['v'])).toBe(n + 1)
  })

  it('one with a single event gets its turn between others that write without a pause', async () => {
    const [busy, quiet] = [
      await cluster.process({ definitions: [counterSession()] }),
      await cluster.process({ definitions: [counterSession()] }),
    ]
    const { id } = (await busy.host.create({ machine: 'counter' }, NOBODY)).record
    let isOver = false
    const flood = (async () => {
      while (!isOver) await press(busy, id, 32, 1)
    })()
    const waits: number[] = []
    for (let n = 0; n < 20; n++) waits.push((await press(quiet, id, 1, 1)).slowestMs)
    isOver = true
    await flood
    expect(Math.max(...waits)).toBeLessThan(2000)
  })

  it('who lost twice asks for the next turn, and gets it', async () => {
    const gate = new Gate()
    const loser = await cluster.process({ definitions: [counterSession()], wrap: gate.wrap })
    const winner = await cluster.process({ definitions: [counterSession()] })
    const { id } = (await loser.host.create({ machine: 'counter' }, NOBODY)).record
    gate.calls.length = 0
    gate.shut()
    const update = loser.host.update({ id, event: { type: 'ADD' } }, NOBODY)
    for (let loss = 1; loss <= 3; loss++) {
      await until(() => gate.waiting === 1)
      await winner.host.update({ id, event: { type: 'ADD' } }, NOBODY)
      if (loss < 3) {
        gate.open()
        gate.shut()
      }
    }
    gate.open()
    expect(await update).toMatchObject({ outcome: 'committed', applied: 5 })
    expect(gate.commits.map(({ reserve }) => reserve)).toEqual([false, false, true, true])
  })

  it('contention is answered by time: surely not applied', async () => {
    const clock = new ManualClock()
    const gate = new Gate()
    const loser = await cluster.process({ definitions: [counterSession()], wrap: gate.wrap, clock })
    const winner = await cluster.process({ definitions: [counterSession()] })
    const { id } = (await loser.host.create({ machine: 'counter' }, NOBODY)).record
    gate.shut()
    const update = loser.host.update({ id, event: { type: 'ADD', by: 1000 } }, NOBODY)
    const refused = expect(update).rejects.toMatchObject({ code: 'contention', retryable: true })
    await until(() => gate.waiting === 1)
    // However long Redis took until the first loss, that alone is no contention.
    await clock.pass(5000)
    await winner.host.update({ id, event: { type: 'ADD' } }, NOBODY)
    gate.open()
    gate.shut()
    await until(() => gate.waiting === 1)
    await winner.host.update({ id, event: { type: 'ADD' } }, NOBODY)
    await clock.pass(2001)
    gate.open()
    await refused
    expect(contextIn((await winner.host.get(id)) ?? { state: '' }).n).toBe(2)
    expect(await loser.host.update({ id, event: { type: 'ADD' } }, NOBODY)).toMatchObject({ applied: 4 })
  })
})
