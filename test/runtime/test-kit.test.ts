/** The kit for users: sessions in virtual time, on processes that die when a test wants it. */
import { assign, fromPromise, setup } from 'xstate'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { defineSession } from '../../actors/define-session.ts'
import { executionOf } from '../../actors/promise-run.ts'
import { sendToSession } from '../../actors/mail.ts'
import { createTestKit } from '../../runtime/testing/index.ts'
import type { TestKit } from '../../runtime/testing/index.ts'

let acts: string[]
let runs: string[]
let finish: (() => void)[]

const order = defineSession({
  name: 'order',
  version: 1,
  ttlMs: 3_600_000,
  machine: setup({
    types: {} as {
      context: { items: number; receipt: string | null }
      events: { type: 'ADD' } | { type: 'PAY' } | { type: 'TOLD' }
    },
    actors: {
      pay: fromPromise<string>(async ({ self }) => {
        runs.push(executionOf(self)?.effectKey ?? '')
        await new Promise<void>((resolve) => finish.push(resolve))
        return 'receipt'
      }),
    },
    actions: { note: ({ context }) => void acts.push(`items ${context.items}`) },
  }).createMachine({
    context: { items: 0, receipt: null },
    initial: 'open',
    states: {
      open: {
        on: {
          ADD: { actions: [assign({ items: ({ context }) => context.items + 1 }), 'note'] },
          TOLD: { actions: assign({ items: ({ context }) => context.items + 10 }) },
          PAY: 'paying',
        },
        after: { 600_000: 'abandoned' },
      },
      paying: {
        invoke: {
          src: 'pay',
          onDone: { target: 'paid', actions: assign({ receipt: ({ event }) => event.output }) },
        },
      },
      paid: { type: 'final' },
      abandoned: {},
    },
  }),
})

const teller = defineSession({
  name: 'teller',
  version: 1,
  machine: setup({ types: {} as { events: { type: 'TELL' } } }).createMachine({
    on: { TELL: { actions: sendToSession('friend', { type: 'TOLD' }) } },
  }),
})

let kit: TestKit
beforeEach(async () => {
  ;[acts, runs, finish] = [[], [], []]
  kit = await createTestKit({ definitions: [order, teller] })
})
afterEach(() => kit.close())

async function items(id: string): Promise<unknown> {
  return ((await kit.getSession(id))?.context as { items: number } | undefined)?.items
}

describe('virtual time', () => {
  it('moves only when it is told to, and timers fire at their time', async () => {
    const { id } = await kit.createSession(order)
    const created = kit.now.getTime()
    await kit.advance(599_999)
    expect((await kit.getSession(id))?.value).toBe('open')
    await kit.advance(1)
    expect((await kit.getSession(id))?.value).toBe('abandoned')
    expect(kit.history(id)).toMatchObject([
      { version: 1, kind: 'created', value: 'open', time: created },
      { version: 2, kind: 'timer', value: 'abandoned', time: created + 600_000 },
    ])
  })

  it('a day passes in no time, and sessions expire', async () => {
    const { id } = await kit.createSession(order)
    await kit.advance(86_400_000)
    expect(await kit.getSession(id)).toBeNull()
    expect(kit.history(id).at(-1)).toMatchObject({ kind: 'expired' })
  })

  it('promises run for real; what they come to is there when they have', async () => {
    const { id } = await kit.createSession(order)
    const paid = kit.waitFor(id, { done: true })
    await kit.updateSession(id, { type: 'PAY' })
    finish[0]?.()
    expect((await paid).context).toEqual({ items: 0, receipt: 'receipt' })
  })

  it('waitFor times out by it; subscribers hear of what all processes do', async () => {
    const { id } = await kit.createSession(order)
    const heard: unknown[] = []
    const leave = await kit.subscribe(id, (notice) =>
      heard.push(notice.kind === 'updated' ? notice.events : notice.kind),
    )
    const late = kit.waitFor(id, { tag: 'never' }, { timeoutMs: 5000 })
    const failed = expect(late).rejects.toMatchObject({ code: 'timeout' })
    for (let n = 0; n < 4; n++) await kit.updateSession(id, { type: 'ADD' })
    await kit.advance(5000)
    await failed
    leave()
    expect(heard).toEqual([[], ['ADD'], ['ADD'], ['ADD'], ['ADD']])
  })

  it('events between sessions arrive', async () => {
    await kit.createSession(order, { id: 'friend' })
    await kit.createSession(teller, { id: 'teller' })
    await kit.updateSession('teller', { type: 'TELL' })
    await kit.advance(0)
    expect(await items('friend')).toBe(10)
  })
})

describe('fault points', () => {
  it('crashAfterCommit: the commit stands, its sender does not know, and asks again with its key', async () => {
    const { id } = await kit.createSession(order)
    kit.faults.crashAfterCommit(id)
    await expect(kit.updateSession(id, { type: 'ADD' }, { key: 'k' })).rejects.toMatchObject({
      code: 'timeout',
      details: { outcome: 'unknown' },
    })
    expect(kit.faults.pending).toEqual([])
    expect(acts).toEqual([])
    expect(await kit.updateSession(id, { type: 'ADD' }, { key: 'k' })).toMatchObject({
      outcome: 'duplicate',
      version: 2,
    })
    expect(await items(id)).toBe(1)
  })

  it('crashBeforeCommit: nothing was done', async () => {
    const { id } = await kit.createSession(order)
    kit.faults.crashBeforeCommit(id)
    await expect(kit.updateSession(id, { type: 'ADD' }, { key: 'k' })).rejects.toMatchObject({
      code: 'timeout',
    })
    expect(await kit.updateSession(id, { type: 'ADD' }, { key: 'k' })).toMatchObject({ outcome: 'committed' })
    expect(await items(id)).toBe(1)
  })

  it('loseReply: the process asks again, and the event is applied once', async () => {
    const { id } = await kit.createSession(order)
    kit.faults.loseReply(id)
    expect(await kit.updateSession(id, { type: 'ADD' })).toMatchObject({ outcome: 'committed', version: 2 })
    expect(await items(id)).toBe(1)
    expect(acts).toEqual(['items 1'])
  })

  it('duplicateCommit and duplicateEvent: applied once', async () => {
    const { id } = await kit.createSession(order)
    kit.faults.duplicateCommit(id)
    await kit.updateSession(id, { type: 'ADD' })
    kit.faults.duplicateEvent(id)
    await kit.updateSession(id, { type: 'ADD' })
    expect(await items(id)).toBe(2)
    expect(kit.history(id).map(({ kind }) => kind)).toEqual(['created', 'event', 'event'])
  })

  it('a timer whose process dies, before or after its commit, fires once', async () => {
    for (const fault of ['crashBeforeCommit', 'crashAfterCommit'] as const) {
      const { id } = await kit.createSession(order)
      kit.faults[fault](id)
      await kit.advance(700_000)
      expect(kit.history(id).map(({ kind }) => kind)).toEqual(['created', 'timer'])
    }
    expect(kit.faults.pending).toEqual([])
  })

  it('a promise whose result is lost with its process is run again, for the same effect', async () => {
    const { id } = await kit.createSession(order)
    await kit.updateSession(id, { type: 'PAY' })
    kit.faults.crashBeforeCommit(id)
    finish[0]?.()
    await kit.advance(0)
    expect(kit.faults.pending).toEqual([])
    expect(runs).toHaveLength(1)
    await kit.advance(16_000)
    expect(runs).toHaveLength(2)
    expect(runs[1]).toBe(runs[0])
    finish[1]?.()
    await kit.advance(0)
    expect(kit.history(id).map(({ kind }) => kind)).toEqual(['created', 'event', 'takeover', 'result'])
  })

  it('a process that lives keeps its promises, however long they take', async () => {
    const { id } = await kit.createSession(order)
    await kit.updateSession(id, { type: 'PAY' })
    await kit.advance(3_000_000)
    expect(runs).toHaveLength(1)
    finish[0]?.()
    await kit.advance(0)
    expect((await kit.getSession(id))?.status).toBe('done')
  })

  it('mail of a process that dies is delivered by another one, once', async () => {
    await kit.createSession(order, { id: 'friend' })
    await kit.createSession(teller, { id: 'teller' })
    kit.faults.crashAfterCommit('teller')
    await expect(kit.updateSession('teller', { type: 'TELL' })).rejects.toMatchObject({ code: 'timeout' })
    expect(await items('friend')).toBe(0)
    kit.faults.crashAfterCommit('friend')
    await kit.advance(5000)
    expect(await items('friend')).toBe(10)
    expect(kit.faults.pending).toEqual([])
  })

  it('crash: processes are replaced, and sessions are there', async () => {
    const { id } = await kit.createSession(order)
    for (let n = 0; n < 5; n++) {
      await kit.crash()
      await kit.updateSession(id, { type: 'ADD' })
    }
    expect(await items(id)).toBe(5)
  })
})

describe('what is wrong', () => {
  it('is said clearly', async () => {
    await expect(createTestKit({ definitions: [order, order] })).rejects.toThrow(
      'definitions[1]: definition "order" version 1 is registered twice',
    )
    await expect(createTestKit({ definitions: [order], processes: 0 })).rejects.toThrow('processes must be')
    await expect(createTestKit({ definitions: [order], start: new Date(Number.NaN) })).rejects.toThrow(
      'start must be',
    )
    await expect(createTestKit({ definitions: [order], sessionTtl: 1 } as never)).rejects.toThrow(
      'sessionTtl',
    )
    await expect(kit.advance(-1)).rejects.toThrow('advance: -1')
    await expect(kit.createSession('none')).rejects.toMatchObject({ code: 'unknown_machine' })
    await expect(kit.updateSession('none', { type: 'X' })).rejects.toMatchObject({ code: 'not_found' })
    expect(() => kit.faults.loseReply('no id')).toThrow('is not a session id')
  })

  it('a fault that never happens, and a kit that is closed', async () => {
    const other = await createTestKit({ definitions: [order] })
    other.faults.loseReply('nobody')
    await expect(other.close()).rejects.toThrow(
      'the fault loseReply of session "nobody" was asked for and has not happened',
    )
    await expect(other.advance(1)).rejects.toThrow('the test kit is closed')
    await expect(other.getSession('x')).rejects.toThrow('the test kit is closed')
  })
})
