/** Replies that never arrive: ioredis sends the call again on its next connection, and so does the committer. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { SessionId } from '../../actors/session.ts'
import { partitionOf } from '../../actors/partitions.ts'
import { tracesOf } from '../persistence/store-support.ts'
import { NOBODY, sid, TestCluster, until } from '../support/hosts.ts'
import type { TestProcess } from '../support/hosts.ts'
import { TcpProxy } from '../support/tcp-proxy.ts'
import { ManualClock } from '../transport/support/manual-clock.ts'
import type { Act } from './host-machines.ts'
import { contextIn, counterSession } from './host-machines.ts'

let cluster: TestCluster
let proxy: TcpProxy
/** Behind the proxy. */
let a: TestProcess
/** Not behind it. */
let b: TestProcess
let acts: Act[]

beforeAll(async () => {
  cluster = new TestCluster()
  b = await cluster.process({ definitions: [counterSession()] })
})
afterAll(() => cluster.close())
beforeEach(async () => {
  proxy = await TcpProxy.start(cluster.url)
  acts = []
  a = await cluster.process({ definitions: [counterSession((act) => void acts.push(act))], url: proxy.url })
})
afterEach(async () => {
  a.store.stop()
  await proxy.stop()
})

async function versionIn(id: SessionId): Promise<number> {
  return (await b.store.positions([id]))[0]?.version ?? 0
}

function add(process: TestProcess, id: SessionId, by = 1) {
  return process.host.update({ id, event: { type: 'ADD', by } }, NOBODY)
}

async function counter(): Promise<SessionId> {
  return (await a.host.create({ machine: 'counter' }, NOBODY)).record.id
}

/** Sends it again where it was surely not applied: exact counts show that this was true. */
async function addAtLast(id: SessionId): Promise<number> {
  for (;;) {
    try {
      return (await add(a, id)).applied ?? -1
    } catch (error) {
      if ((error as { code?: string }).code !== 'unavailable') throw error
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
  }
}

/** How often a script call reached the server. */
async function scriptCalls(): Promise<number> {
  const stats = await cluster.redis.info('commandstats')
  return Number(/cmdstat_evalsha:calls=(\d+)/.exec(stats)?.[1] ?? 0)
}

async function rowsOf(id: SessionId): Promise<string[]> {
  return (await tracesOf(cluster, id)).rows.map(
    ({ v, k, c }) => `${v} ${k} by ${c?.split('-')[0] === a.node ? 'a' : 'b'}`,
  )
}

describe('CM4 a lost reply', () => {
  it('CM4 of an update, with another writer in between: applied once, and its caller is told the truth', async () => {
    const id = await counter()
    proxy.swallowReplies()
    const update = a.host.update({ id, event: { type: 'ACT', by: 1 } }, NOBODY)
    await until(async () => (await versionIn(id)) === 2)
    await add(b, id, 10)
    const callsBefore = await scriptCalls()
    proxy.heal()
    const result = await update
    // It was not the proxy's mercy: the call did run again.
    expect(await scriptCalls()).toBeGreaterThan(callsBefore)
    expect(result).toMatchObject({ outcome: 'committed', applied: 2, record: { version: 3 } })
    expect(contextIn(result.record).n).toBe(11)
    expect(acts).toEqual([{ n: 1, by: 1 }])
    expect(await rowsOf(id)).toEqual(['1 created by a', '2 event by a', '3 event by b'])
    expect(contextIn((await add(a, id)).record).n).toBe(12)
  })

  it('CM4 of a batch, with many commits of others in between', async () => {
    const id = await counter()
    await add(a, id)
    proxy.swallowReplies()
    const updates = Promise.all([1, 2, 3].map(() => add(a, id)))
    await until(async () => (await versionIn(id)) > 2)
    const made = await versionIn(id)
    for (let n = 0; n < 10; n++) await add(b, id)
    proxy.heal()
    const results = await updates
    expect(results.map(({ outcome }) => outcome)).toEqual(['committed', 'committed', 'committed'])
    // What did not go with the first of them waited for it, and came after the other process.
    const expected = [3, 4, 5].map((version) => (version <= made ? version : version + 10))
    expect(results.map(({ applied }) => applied)).toEqual(expected)
    expect(contextIn((await b.host.get(id)) ?? { state: '' }).n).toBe(14)
  })

  it('CM4 of a creation, after which another process has written: its caller goes on from there', async () => {
    const id = sid(`made-${a.node}`)
    proxy.swallowReplies()
    const create = a.host.create({ machine: 'counter', id }, NOBODY)
    await until(async () => (await versionIn(id)) === 1)
    await add(b, id, 100)
    proxy.heal()
    const { created, record } = await create
    expect([created, record.version, contextIn(record).n]).toEqual([true, 2, 100])
    // What the other process did is not lost with the next event.
    expect(contextIn((await add(a, id)).record).n).toBe(101)
    expect(await rowsOf(id)).toEqual(['1 created by a', '2 event by b', '3 event by a'])
    const first = a.published.find(({ message }) => message.kind === 'updated' && message.id === id)?.message
    expect(first).toMatchObject({ baseVersion: 0, record: { version: 1 } })
  })

  it('CM4 of a deletion, after which another process has created anew: only the old life has ended', async () => {
    const id = await counter()
    proxy.swallowReplies()
    const deletion = a.host.delete(id, NOBODY)
    await until(async () => (await b.host.get(id)) === null)
    await b.host.create({ machine: 'counter', id, input: { n: 7 } }, NOBODY)
    proxy.heal()
    expect(await deletion).toBe(true)
    expect(contextIn((await b.host.get(id)) ?? { state: '' }).n).toBe(7)
    expect(await rowsOf(id)).toEqual(['1 created by a', '2 deleted by a', '1 created by b'])
  })

  it('CM4 of an update, after which the session was deleted: it was committed all the same', async () => {
    const id = await counter()
    proxy.swallowReplies()
    const update = add(a, id)
    await until(async () => (await versionIn(id)) === 2)
    await b.host.delete(id, NOBODY)
    proxy.heal()
    expect(await update).toMatchObject({ outcome: 'committed', applied: 2 })
    await expect(add(a, id)).rejects.toMatchObject({ code: 'not_found' })
  })

  it('CM4 a request that never arrived is sent again, and applied once', async () => {
    const id = await counter()
    proxy.pause()
    const update = add(a, id)
    await new Promise((resolve) => setTimeout(resolve, 50))
    expect(await versionIn(id)).toBe(1)
    proxy.cut()
    proxy.heal()
    expect(await update).toMatchObject({ outcome: 'committed', applied: 2 })
    expect(await rowsOf(id)).toHaveLength(2)
  })

  it('CM4 lost again and again while others write: each update once', async () => {
    const id = await counter()
    let isOver = false
    const others = (async () => {
      let count = 0
      for (; !isOver; count++) await add(b, id)
      return count
    })()
    const mine = (async () => {
      const versions: number[] = []
      while (!isOver) versions.push(await addAtLast(id))
      return versions
    })()
    for (let cuts = 0; cuts < 6; cuts++) {
      await new Promise((resolve) => setTimeout(resolve, 30))
      const before = proxy.swallowed
      proxy.swallowReplies()
      await until(() => proxy.swallowed > before)
      proxy.heal()
    }
    isOver = true
    const [versions, count] = await Promise.all([mine, others])
    expect(new Set(versions).size).toBe(versions.length)
    expect(contextIn((await b.host.get(id)) ?? { state: '' }).n).toBe(versions.length + count)
    const rows = await rowsOf(id)
    expect(rows).toHaveLength(1 + versions.length + count)
    for (const version of versions) expect(rows[version - 1]).toBe(`${version} event by a`)
  })
})

describe('Redis away', () => {
  it('calls are answered unavailable at once, even while earlier ones wait to know what became of them', async () => {
    const clock = new ManualClock()
    const p = await cluster.process({ definitions: [counterSession()], url: proxy.url, clock })
    const ids = await Promise.all(
      Array.from({ length: 6 }, async () => (await p.host.create({ machine: 'counter' }, NOBODY)).record.id),
    )
    const [first, ...others] = ids as [SessionId, ...SessionId[]]
    proxy.swallowReplies()
    // Three calls under way: more than go out at once.
    const lost: Promise<unknown>[] = []
    for (const id of ids.slice(0, 3)) {
      lost.push(p.host.update({ id, event: { type: 'ADD' } }, NOBODY).catch((error: unknown) => error))
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
    await until(async () => (await versionIn(first)) === 2)
    proxy.cut({ refusing: true })
    await until(() => !p.store.isReady())
    // ioredis itself holds on to a sent call until its timeout (3 s).
    await until(() => p.log.at('warn').length > 0, 6000)

    const began = performance.now()
    for (const id of others.slice(2))
      await expect(p.host.update({ id, event: { type: 'ADD' } }, NOBODY)).rejects.toMatchObject({
        code: 'unavailable',
        retryable: true,
      })
    await expect(p.host.create({ machine: 'counter' }, NOBODY)).rejects.toMatchObject({ code: 'unavailable' })
    await expect(p.host.get(first)).rejects.toMatchObject({ code: 'unavailable' })
    await expect(p.host.broadcast(first, 1)).rejects.toMatchObject({ code: 'unavailable' })
    expect(performance.now() - began).toBeLessThan(500)

    // A later event of the session waits: it must not overtake the one of which nothing is known.
    let settled = false
    const later = p.host.update({ id: first, event: { type: 'ADD' }, key: 'later' }, NOBODY)
    const laterSettled = later.then(
      () => (settled = true),
      (error: unknown) => {
        settled = true
        return error
      },
    )
    await clock.pass(50_000)
    expect(settled).toBe(false)

    await clock.pass(12_000)
    expect(await lost[0]).toMatchObject({ code: 'timeout', details: { outcome: 'unknown' } })
    expect(await laterSettled).toMatchObject({ code: 'unavailable' })

    proxy.heal()
    await until(() => p.store.isReady())
    const after = await p.host.update({ id: first, event: { type: 'ADD' } }, NOBODY)
    expect([after.applied, contextIn(after.record).n]).toEqual([3, 2])
  })

  it('back within the time, the caller is told what became of its update', async () => {
    const id = await counter()
    proxy.swallowReplies()
    const update = add(a, id)
    await until(async () => (await versionIn(id)) === 2)
    proxy.cut({ refusing: true })
    await until(() => !a.store.isReady())
    await new Promise((resolve) => setTimeout(resolve, 100))
    proxy.heal()
    expect(await update).toMatchObject({ outcome: 'committed', applied: 2 })
    expect((await cluster.redis.xlen(cluster.keys.outbox(partitionOf(id)))) > 0).toBe(true)
    expect(await rowsOf(id)).toHaveLength(2)
  })

  it('slow replies are waited for', async () => {
    const id = await counter()
    proxy.delayReplies(150)
    const results = await Promise.all([add(a, id), add(a, id), add(b, id)])
    expect(new Set(results.map(({ applied }) => applied))).toEqual(new Set([2, 3, 4]))
  })
})
