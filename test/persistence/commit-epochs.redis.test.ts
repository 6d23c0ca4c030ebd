/** A server that is not the one that was known may have taken back commits: its id in the partition's home tells. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { parseFeedMessage } from '../../actors/feed-message.ts'
import { partitionOf } from '../../actors/partitions.ts'
import type { SessionId } from '../../actors/session.ts'
import { NOBODY, reconnect, sid, TestCluster, until } from '../support/hosts.ts'
import { TcpProxy } from '../support/tcp-proxy.ts'
import { contextIn, counterSession } from '../runtime/host-machines.ts'
import { Listener, stateIn, tracesOf, Writer } from './store-support.ts'

let cluster: TestCluster
let a: Writer

beforeAll(async () => {
  cluster = new TestCluster()
  a = new Writer(await cluster.store())
})
afterAll(() => cluster.close())

/** As if the session's partition had been served by another server until now. */
async function changeServer(id: SessionId): Promise<void> {
  await cluster.redis.hset(cluster.keys.home(partitionOf(id)), 'server', 'another')
}

describe('a changed server', () => {
  it('CM2 raises the epoch, goes on with the version, and names the commit before', async () => {
    const id = sid('raised')
    const old = await a.write(a.creation(id))
    await changeServer(id)
    const before = await stateIn(cluster, id)
    const refused = await a.run(a.commit(id, old))
    if (refused.kind !== 'stale') return expect.unreachable(refused.kind)
    expect(BigInt(refused.record.epoch)).toBeGreaterThan(BigInt(old.epoch))
    expect(refused.record.version).toBe(1)
    expect(await stateIn(cluster, id)).toEqual(before)

    const listener = await Listener.on(cluster, id)
    const made = await a.write(a.commit(id, refused.record))
    await listener.settled()
    listener.stop()
    expect(made).toMatchObject({ epoch: refused.record.epoch, firstVersion: 2, version: 2 })
    const { rows, record } = await tracesOf(cluster, id)
    expect(rows[1]).toMatchObject({ e: made.epoch, v: '2', p: rows[0]?.['c'] })
    expect(record).toMatch(new RegExp(`^3 \\d+ \\d+ - ${made.epoch} 2 `))
    expect(parseFeedMessage(listener.ofSession[0] ?? '')).toMatchObject({ record: { epoch: made.epoch } })
    // Once is enough.
    expect(await a.write(a.commit(id, made))).toMatchObject({ epoch: made.epoch, version: 3 })
  })

  it('CM7 a check against a position of before is not current any more', async () => {
    const id = sid('checked')
    const old = await a.write(a.creation(id))
    await changeServer(id)
    expect(await a.run(a.check(id, old))).toMatchObject({ kind: 'stale', record: { version: 1 } })
  })

  it('CM4 a commit that was made before is still recognised, with its own epoch', async () => {
    const id = sid('repeated')
    const old = await a.write(a.creation(id))
    const entry = a.commit(id, old)
    await a.write(entry)
    await changeServer(id)
    const outcome = await a.run(entry)
    expect(outcome).toMatchObject({ kind: 'duplicate', epoch: old.epoch, version: 2, record: { version: 2 } })
    expect(outcome.kind === 'duplicate' && outcome.record?.epoch).not.toBe(old.epoch)
  })

  it('a deletion under a raised epoch is of that epoch, and a new life newer still', async () => {
    const id = sid('ended')
    const old = await a.write(a.creation(id))
    await changeServer(id)
    const ended = await a.write(a.deletion(id))
    expect(BigInt(ended.epoch)).toBeGreaterThan(BigInt(old.epoch))
    expect(ended.version).toBe(2)
    const anew = await a.write(a.creation(id))
    expect(BigInt(anew.epoch)).toBeGreaterThan(BigInt(ended.epoch))
  })

  it('the first sight of a server raises nothing', async () => {
    const id = sid('first-sight')
    const old = await a.write(a.creation(id))
    await cluster.redis.del(cluster.keys.home(partitionOf(id)))
    expect(await a.run(a.commit(id, old))).toMatchObject({ kind: 'committed', epoch: old.epoch })
  })

  it('a new connection compares before anything else: reads and positions tell the raised epoch', async () => {
    const proxy = await TcpProxy.start(cluster.url)
    const store = await cluster.store({ url: proxy.url })
    let raised = 0
    store.onEpochsRaised = () => raised++
    const id = sid('reconnected')
    const old = await a.write(a.creation(id))
    const other = sid('ended-before')
    await a.write(a.creation(other))
    await a.write(a.deletion(other))
    expect(await store.read(id)).toMatchObject({ epoch: old.epoch })

    await reconnect(proxy, store)
    expect(await store.read(id)).toMatchObject({ epoch: old.epoch })
    expect(raised).toBe(0)

    await changeServer(id)
    await reconnect(proxy, store)
    await until(() => raised === 1)
    const record = await store.read(id)
    expect(BigInt(record?.epoch ?? 0)).toBeGreaterThan(BigInt(old.epoch))
    expect(await store.positions([id, sid('nobody')])).toEqual([{ epoch: record?.epoch, version: 1 }, null])
    expect(await a.run(a.check(id, record))).toEqual({ kind: 'current' })
    store.stop()
    await proxy.stop()
  })

  it('CM7 a host with a warm snapshot of the old epoch goes on from what is there now', async () => {
    const { host } = await cluster.process({ definitions: [counterSession()] })
    const { record } = await host.create({ machine: 'counter' }, NOBODY)
    const { id } = record
    const taken = await host.update({ id, event: { type: 'ADD', by: 40 } }, NOBODY)
    // The new server has not got the last commit: as if it had been promoted before that arrived.
    const name = cluster.keys.session(id)
    await cluster.redis.set(
      name,
      ((await cluster.redis.get(name)) ?? '')
        .replace(`${record.epoch} 2 `, `${record.epoch} 1 `)
        .replace('"n":40', '"n":0'),
    )
    await changeServer(id)
    const conflict = host.update({ id, event: { type: 'ADD' }, ifVersion: taken.record }, NOBODY)
    await expect(conflict).rejects.toMatchObject({ code: 'version_conflict', details: { version: 1 } })
    const after = await host.update({ id, event: { type: 'ADD' } }, NOBODY)
    expect(contextIn(after.record).n).toBe(1)
    expect(after.applied).toBe(2)
    expect(BigInt(after.record.epoch)).toBeGreaterThan(BigInt(record.epoch))
  })
})
