/** What of a session is due later, in the test kit. */
import { afterEach, describe, expect, it } from 'vitest'
import { createTestKit } from '../../runtime/testing/index.ts'
import type { TestKit, TestKitConfig } from '../../runtime/testing/index.ts'
import { orderSession, ticker } from './machines.ts'

let kit: TestKit

async function start(config: TestKitConfig): Promise<TestKit> {
  kit = await createTestKit(config)
  return kit
}
afterEach(() => kit.close())

const HOUR = 3_600_000

describe('advance', () => {
  it('fires each timer at its very time, and none before', async () => {
    const { definition } = orderSession()
    await start({ definitions: [definition], start: new Date('2030-05-01T12:00:00Z') })
    const { id } = await kit.createSession(definition)
    await kit.advance(HOUR / 2 - 1)
    expect((await kit.getSession<typeof definition>(id))?.context.reminders).toBe(0)
    await kit.advance(1)
    expect((await kit.getSession<typeof definition>(id))?.context.reminders).toBe(1)
    await kit.advance(HOUR / 2)
    expect(await kit.getSession(id)).toMatchObject({ value: 'cancelled', status: 'done' })
    expect(
      kit.history(id).map(({ kind, time, version }) => [kind, new Date(time).toISOString(), version]),
    ).toEqual([
      ['created', '2030-05-01T12:00:00.000Z', 1],
      ['timer', '2030-05-01T12:30:00.000Z', 2],
      ['timer', '2030-05-01T13:00:00.000Z', 3],
    ])
    expect(kit.now().toISOString()).toBe('2030-05-01T13:00:00.000Z')
  })

  it('one that arms the next ticks exactly, however the time is cut', async () => {
    await start({ definitions: [ticker] })
    const { id } = await kit.createSession(ticker)
    const ticks = async () => (await kit.getSession<typeof ticker>(id))?.context.ticks
    await kit.advance(3000)
    expect(await ticks()).toBe(3)
    for (let n = 0; n < 10; n++) await kit.advance(250)
    expect(await ticks()).toBe(5)
    await kit.advance(60_000)
    expect(await ticks()).toBe(65)
    await kit.advance(499)
    expect(await ticks()).toBe(65)
  })

  it('a month passes in no time, and a session ends at the end of its lifetime', async () => {
    const { definition } = orderSession()
    await start({ definitions: [definition, ticker] })
    const { id } = await kit.createSession(definition)
    const notices: unknown[] = []
    await kit.subscribe(id, ({ kind }) => notices.push([kind, kit.now().toISOString()]))
    const began = performance.now()
    await kit.advance(30 * 24 * HOUR)
    expect(performance.now() - began).toBeLessThan(5000)
    expect(await kit.getSession(id)).toBeNull()
    expect(notices).toEqual([
      ['updated', '2026-01-01T00:00:00.000Z'],
      ['updated', '2026-01-01T00:30:00.000Z'],
      ['updated', '2026-01-01T01:00:00.000Z'],
      ['ended', '2026-01-02T01:00:00.000Z'],
    ])
  })

  it('time in which nothing happened is no downtime; time without processes is', async () => {
    const definition = { ...orderSession().definition, overdueTimers: 'remaining' as const }
    await start({ definitions: [definition] })
    const { id } = await kit.createSession(definition)
    await kit.advance(HOUR / 2)
    expect(kit.history(id).map(({ kind }) => kind)).toEqual(['created', 'timer'])
    await kit.advance(HOUR / 4)
    kit.faults.crash()
    kit.faults.crash()
    await kit.advance(HOUR)
    await kit.startProcess()
    await kit.advance(10_000)
    expect(kit.history(id).map(({ kind }) => kind)).toEqual(['created', 'timer', 'overdue'])
    await kit.advance(HOUR / 4)
    expect(await kit.getSession(id)).toMatchObject({ value: 'cancelled' })
  })

  it('what is armed on the way and due before the end is done too', async () => {
    const { definition } = orderSession()
    await start({ definitions: [definition, ticker] })
    const { id } = await kit.createSession(definition)
    await kit.advance(HOUR / 2 - 59_993)
    await kit.createSession(ticker, { id: 'late' })
    await kit.advance(59_993)
    expect(await kit.getSession('late')).toMatchObject({ context: { ticks: 59 } })
    expect(await kit.getSession(id)).toMatchObject({ context: { reminders: 1 } })
  })
})
