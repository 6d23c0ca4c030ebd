/** Promise actors on processes that share a Redis: run after their commit, once at a time, and again elsewhere if need be. */
import { assign, fromPromise, setup } from 'xstate'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { defineSession } from '../../actors/define-session.ts'
import type { ActorPolicy } from '../../actors/define-session.ts'
import { partitionOf } from '../../actors/partitions.ts'
import { executionOf } from '../../actors/promise-run.ts'
import type { Execution } from '../../actors/promise-run.ts'
import { StoreFailure } from '../../actors/ports.ts'
import type { SessionId } from '../../actors/session.ts'
import { NOBODY, sleepMs, TestCluster, until } from '../support/hosts.ts'
import { hurried } from '../support/hurried-clock.ts'
import { overriding } from './overriding.ts'
import { timedProcess } from './timed-process.ts'
import type { TimedProcess } from './timed-process.ts'

/** One execution, as the test that runs it sees it. */
interface Call {
  readonly on: string
  readonly input: { amount: number }
  readonly execution: Execution
  readonly signal: AbortSignal
  resolve(value: unknown): void
  reject(error: unknown): void
}

const calls: Call[] = []

function payment(on: string, policy: ActorPolicy = {}) {
  const machine = setup({
    types: {} as {
      context: { amount: number; reference: unknown; error: string | null }
      input: { amount: number }
      events: { type: 'CANCEL' } | { type: 'AGAIN' } | { type: 'MORE' }
    },
    actors: {
      charge: fromPromise<unknown, { amount: number }>(
        ({ input, self, signal }) =>
          new Promise((resolve, reject) => {
            calls.push({ on, input, execution: executionOf(self), signal, resolve, reject })
          }),
      ),
    },
  }).createMachine({
    context: ({ input }) => ({ amount: input.amount, reference: null, error: null }),
    initial: 'charging',
    states: {
      charging: {
        invoke: {
          id: 'charge',
          src: 'charge',
          input: ({ context }) => ({ amount: context.amount }),
          onDone: { target: 'paid', actions: assign({ reference: ({ event }) => event.output }) },
          onError: {
            target: 'failed',
            actions: assign({ error: ({ event }) => (event.error as Error).message }),
          },
        },
        on: {
          CANCEL: 'cancelled',
          AGAIN: { target: 'charging', reenter: true },
          MORE: { actions: assign({ amount: ({ context }) => context.amount + 1 }) },
        },
      },
      paid: {},
      failed: { on: { AGAIN: 'charging' } },
      cancelled: { on: { AGAIN: 'charging' } },
    },
  })
  return defineSession({ name: 'payment', version: 1, machine, actors: { charge: policy } })
}

const waiting = (on: string) =>
  fromPromise<unknown>(
    ({ self, signal }) =>
      new Promise((resolve, reject) => {
        calls.push({ on, input: { amount: 0 }, execution: executionOf(self), signal, resolve, reject })
      }),
  )

let cluster: TestCluster
const running: TimedProcess[] = []

async function timed(on: string, policy?: ActorPolicy): Promise<TimedProcess> {
  const one = await timedProcess(cluster, [payment(on, policy)])
  running.push(one)
  return one
}

beforeEach(() => {
  calls.length = 0
  cluster = new TestCluster()
})
afterEach(async () => {
  for (const { stop, host } of running.splice(0)) {
    stop()
    await host.drain(0)
  }
  await cluster.close()
})

const start = async (on: TimedProcess): Promise<SessionId> =>
  (await on.host.create({ machine: 'payment', input: { amount: 5 } }, NOBODY)).record.id

const call = async (n: number): Promise<Call> => {
  await until(() => calls.length > n, 25_000)
  return calls[n] as Call
}

const stateOf = async (on: TimedProcess, id: SessionId): Promise<unknown> => {
  const { value, context } = JSON.parse((await on.host.get(id))?.state ?? '{}') as {
    value: unknown
    context: object
  }
  return { value, ...context }
}

/** As if the process had died: it renews nothing, and its lease is over now instead of in 15 s. */
async function endLease(id: SessionId, node: string): Promise<void> {
  await cluster.redis.zadd(cluster.keys.timers(partitionOf(id)), 1, `r:${id} ${node}`)
}

describe('a promise actor', () => {
  it('CM6 starts after the commit that invoked it, and its result is a transition of its own', async () => {
    const p = await timed('p')
    const id = await start(p)
    const first = await call(0)
    expect(first.input).toEqual({ amount: 5 })
    expect(first.execution).toMatchObject({ session: id, attempt: 1 })
    first.resolve({ id: 'r-1' })
    await until(async () => (await p.host.get(id))?.version === 2)
    expect(await stateOf(p, id)).toEqual({ value: 'paid', amount: 5, reference: { id: 'r-1' }, error: null })
    expect((await p.host.get(id))?.runs).toBe('-')
    expect(await cluster.redis.zscore(cluster.keys.timers(partitionOf(id)), `r:${id} ${p.node}`)).toBeNull()
    expect(calls).toHaveLength(1)
  })

  it('that rejects tells name and message; a result that JSON does not hold counts as rejected', async () => {
    const p = await timed('p')
    const id = await start(p)
    ;(await call(0)).reject(new RangeError('too much'))
    await until(async () => ((await stateOf(p, id)) as { value: string }).value === 'failed')
    expect(await stateOf(p, id)).toMatchObject({ error: 'too much' })
    await p.host.update({ id, event: { type: 'AGAIN' } }, NOBODY)
    ;(await call(1)).resolve(new Date())
    await until(async () => ((await stateOf(p, id)) as { value: string }).value === 'failed')
    expect(await stateOf(p, id)).toMatchObject({
      error: 'its result cannot be stored as JSON at (root): a Date',
    })
  })

  it('TM5 is aborted when its state is left, and its late result is refused', async () => {
    const [p, q] = [await timed('p'), await timed('q')]
    const id = await start(p)
    const first = await call(0)
    await p.host.update({ id, event: { type: 'CANCEL' } }, NOBODY)
    expect(first.signal.aborted).toBe(true)
    await q.host.update({ id, event: { type: 'AGAIN' } }, NOBODY)
    const second = await call(1)
    expect(second.on).toBe('q')
    expect(second.execution.effectKey).not.toBe(first.execution.effectKey)
    first.resolve('late')
    await sleepMs(100)
    expect(await stateOf(q, id)).toMatchObject({ value: 'charging', reference: null })
    // Left on another process: the one that runs it finds out when it wants to commit, or renews its lease.
    await p.host.update({ id, event: { type: 'AGAIN' } }, NOBODY)
    second.resolve('late too')
    ;(await call(2)).resolve('right')
    await until(async () => ((await stateOf(p, id)) as { value: string }).value === 'paid')
    expect(await stateOf(p, id)).toMatchObject({ reference: 'right' })
  })

  it('TM4 TM5 whose process is gone is run again elsewhere with the same effect key; what the first run says is refused', async () => {
    const [p, q] = [await timed('p'), await timed('q')]
    const id = await start(p)
    const first = await call(0)
    p.stop()
    await endLease(id, p.node)
    const second = await call(1)
    expect(second).toMatchObject({ on: 'q', input: { amount: 5 } })
    expect(second.execution).toMatchObject({ effectKey: first.execution.effectKey, attempt: 2 })
    first.resolve('from the dead')
    await sleepMs(100)
    expect(await stateOf(q, id)).toMatchObject({ value: 'charging' })
    second.resolve('from the living')
    await until(async () => ((await stateOf(q, id)) as { value: string }).value === 'paid')
    expect(await stateOf(q, id)).toMatchObject({ reference: 'from the living' })
  })

  it('TM4 fails if that is its policy', async () => {
    const policy = { onCrash: 'fail' } as const
    const [p, q] = [await timed('p', policy), await timed('q', policy)]
    const id = await start(p)
    await call(0)
    p.stop()
    await endLease(id, p.node)
    await until(async () => ((await stateOf(q, id)) as { value: string }).value === 'failed', 10_000)
    expect(await stateOf(q, id)).toMatchObject({
      error: 'the process that ran it has ended, or lost its lease',
    })
    expect(calls).toHaveLength(1)
  })

  it('TM4 is handed over by a process that leaves, without waiting for its lease', async () => {
    const [p, q] = [await timed('p'), await timed('q')]
    const id = await start(p)
    const first = await call(0)
    p.stop()
    await p.host.drain(1000)
    expect(first.signal.aborted).toBe(true)
    const second = await call(1)
    expect(second.on).toBe('q')
    second.resolve(1)
    await until(async () => ((await stateOf(q, id)) as { value: string }).value === 'paid')
  })

  describe('TM4 given up with its lease', () => {
    const unable = (): Promise<never> =>
      Promise.reject(new StoreFailure('not-applied', 'Redis is not connected'))

    it('is not started in its place by the next commit, but taken over, as its policy says', async () => {
      const p = await cluster.process({
        definitions: [payment('p', { onCrash: 'fail' })],
        clock: hurried,
        wrap: (store) => overriding(store, { renew: unable }),
      })
      const { record } = await p.host.create({ machine: 'payment', input: { amount: 5 } }, NOBODY)
      const first = await call(0)
      await until(() => first.signal.aborted)
      await p.host.update({ id: record.id, event: { type: 'MORE' } }, NOBODY)
      const state = async () => JSON.parse((await p.host.get(record.id))?.state ?? '') as { value: string }
      await until(async () => (await state()).value === 'failed')
      expect(calls).toHaveLength(1)
    })

    it('is taken over also while the lease is renewed for another of its session', async () => {
      const machine = setup({ actors: { run: waiting('any') } }).createMachine({
        type: 'parallel',
        states: {
          a: { invoke: { id: 'a', src: 'run' } },
          b: {
            initial: 'idle',
            states: { idle: { on: { ENTER: 'busy' } }, busy: { invoke: { id: 'b', src: 'run' } } },
          },
        },
      })
      let isCut = true
      const p = await cluster.process({
        definitions: [defineSession({ name: 'two', version: 1, machine })],
        clock: hurried,
        wrap: (store) => overriding(store, { renew: (...of) => (isCut ? unable() : store.renew(...of)) }),
      })
      const { record } = await p.host.create({ machine: 'two' }, NOBODY)
      const first = await call(0)
      await until(() => first.signal.aborted)
      isCut = false
      await p.host.update({ id: record.id, event: { type: 'ENTER' } }, NOBODY)
      await call(2)
      const again = calls.slice(1).find(({ execution }) => execution.attempt === 2)
      expect(again?.execution.effectKey).toBe(first.execution.effectKey)
      expect(calls.slice(1).map(({ signal }) => signal.aborted)).toEqual([false, false])
    })
  })

  it('TM4 whose result waits for Redis longer than its lease lasts is not run again by its process', async () => {
    let isCut = false
    const cut = <A extends unknown[], R>(act: (...of: A) => Promise<R>) => {
      return (...of: A): Promise<R> =>
        isCut ? Promise.reject(new StoreFailure('not-applied', 'Redis is not connected')) : act(...of)
    }
    const p = await cluster.process({
      definitions: [payment('p', { onCrash: 'fail' })],
      clock: hurried,
      wrap: (store) =>
        overriding(store, {
          execute: cut((entries) => store.execute(entries)),
          renew: cut((...of) => store.renew(...of)),
        }),
    })
    const { record } = await p.host.create({ machine: 'payment', input: { amount: 5 } }, NOBODY)
    const first = await call(0)
    isCut = true
    first.resolve('charged')
    // Twenty times as long for the process.
    await sleepMs(1000)
    isCut = false
    await p.host.update({ id: record.id, event: { type: 'MORE' } }, NOBODY)
    const state = async () => JSON.parse((await p.host.get(record.id))?.state ?? '') as { value: string }
    await until(async () => (await state()).value !== 'charging')
    expect(await state()).toMatchObject({ value: 'paid', context: { reference: 'charged' } })
    expect(calls).toHaveLength(1)
  })

  it('TM4 goes on when older news of its session comes in late', async () => {
    const p = await timed('p')
    const id = await start(p)
    const older = await p.host.get(id)
    if (older === null) throw new Error('it is there')
    await p.host.update({ id, event: { type: 'AGAIN' } }, NOBODY)
    const second = await call(1)
    p.host.observe(older)
    expect(second.signal.aborted).toBe(false)
    await p.host.delete(id, NOBODY)
    await p.host.create({ machine: 'payment', id, input: { amount: 7 } }, NOBODY)
    const third = await call(2)
    p.host.ended(id, older)
    expect(third.signal.aborted).toBe(false)
  })

  it('of a state that another process left is aborted at the next renewal, also where others of the session go on', async () => {
    const machine = setup({ actors: { a: waiting('a'), b: waiting('b') } }).createMachine({
      type: 'parallel',
      states: {
        a: { initial: 'busy', states: { busy: { invoke: { src: 'a' }, on: { LEAVE: 'idle' } }, idle: {} } },
        b: { invoke: { src: 'b' } },
      },
    })
    const definitions = [defineSession({ name: 'two', version: 1, machine })]
    const p = await cluster.process({ definitions, clock: hurried })
    const q = await cluster.process({ definitions })
    const { record } = await p.host.create({ machine: 'two' }, NOBODY)
    await call(1)
    const [left, other] = [calls.find(({ on }) => on === 'a'), calls.find(({ on }) => on === 'b')]
    await q.host.update({ id: record.id, event: { type: 'LEAVE' } }, NOBODY)
    await until(() => left?.signal.aborted === true)
    expect(other?.signal.aborted).toBe(false)
  })

  it('is tried again as its policy says, and no longer than it may take', async () => {
    const p = await timed('p', { attempts: 3, backoffMs: 20, timeoutMs: 150 })
    const id = await start(p)
    ;(await call(0)).reject(new Error('first'))
    const second = await call(1)
    await until(() => second.signal.aborted)
    ;(await call(2)).reject(new Error('third'))
    await until(async () => ((await stateOf(p, id)) as { value: string }).value === 'failed')
    expect(await stateOf(p, id)).toMatchObject({ error: 'third' })
    expect(calls).toHaveLength(3)
    expect(new Set(calls.map(({ execution }) => execution.effectKey)).size).toBe(1)
  })

  it('TM5 CM6 of an earlier life of the id is aborted with it, and its result is not taken for that of the next', async () => {
    const [p, q] = [await timed('p'), await timed('q')]
    const id = await start(p)
    const first = await call(0)
    await p.host.delete(id, NOBODY)
    expect(first.signal.aborted).toBe(true)
    await p.host.create({ machine: 'payment', id, input: { amount: 7 } }, NOBODY)
    const second = await call(1)
    expect(second.input).toEqual({ amount: 7 })
    // Ended and begun anew elsewhere, without this process being told.
    await q.host.delete(id, NOBODY)
    await q.host.create({ machine: 'payment', id, input: { amount: 9 } }, NOBODY)
    const third = await call(2)
    expect(third.on).toBe('q')
    second.resolve('of another life')
    await sleepMs(100)
    expect(await stateOf(q, id)).toMatchObject({ value: 'charging', amount: 9 })
    third.resolve('right')
    await until(async () => ((await stateOf(q, id)) as { value: string }).value === 'paid')
    expect(await stateOf(q, id)).toMatchObject({ reference: 'right' })
  })

  it('AU1 what it comes to is told as an error where it cannot be stored: NUL, too large', async () => {
    const p = await timed('p')
    const id = await start(p)
    ;(await call(0)).resolve('a\0b')
    await until(async () => ((await stateOf(p, id)) as { value: string }).value === 'failed')
    expect(await stateOf(p, id)).toMatchObject({
      error: 'its result holds a NUL or half of a surrogate pair',
    })
    await p.host.update({ id, event: { type: 'AGAIN' } }, NOBODY)
    ;(await call(1)).resolve('x'.repeat(2_000_000))
    await until(async () => ((await p.host.get(id))?.version ?? 0) === 4)
    expect(((await stateOf(p, id)) as { error: string }).error).toContain('the limit is')
    await p.host.update({ id, event: { type: 'AGAIN' } }, NOBODY)
    ;(await call(2)).reject(new Error('bad \0'))
    await until(async () => ((await p.host.get(id))?.version ?? 0) === 6)
    expect(await stateOf(p, id)).toMatchObject({ error: 'bad \ufffd' })
  })
})
