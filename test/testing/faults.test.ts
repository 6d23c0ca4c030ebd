/** What goes wrong when a test wants it to, and what the sessions make of it: as docs/spec.md says, since it is the same code. */
import { fromPromise, setup } from 'xstate'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { defineSession } from '../../actors/define-session.ts'
import { executionOf } from '../../actors/promise-run.ts'
import type { Execution } from '../../actors/promise-run.ts'
import { createTestKit } from '../../runtime/testing/index.ts'
import type { TestKit } from '../../runtime/testing/index.ts'
import { orderSession, shop, stock } from './machines.ts'

const UNKNOWN = { code: 'timeout', retryable: true, details: { outcome: 'unknown' } }
const HOUR = 3_600_000

let executions: Execution[]
let order: ReturnType<typeof orderSession>
let kit: TestKit

beforeEach(async () => {
  executions = []
  order = orderSession((execution) => {
    executions.push(execution)
    return `receipt ${executions.length}`
  })
  kit = await createTestKit({ definitions: [order.definition, shop, stock] })
})
afterEach(async () => {
  expect(kit.faults.pending).toEqual([])
  await kit.close()
})

function kindsOf(id: string): string[] {
  return kit.history(id).map(({ kind, process }) => `${kind} by ${process}`)
}

async function ordered(id = 'order-1'): Promise<string> {
  await kit.createSession(order.definition, { id })
  return id
}

describe('crashAfterCommit', () => {
  it('CM6 the caller is not answered and no action runs; asked again with the key, it was applied', async () => {
    const id = await ordered()
    kit.faults.crashAfterCommit(id)
    const note = () => kit.updateSession(id, { type: 'NOTE' }, { key: 'note-1' })
    await expect(note()).rejects.toMatchObject(UNKNOWN)
    expect(kindsOf(id)).toEqual(['created by p1', 'event by p1'])
    expect(await note()).toMatchObject({ outcome: 'duplicate', applied: 2, version: 2 })
    expect(kit.history(id)).toHaveLength(2)
    expect(order.told).toEqual([])
  })

  it('TM1 TM2 timers that the dead process had armed fire elsewhere, once', async () => {
    const id = await ordered()
    kit.faults.crash()
    await kit.advance(HOUR)
    expect(kindsOf(id)).toEqual(['created by p1', 'timer by p2', 'timer by p2'])
    expect(kit.history(id).at(-1)?.time).toBe(kit.now().getTime())
  })

  it('TM2 a timer whose process dies right after its commit does not fire again', async () => {
    const id = await ordered()
    kit.faults.crashAfterCommit(id)
    await kit.advance(2 * HOUR)
    expect(kindsOf(id)).toEqual(['created by p1', 'timer by p1', 'timer by p2'])
  })

  it('TM4 a promise actor that never started is run by another process, once its lease is over', async () => {
    const id = await ordered()
    kit.faults.crashAfterCommit(id)
    await expect(kit.updateSession(id, { type: 'PAY' })).rejects.toMatchObject(UNKNOWN)
    await kit.advance(14_999)
    expect(executions).toEqual([])
    await kit.advance(3_000)
    expect(kindsOf(id).slice(1)).toEqual(['event by p1', 'takeover by p2', 'result by p2'])
    expect(executions).toHaveLength(1)
    expect(await kit.getSession(id)).toMatchObject({ value: 'paid', context: { receipt: 'receipt 1' } })
    expect(order.told).toEqual(['paid'])
  })

  it('TM6 mail of a sender that died is delivered by another process, once', async () => {
    await kit.createSession(stock, { id: 'stock' })
    await kit.createSession(shop, { id: 'shop' })
    kit.faults.crashAfterCommit('shop')
    await expect(kit.updateSession('shop', { type: 'SELL' })).rejects.toMatchObject(UNKNOWN)
    expect(await kit.getSession('stock')).toMatchObject({ context: { taken: 0 } })
    await kit.advance(5000)
    expect(await kit.getSession('stock')).toMatchObject({ context: { taken: 1 } })
    expect(kit.history('stock').at(-1)).toMatchObject({ kind: 'mail', sender: 'shop', process: 'p2' })
  })

  it('TM6 mail whose receiver has committed it and then died is delivered again, and applied once', async () => {
    await kit.createSession(stock, { id: 'stock' })
    await kit.createSession(shop, { id: 'shop' })
    kit.faults.crashAfterCommit('stock')
    await kit.updateSession('shop', { type: 'SELL' })
    expect(kindsOf('stock')).toEqual(['created by p1', 'mail by p1'])
    await kit.advance(60_000)
    expect(await kit.getSession('stock')).toMatchObject({ context: { taken: 1 } })
    await kit.updateSession('shop', { type: 'SELL' })
    expect(kindsOf('stock')).toEqual(['created by p1', 'mail by p1', 'mail by p2'])
  })

  it('of a creation and of a deletion', async () => {
    kit.faults.crashAfterCommit('order-1')
    await expect(ordered()).rejects.toMatchObject(UNKNOWN)
    expect(await kit.getSession('order-1')).toMatchObject({ version: 1 })
    await kit.startProcess()
    kit.faults.crashAfterCommit('order-1')
    await expect(kit.deleteSession('order-1')).rejects.toMatchObject(UNKNOWN)
    expect(await kit.deleteSession('order-1')).toBe(false)
    expect(kindsOf('order-1')).toEqual(['created by p1', 'deleted by p2'])
  })
})

describe('crashBeforeCommit', () => {
  it('nothing was written, and asked again it is applied', async () => {
    const id = await ordered()
    kit.faults.crashBeforeCommit(id)
    const note = () => kit.updateSession(id, { type: 'NOTE' }, { key: 'note-1' })
    await expect(note()).rejects.toMatchObject(UNKNOWN)
    expect(kit.history(id)).toHaveLength(1)
    expect(await note()).toMatchObject({ outcome: 'committed', applied: 2 })
    expect(order.told).toEqual(['noted'])
  })

  it('TM1 of a timer: another process fires it, late by what it takes to find it', async () => {
    const id = await ordered()
    kit.faults.crashBeforeCommit(id)
    await kit.advance(HOUR / 2)
    expect(kit.history(id)).toHaveLength(1)
    await kit.advance(3000)
    expect(kindsOf(id)).toEqual(['created by p1', 'timer by p2'])
  })
})

describe('crashBeforeResult', () => {
  it('TM4 TM5 the promise is run again elsewhere with the same effect key', async () => {
    const id = await ordered()
    kit.faults.crashBeforeResult(id)
    await kit.updateSession(id, { type: 'PAY' })
    expect(await kit.getSession(id)).toMatchObject({ value: 'charging' })
    await kit.advance(20_000)
    expect(executions.map(({ attempt }) => attempt)).toEqual([1, 2])
    expect(executions[1]?.effectKey).toBe(executions[0]?.effectKey)
    expect(await kit.getSession(id)).toMatchObject({ value: 'paid', context: { receipt: 'receipt 2' } })
    expect(kindsOf(id).slice(1)).toEqual(['event by p1', 'takeover by p2', 'result by p2'])
  })

  it('TM4 or it fails, as its policy says', async () => {
    const strict = orderSession(() => 'receipt', { onCrash: 'fail' })
    const own = await createTestKit({ definitions: [strict.definition] })
    const { id } = await own.createSession(strict.definition)
    own.faults.crashBeforeResult(id)
    await own.updateSession(id, { type: 'PAY' })
    await own.advance(20_000)
    expect(await own.getSession(id)).toMatchObject({
      value: 'failed',
      context: { problem: 'the process that ran it has ended, or lost its lease' },
    })
    await own.close()
  })
})

describe('loseReply', () => {
  it('CM4 CM6 the process asks what became of its commit: applied once, answered as committed, its action runs once', async () => {
    const id = await ordered()
    const before = kit.now().getTime()
    kit.faults.loseReply(id)
    expect(await kit.updateSession(id, { type: 'NOTE' })).toMatchObject({ outcome: 'committed', applied: 2 })
    expect(kit.history(id)).toHaveLength(2)
    // It waits for a moment before it asks.
    expect(kit.now().getTime() - before).toBe(100)
    expect(order.told).toEqual(['noted'])
    expect(await kit.updateSession(id, { type: 'NOTE' })).toMatchObject({ outcome: 'committed', applied: 3 })
  })

  it('TM2 of a timer: it fires once, and the next one in its time', async () => {
    const id = await ordered()
    kit.faults.loseReply(id)
    await kit.advance(HOUR)
    expect(kit.history(id).map(({ kind, time }) => [kind, time - (kit.now().getTime() - HOUR)])).toEqual([
      ['created', 0],
      ['timer', HOUR / 2],
      ['timer', HOUR],
    ])
  })

  it('TM4 of an event that invoked a promise: it runs', async () => {
    const id = await ordered()
    kit.faults.loseReply(id)
    await kit.updateSession(id, { type: 'PAY' })
    await kit.advance(2000)
    expect(await kit.getSession(id)).toMatchObject({ value: 'paid' })
    // Its process starts it by another commit, because it does not know what became of the session meanwhile.
    expect(executions.length).toBe(1)
  })

  it('TM4 nobody has died: one that must not run twice runs, as its first execution', async () => {
    const attempts: number[] = []
    const machine = setup({
      actors: {
        once: fromPromise(async ({ self }) => void attempts.push(executionOf(self).attempt)),
      },
    }).createMachine({
      initial: 'open',
      states: {
        open: { on: { PAY: 'paying' } },
        paying: { invoke: { src: 'once', onDone: 'paid' } },
        paid: {},
      },
    })
    const once = defineSession({ name: 'once', version: 1, machine, actors: { once: { onCrash: 'fail' } } })
    const own = await createTestKit({ definitions: [once] })
    const { id } = await own.createSession(once)
    own.faults.loseReply(id)
    await own.updateSession(id, { type: 'PAY' })
    await own.advance(2000)
    expect(await own.getSession(id)).toMatchObject({ value: 'paid' })
    expect(attempts).toEqual([1])
    await own.close()
  })

  it('crashBeforeResult waits for a promise that has come to its end: that its process has gone is none', async () => {
    const machine = setup({
      actors: { endless: fromPromise(() => new Promise(() => undefined)) },
    }).createMachine({
      initial: 'busy',
      states: { busy: { invoke: { src: 'endless', onError: 'failed' } }, failed: {} },
    })
    const one = defineSession({ name: 'one', version: 1, machine, actors: { endless: { onCrash: 'fail' } } })
    const own = await createTestKit({ definitions: [one] })
    const { id } = await own.createSession(one)
    own.faults.crashBeforeResult(id)
    own.faults.crash()
    await own.advance(20_000)
    expect(await own.getSession(id)).toMatchObject({ value: 'failed' })
    expect(own.faults.pending).toHaveLength(1)
    await expect(own.close()).rejects.toThrow('crashBeforeResult')
  })
})

describe('duplicateEvent', () => {
  it.each([{}, { key: 'mine' }])(
    'CM5 two processes get it at once, and it is applied once: %j',
    async (options) => {
      const id = await ordered()
      kit.faults.duplicateEvent(id)
      expect(await kit.updateSession(id, { type: 'NOTE' }, options)).toMatchObject({ applied: 2 })
      expect(kit.history(id)).toHaveLength(2)
      expect(order.told).toEqual(['noted'])
      if (options.key !== undefined)
        expect(await kit.updateSession(id, { type: 'NOTE' }, options)).toMatchObject({ outcome: 'duplicate' })
    },
  )

  it('both copies really arrive: where the first dies with its process the second is applied', async () => {
    const id = await ordered()
    kit.faults.duplicateEvent(id)
    kit.faults.crashBeforeCommit(id)
    await expect(kit.updateSession(id, { type: 'NOTE' })).rejects.toMatchObject(UNKNOWN)
    expect(kindsOf(id)).toEqual(['created by p1', 'event by p2'])
  })
})

describe('crash', () => {
  it('TM5 what a promise of the dead process comes to later counts for nothing', async () => {
    const ends: ((receipt: string) => void)[] = []
    const slow = orderSession(() => new Promise((resolve) => ends.push(resolve)))
    const own = await createTestKit({ definitions: [slow.definition] })
    const { id } = await own.createSession(slow.definition)
    await own.updateSession(id, { type: 'PAY' })
    own.faults.crash()
    ends[0]?.('from the dead')
    await own.advance(17_000)
    expect(await own.getSession(id)).toMatchObject({ value: 'charging' })
    ends[1]?.('from the living')
    await own.advance(0)
    expect(await own.getSession(id)).toMatchObject({ context: { receipt: 'from the living' } })
    await own.close()
  })

  it('of all processes: calls say so, until another one is started, which finds what there was', async () => {
    const id = await ordered()
    kit.faults.crash()
    kit.faults.crash()
    await expect(kit.updateSession(id, { type: 'NOTE' })).rejects.toMatchObject({ code: 'unavailable' })
    expect(() => kit.faults.crash()).toThrow('startProcess')
    await kit.advance(2 * HOUR)
    await kit.startProcess()
    await kit.advance(2000)
    expect(await kit.getSession(id)).toMatchObject({ value: 'cancelled', context: { reminders: 1 } })
    expect(kindsOf(id)).toEqual(['created by p1', 'timer by p3', 'timer by p3'])
  })
})
