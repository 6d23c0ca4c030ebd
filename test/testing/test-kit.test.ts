/** The test kit itself: the API of the runtime, promise actors, and what it says of wrong use. */
import { afterEach, describe, expect, it } from 'vitest'
import { sid } from '../support/hosts.ts'
import { createTestKit } from '../../runtime/testing/index.ts'
import type { TestKit, TestKitConfig, Transition } from '../../runtime/testing/index.ts'
import { orderSession, shop, stock, ticker } from './machines.ts'

let kit: TestKit

async function start(config: TestKitConfig): Promise<TestKit> {
  kit = await createTestKit(config)
  return kit
}
afterEach(() => kit.close())

describe('as the runtime', () => {
  it('creates, updates, reads, tells, deletes', async () => {
    const { definition, told } = orderSession()
    await start({ definitions: [definition] })
    const made = await kit.createSession(definition, { id: 'order-1', key: 'once' })
    expect(made).toMatchObject({ created: true, id: 'order-1', version: 1, value: 'open' })
    const notices: string[] = []
    const leave = await kit.subscribe(made.id, ({ kind }) => notices.push(kind))
    const all: string[] = []
    await kit.onUpdate(({ kind }) => all.push(kind))
    expect(await kit.updateSession(made.id, { type: 'PAY' })).toMatchObject({
      outcome: 'committed',
      value: 'charging',
    })
    // A promise that needs no real time is over by then.
    expect(await kit.getSession(made.id)).toMatchObject({ value: 'paid', status: 'done' })
    expect(told).toEqual(['paid'])
    await kit.broadcastToSession(made.id, 'hello')
    expect(await kit.deleteSession(made.id)).toBe(true)
    expect(await kit.getSession(made.id)).toBeNull()
    expect(notices).toEqual(['updated', 'updated', 'updated', 'message', 'ended'])
    expect(all).toEqual(['updated', 'updated', 'ended'])
    leave()
    await expect(kit.updateSession(made.id, { type: 'PAY' })).rejects.toMatchObject({ code: 'not_found' })
  })

  it('history tells each transition with its event, state and process', async () => {
    const { definition } = orderSession()
    await start({ definitions: [definition], processes: 1 })
    const { id } = await kit.createSession(definition, { id: 'order-1' })
    await kit.updateSession(id, { type: 'PAY' }, { key: 'pay-1' })
    await kit.deleteSession(id)
    const [created, paying, paid, deleted] = kit.history(id) as [
      Transition,
      Transition,
      Transition,
      Transition,
    ]
    expect(created).toMatchObject({ kind: 'created', version: 1, process: 'p1', state: { value: 'open' } })
    expect(created.time).toBe(Date.UTC(2026, 0, 1))
    expect(paying).toMatchObject({ kind: 'event', version: 2, event: { type: 'PAY' }, key: 'pay-1' })
    expect(paid).toMatchObject({
      kind: 'result',
      event: { type: 'xstate.done.actor.0.(machine).charging', output: 'receipt' },
      state: { value: 'paid', tags: ['settled'], context: { receipt: 'receipt' } },
    })
    expect(deleted).toMatchObject({ kind: 'deleted', version: 4 })
    expect(deleted.state).toBeUndefined()
    expect(kit.history('nobody')).toEqual([])
  })

  it('sessions that send each other events', async () => {
    await start({ definitions: [shop, stock] })
    await kit.createSession(stock, { id: 'stock' })
    await kit.createSession(shop, { id: 'shop' })
    for (let n = 0; n < 3; n++) await kit.updateSession('shop', { type: 'SELL' })
    expect(await kit.getSession('stock')).toMatchObject({ context: { taken: 3 } })
  })

  it('CM5 a command key is forgotten in virtual time', async () => {
    await start({ definitions: [stock], commandKeyTtlMs: 60_000 })
    const { id } = await kit.createSession(stock)
    const take = () => kit.updateSession(id, { type: 'TAKE' }, { key: 'k' })
    await take()
    expect(await take()).toMatchObject({ outcome: 'duplicate' })
    await kit.advance(60_000)
    expect(await take()).toMatchObject({ outcome: 'committed', context: { taken: 2 } })
  })

  it('does the same in every run', async () => {
    const run = async (): Promise<unknown> => {
      const { definition } = orderSession(() => 'receipt')
      const own = await createTestKit({ definitions: [definition, ticker, shop, stock] })
      await own.createSession(stock, { id: 'stock' })
      await own.createSession(shop, { id: 'shop' })
      for (let n = 0; n < 20; n++) await own.createSession(n % 2 ? ticker : definition, { id: `s-${n}` })
      const order: string[] = []
      await own.onUpdate((notice) => order.push(notice.kind === 'updated' ? notice.session.id : notice.kind))
      await Promise.all([
        own.updateSession('s-2', { type: 'PAY' }),
        own.updateSession('shop', { type: 'SELL' }),
      ])
      own.faults.crashAfterCommit('s-5')
      await own.advance(120_000)
      const histories = Array.from({ length: 20 }, (_, n) => own.history(`s-${n}`))
      await own.close()
      return JSON.parse(JSON.stringify({ order, histories }))
    }
    await start({ definitions: [stock] })
    expect(await run()).toEqual(await run())
  })
})

describe('promise actors', () => {
  it('that need real time: waitFor waits for them, and virtual time stands', async () => {
    const { definition } = orderSession(() => new Promise((resolve) => setTimeout(resolve, 30, 'late')))
    await start({ definitions: [definition] })
    const { id } = await kit.createSession(definition)
    await kit.updateSession(id, { type: 'PAY' })
    const before = kit.now()
    expect(await kit.waitFor(id, { tag: 'settled' })).toMatchObject({ context: { receipt: 'late' } })
    expect(kit.now()).toEqual(before)
    await expect(kit.waitFor(id, { value: 'open' })).rejects.toMatchObject({ code: 'session_ended' })
  })

  it('that never end: their timeout, attempts and backoff are virtual', async () => {
    const signals: AbortSignal[] = []
    const never = (_: unknown, signal: AbortSignal) => {
      signals.push(signal)
      return new Promise(() => undefined)
    }
    const policy = { attempts: 3, backoffMs: 5000, timeoutMs: 600_000 }
    const { definition } = orderSession(never, policy)
    await start({ definitions: [definition] })
    const { id } = await kit.createSession(definition)
    await kit.updateSession(id, { type: 'PAY' })
    await kit.advance(600_000 + 5000)
    expect(signals.map(({ aborted }) => aborted)).toEqual([true, false])
    await kit.advance(600_000 + 10_000 + 600_000)
    expect(await kit.getSession(id)).toMatchObject({
      value: 'failed',
      context: { problem: 'it took longer than 600000 ms' },
    })
    expect(kit.history(id).map(({ kind }) => kind)).toEqual(['created', 'event', 'result'])
    await expect(kit.waitFor(id, { done: true }, { timeoutMs: 10 })).rejects.toMatchObject({
      code: 'timeout',
    })
  })

  it('are aborted when the kit is closed', async () => {
    let aborted = false
    const { definition } = orderSession((_, signal) => {
      signal.addEventListener('abort', () => (aborted = true))
      return new Promise(() => undefined)
    })
    await start({ definitions: [definition] })
    const { id } = await kit.createSession(definition)
    await kit.updateSession(id, { type: 'PAY' })
    await kit.close()
    expect(aborted).toBe(true)
  })
})

describe('wrong use', () => {
  it('is told at once, and says what', async () => {
    await expect(createTestKit({ definitions: [{} as never] })).rejects.toThrow(
      /definitions\[0\].*defineSession/,
    )
    await expect(createTestKit({ definitions: [stock, stock] })).rejects.toThrow('registered twice')
    await expect(createTestKit({ definitions: [stock], processes: 0 })).rejects.toThrow('processes')
    await expect(createTestKit({ definitions: [stock], start: new Date('?') })).rejects.toThrow('start')
    await expect(createTestKit({ definitions: [stock], sessionTtlMs: -1 })).rejects.toThrow('sessionTtlMs')
    await expect(createTestKit({ definitions: [stock], proceses: 3 } as never)).rejects.toThrow('proceses')
    await start({ definitions: [stock] })
    await expect(kit.createSession(shop)).rejects.toMatchObject({ code: 'unknown_machine' })
    await expect(kit.createSession('shop')).rejects.toThrow('there are: stock')
    for (const ms of [-1, 0.5, NaN, Infinity]) await expect(kit.advance(ms)).rejects.toThrow('advance')
    await expect(kit.updateSession('not an id', { type: 'TAKE' })).rejects.toThrow('is not a session id')
    await expect(kit.updateSession(sid('nobody'), { type: 'TAKE' })).rejects.toMatchObject({
      code: 'not_found',
    })
    expect(() => kit.history('not an id')).toThrow('is not a session id')
    expect(() => kit.faults.loseReply('not an id')).toThrow('is not a session id')
  })

  it('a fault that never fired is pending, and close() complains', async () => {
    const own = await createTestKit({ definitions: [stock] })
    own.faults.crashAfterCommit('stock')
    own.faults.loseReply('other')
    await own.createSession(stock, { id: 'other' })
    expect(own.faults.pending).toEqual([{ kind: 'crashAfterCommit', session: 'stock' }])
    await expect(own.close()).rejects.toThrow(
      'these faults were armed and never fired: crashAfterCommit("stock")',
    )
  })

  it('nothing works once it is closed', async () => {
    await start({ definitions: [stock] })
    await kit.close()
    await kit.close()
    const calls = [
      () => kit.createSession(stock),
      () => kit.updateSession('a', { type: 'TAKE' }),
      () => kit.getSession('a'),
      () => kit.waitFor('a', { done: true }),
      () => kit.advance(1),
      () => kit.startProcess(),
    ]
    for (const call of calls) await expect(call()).rejects.toThrow('the test kit is closed')
  })
})
