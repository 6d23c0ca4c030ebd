import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { parseFeedMessage } from '../../actors/feed-message.ts'
import { NOBODY, sid, sleepMs, TestCluster, until } from '../support/hosts.ts'
import { counterSession } from '../runtime/host-machines.ts'
import { systemClock } from '../../runtime/clock.ts'
import { Clockwork } from '../../runtime/host/clockwork.ts'
import { key, Listener, stateIn, tracesOf, Writer } from './store-support.ts'

let cluster: TestCluster
let a: Writer
let b: Writer

beforeAll(async () => {
  cluster = new TestCluster()
  a = new Writer(await cluster.store())
  b = new Writer(await cluster.store())
})
afterAll(() => cluster.close())

const SHORT = { ttlMs: 40, doneTtlMs: 40 }
/** For what must be seen alive first, on a busy machine too. */
const LONGER = { ttlMs: 400, doneTtlMs: 400 }

describe('a session past its time', () => {
  it('is gone for reads before anybody swept it, and its record is still there for the sweep', async () => {
    const id = sid('read')
    await a.write(a.creation(id, LONGER))
    expect(await b.store.read(id)).not.toBeNull()
    await until(async () => (await b.store.read(id)) === null)
    // Each process has its own lower bound of the server's clock.
    await until(async () => (await a.store.read(id)) === null)
    expect((await tracesOf(cluster, id)).record).toMatch(/^3 /)
  })

  it('is ended by the sweep even if its record has vanished', async () => {
    const id = sid('vanished')
    await a.write(a.creation(id, SHORT))
    await cluster.redis.del(cluster.keys.session(id))
    const listener = await Listener.on(cluster, id)
    await sleepMs(60)
    expect(await b.run(b.expiry(id))).toMatchObject({ kind: 'committed' })
    expect(await a.run(a.expiry(id))).toMatchObject({ kind: 'gone' })
    await listener.settled()
    listener.stop()
    expect(listener.ofSession.map(parseFeedMessage)).toMatchObject([{ kind: 'ended', id, reason: 'expired' }])
    expect((await tracesOf(cluster, id)).rows.map(({ k }) => k)).toEqual(['created', 'expired'])
  })
})

it('AU1 whoever begins a new life before the sweep has come to a vanished record ends the old one first', async () => {
  const id = sid('vanished-before')
  await a.write(a.creation(id, SHORT))
  await cluster.redis.del(cluster.keys.session(id))
  const { epoch } = await b.write(b.creation(id))
  const { rows, expiryEntry } = await tracesOf(cluster, id)
  expect(rows.map(({ k, v }) => `${v} ${k}`)).toEqual(['1 created', '0 expired', '1 created'])
  expect(BigInt(epoch)).toBeGreaterThan(BigInt(rows[1]?.['e'] ?? ''))
  expect(expiryEntry).toBeGreaterThan(Date.now())
  // Where there is nothing to end, nothing is ended.
  const other = sid('vanished-never')
  await a.write(a.creation(other, { ttlMs: null, doneTtlMs: null }))
  await cluster.redis.del(cluster.keys.session(other))
  await b.write(b.creation(other))
  expect((await tracesOf(cluster, other)).rows.map(({ k }) => k)).toEqual(['created', 'created'])
})

describe('the time of a session', () => {
  it('commits refresh it; reading, checking, broadcasting and events that change nothing do not', async () => {
    const { host } = await cluster.process({ definitions: [counterSession()], sessionTtlMs: 60_000 })
    const { record } = await host.create({ machine: 'counter' }, NOBODY)
    const before = await stateIn(cluster, record.id)
    await sleepMs(5)
    await host.get(record.id)
    await host.broadcast(record.id, 'hello')
    await a.store.positions([record.id])
    await host.update({ id: record.id, event: { type: 'TAKE', by: 9 } }, NOBODY)
    await host.update({ id: record.id, event: { type: 'UNHEARD-OF' } }, NOBODY)
    await expect(
      host.update({ id: record.id, event: { type: 'ADD' }, ifVersion: 9 }, NOBODY),
    ).rejects.toThrow()
    expect(await stateIn(cluster, record.id)).toEqual(before)
    const { record: after } = await host.update({ id: record.id, event: { type: 'ADD' } }, NOBODY)
    expect(after.expiresAt).toBeGreaterThan(record.expiresAt ?? Infinity)
    expect(after.expiresAt).toBe(after.updatedAt + 60_000)
    expect((await tracesOf(cluster, record.id)).keyTtlMs).toBeGreaterThan(60_000)
  })

  it('ttlMs null: never, and nothing is left in the timers', async () => {
    const id = sid('for-ever')
    const base = await a.write(a.creation(id, { ttlMs: null, doneTtlMs: null }))
    expect(base.expiresAt).toBeNull()
    expect(await tracesOf(cluster, id)).toMatchObject({ keyTtlMs: -1, expiryEntry: null })
    expect(await a.store.read(id)).toMatchObject({ expiresAt: null, ttlMs: null, doneTtlMs: null })
    expect(await a.run(a.expiry(id))).toEqual({ kind: 'early', dueMs: null })
    expect(await a.run(a.commit(id, base, { ttlMs: null, doneTtlMs: null }))).toMatchObject({
      expiresAt: null,
    })
    expect(await tracesOf(cluster, id)).toMatchObject({ keyTtlMs: -1, expiryEntry: null })
  })

  it('doneTtlMs counts once the machine has ended', async () => {
    const id = sid('done')
    const lifetimes = { ttlMs: null, doneTtlMs: 5000 }
    const base = await a.write(a.creation(id, lifetimes))
    const ended = await a.write(a.commit(id, base, { ...lifetimes, done: true }))
    expect(ended.expiresAt).toBe(ended.time + 5000)
    const traces = await tracesOf(cluster, id)
    expect(traces.expiryEntry).toBe(ended.expiresAt)
    expect(traces.keyTtlMs).toBeGreaterThan(5000)
  })

  it('the host takes the lifetimes of request, definition and options, in this order', async () => {
    const definition = { ...counterSession(), ttlMs: 20_000, doneTtlMs: 30_000 }
    const { host } = await cluster.process({ definitions: [definition], sessionTtlMs: 10_000 })
    const made = async (more: object): Promise<unknown> => {
      const { record } = await host.create({ machine: 'counter', ...more }, NOBODY)
      return [record.ttlMs, record.doneTtlMs]
    }
    expect(await made({})).toEqual([20_000, 30_000])
    expect(await made({ ttlMs: null })).toEqual([null, 30_000])
    expect(await made({ ttlMs: 7000 })).toEqual([7000, 30_000])
    const plain = await cluster.process({ definitions: [counterSession()], sessionTtlMs: 10_000 })
    const { record } = await plain.host.create({ machine: 'counter', ttlMs: 500_000 }, NOBODY)
    expect([record.ttlMs, record.doneTtlMs]).toEqual([500_000, 500_000])
  })

  it('a command key does not keep a session alive', async () => {
    const id = sid('keys-only')
    await a.write(a.creation(id, SHORT))
    await sleepMs(60)
    expect(await b.run(b.check(id, null, [key('k')]))).toMatchObject({ kind: 'gone', reason: 'expired' })
  })
})

describe('the sweep of a host', () => {
  it('ends what is due and tells subscribers, whoever owned it', async () => {
    const own = new TestCluster()
    const p = await own.process({ definitions: [counterSession()], sessionTtlMs: 30 })
    const q = await own.process({ definitions: [counterSession()] })
    const ids = await Promise.all(
      Array.from({ length: 5 }, async () => (await p.host.create({ machine: 'counter' }, NOBODY)).record.id),
    )
    // A fast clock for the rounds: a sweep looks at all partitions every second.
    const clock = {
      now: () => systemClock.now(),
      setTimeout: (callback: () => void, ms: number) => systemClock.setTimeout(callback, ms / 20),
    }
    const sweep = new Clockwork({
      store: q.store,
      expire: (id) => q.host.expire(id),
      fire: (id, downtime) => q.host.fire(id, downtime),
      deliver: (partition) => q.host.deliver(partition),
      takeOver: (id, node) => q.host.takeOver(id, node),
      clock,
      log: q.log,
    })
    sweep.start()
    await until(() => q.published.length === 5)
    sweep.stop()
    expect(q.published.map(({ message }) => [message.kind, message.id]).sort()).toEqual(
      ids.map((id) => ['ended', id]).sort(),
    )
    expect(q.committed.slice().sort()).toEqual(ids.slice().sort())
    for (const id of ids)
      await expect(p.host.update({ id, event: { type: 'ADD' } }, NOBODY)).rejects.toMatchObject({
        code: 'not_found',
        details: { reason: 'expired' },
      })
    await own.close()
  })
})
