import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { parseFeedMessage } from '../../actors/feed-message.ts'
import type { Position, SessionId } from '../../actors/session.ts'
import { sid, TestCluster } from '../support/hosts.ts'
import { key, Listener, stateOf, tracesOf, Writer } from './store-support.ts'

let cluster: TestCluster
let a: Writer
let b: Writer

beforeAll(async () => {
  cluster = new TestCluster()
  a = new Writer(await cluster.store())
  b = new Writer(await cluster.store())
})
afterAll(() => cluster.close())

async function heardOf(id: SessionId, act: () => Promise<unknown>): Promise<Listener> {
  const listener = await Listener.on(cluster, id)
  await act()
  await listener.settled()
  listener.stop()
  return listener
}

describe('CM1 a commit is all or nothing', () => {
  it('CM1 a creation writes record, lifetime, expiry entry, command key, row and feed message', async () => {
    const id = sid('created')
    const k = key('creation-key')
    const entry = a.creation(id, {
      keys: [k],
      transitions: [{ kind: 'created', audit: '{"input":1}', state: stateOf(0), key: k, mail: [] }],
      internals: '{"historyValue":{}}',
      emitted: [{ transition: 0, event: '{"type":"hello"}' }],
      ttlMs: 100_000,
      doneTtlMs: 7000,
    })
    let made: Awaited<ReturnType<Writer['write']>> | undefined
    const heard = await heardOf(id, async () => {
      made = await a.write(entry)
    })
    const found = await tracesOf(cluster, id)

    expect(made).toMatchObject({ firstVersion: 1, version: 1 })
    const { epoch, time = 0, expiresAt } = made ?? {}
    expect(expiresAt).toBe(time + 100_000)
    expect(Number(epoch) / 1000).toBeCloseTo(time, -1)
    const record = await b.store.read(id)
    expect(record).toEqual({
      id,
      epoch,
      version: 1,
      commitId: `${a.store.node}-1`,
      machine: 'counter',
      machineVersion: 1,
      createdAt: time,
      updatedAt: time,
      expiresAt,
      ttlMs: 100_000,
      doneTtlMs: 7000,
      timers: '-',
      runs: '-',
      writers: `;${a.store.node}:1:1:1:-:${epoch}`,
      state: stateOf(0),
      internals: '{"historyValue":{}}',
    })
    expect(found.keyTtlMs).toBeGreaterThan(100_000)
    expect(found.expiryEntry).toBe(expiresAt)
    expect(found.rows).toEqual([
      {
        i: id,
        e: epoch,
        v: '1',
        c: `${a.store.node}-1`,
        p: '',
        t: String(time),
        k: 'created',
        m: '{"input":1}',
        s: stateOf(0),
      },
    ])
    expect(Object.keys(found.commandKeys)).toEqual(['creation-key'])
    expect(heard.ofSession).toHaveLength(1)
    expect(heard.ofPartition).toEqual(heard.ofSession)
    expect(parseFeedMessage(heard.ofSession[0] ?? '')).toEqual({
      kind: 'updated',
      id,
      node: a.store.node,
      baseVersion: 0,
      record,
      events: '[]',
      emitted: [{ version: 1, event: '{"type":"hello"}' }],
    })
  })

  it('CM1 a deletion leaves a tombstone, a row and a notice, and no expiry entry', async () => {
    const id = sid('deleted')
    const created = await a.write(a.creation(id))
    const heard = await heardOf(id, () => b.write({ ...b.deletion(id), audit: '{"why":"test"}' }))
    const found = await tracesOf(cluster, id)
    expect(await a.store.read(id)).toBeNull()
    expect(found.record).toMatch(new RegExp(`^3t ${created.epoch} 2 \\S+ deleted `))
    expect(found.keyTtlMs).toBeGreaterThan(500_000)
    expect(found.expiryEntry).toBeNull()
    expect(found.rows[1]).toMatchObject({ v: '2', k: 'deleted', p: found.rows[0]?.['c'], s: '' })
    expect(found.rows[1]?.['m']).toBe('{"machine":"counter","machineVersion":1,"why":"test"}')
    expect(parseFeedMessage(heard.ofSession[0] ?? '')).toEqual({
      kind: 'ended',
      id,
      position: { epoch: created.epoch, version: 2 },
      reason: 'deleted',
    })
    expect(heard.ofPartition).toEqual(heard.ofSession)
  })

  it('CM1 each entry of a call is answered by itself, and one that fails leaves nothing', async () => {
    const [good, stale, gone, strange, last] = ['e-1', 'e-2', 'e-3', 'e-4', 'e-5'].map(sid) as [
      SessionId,
      SessionId,
      SessionId,
      SessionId,
      SessionId,
    ]
    const base: Position = await b.write(b.creation(good))
    const behind: Position = await b.write(b.creation(stale))
    await b.write(b.commit(stale, behind))
    await cluster.redis.set(cluster.keys.session(strange), '9 a record from the future')

    const outcomes = await a.store.execute([
      a.commit(good, base),
      a.commit(stale, behind),
      a.commit(gone, base),
      a.creation(strange),
      a.check(good, { epoch: base.epoch, version: 2 }),
      a.creation(last),
    ])
    expect(outcomes.map(({ kind }) => kind)).toEqual([
      'committed',
      'stale',
      'gone',
      'refused',
      'current',
      'committed',
    ])
    expect(outcomes[3]).toMatchObject({ retryable: false, message: expect.stringContaining('e-4') as string })
    expect((await tracesOf(cluster, strange)).rows).toEqual([])
    expect(await cluster.redis.get(cluster.keys.session(strange))).toBe('9 a record from the future')
    expect((await tracesOf(cluster, gone)).record).toBeNull()
    expect((await tracesOf(cluster, last)).rows).toHaveLength(1)
  })
})

it('CM1 an entry that cannot be read fails alone', async () => {
  const [id, bad] = [sid('beside'), sid('bad')]
  const base = await a.write(a.creation(id))
  const outcomes = await a.store.execute([
    a.creation(bad, { ttlMs: 0.5, doneTtlMs: 0.5 }),
    a.commit(id, base),
    a.creation(sid('beside-2')),
  ])
  expect(outcomes.map(({ kind }) => kind)).toEqual(['refused', 'committed', 'committed'])
  expect((await tracesOf(cluster, bad)).record).toBeNull()
})
