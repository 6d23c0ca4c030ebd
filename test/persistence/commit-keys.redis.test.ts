import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { CommandKey, StoreOutcome } from '../../actors/ports.ts'
import type { Position, SessionId } from '../../actors/session.ts'
import { callerNamed, NOBODY, sid, sleepMs, TestCluster } from '../support/hosts.ts'
import { contextIn, counterSession } from '../runtime/host-machines.ts'
import { key, stateIn, tracesOf, transition, Writer } from './store-support.ts'

let cluster: TestCluster
let a: Writer
let b: Writer

beforeAll(async () => {
  cluster = new TestCluster()
  a = new Writer(await cluster.store())
  b = new Writer(await cluster.store())
})
afterAll(() => cluster.close())

function keyed(writer: Writer, id: SessionId, base: Position, ...keys: CommandKey[]): Promise<StoreOutcome> {
  const transitions = keys.map((k, n) => transition(base.version + 1 + n, k))
  return writer.run(writer.commit(id, base, { keys, transitions }))
}

async function created(id: SessionId): Promise<Position> {
  const { epoch, version } = await a.write(a.creation(id))
  return { epoch, version }
}

describe('CM5 the same command key applies once', () => {
  it('CM5 from another process, after other commits: the version that it made', async () => {
    const id = sid('elsewhere')
    const base = await created(id)
    expect(await keyed(a, id, base, key('k1'), key('k2'), key('k3'))).toMatchObject({
      kind: 'committed',
      version: 4,
    })
    await b.write(b.commit(id, { ...base, version: 4 }))
    const before = await stateIn(cluster, id)
    expect(await keyed(b, id, { ...base, version: 5 }, key('new'), key('k2'))).toEqual({
      kind: 'known',
      hits: [{ index: 1, reused: false, epoch: base.epoch, version: 3 }],
      record: await a.store.read(id),
    })
    expect(await b.run(b.check(id, null, [key('k3'), key('k1')]))).toMatchObject({
      kind: 'known',
      hits: [
        { index: 0, version: 4 },
        { index: 1, version: 2 },
      ],
    })
    expect(await stateIn(cluster, id)).toEqual(before)
  })

  it('CM5 a known key is recognised before the position is compared', async () => {
    const id = sid('stale-and-known')
    const base = await created(id)
    await keyed(a, id, base, key('k'))
    expect(await keyed(b, id, base, key('k'))).toMatchObject({ kind: 'known', hits: [{ version: 2 }] })
    expect(await keyed(b, id, base, key('other'))).toMatchObject({ kind: 'stale' })
  })

  it('CM5 with another event it is a reused key', async () => {
    const id = sid('reused')
    const base = await created(id)
    await keyed(a, id, base, key('k', 'f1'))
    expect(await keyed(b, id, { ...base, version: 2 }, key('k', 'f2'))).toMatchObject({
      kind: 'known',
      hits: [{ index: 0, reused: true, version: 2 }],
    })
  })

  it('CM5 only commits are remembered', async () => {
    const id = sid('not-remembered')
    const base = await created(id)
    await a.write(a.commit(id, base))
    expect(await keyed(a, id, base, key('k'))).toMatchObject({ kind: 'stale' })
    expect(await b.run(b.check(id, { ...base, version: 2 }, [key('k')]))).toEqual({ kind: 'current' })
    expect(await keyed(a, id, { ...base, version: 2 }, key('k'))).toMatchObject({
      kind: 'committed',
      version: 3,
    })
  })

  it('CM5 two processes send the same key at once: one applies it', async () => {
    const id = sid('at-once')
    const base = await created(id)
    const outcomes = await Promise.all([keyed(a, id, base, key('k')), keyed(b, id, base, key('k'))])
    expect(outcomes.map(({ kind }) => kind).sort()).toEqual(['committed', 'known'])
  })

  it('CM5 a creation is known by its key, also after the session has ended', async () => {
    const id = sid('creation')
    const k = key('create')
    const creation = (writer: Writer) =>
      writer.creation(id, { keys: [k], transitions: [{ ...transition(0, k), kind: 'created' }] })
    const made = await a.write(creation(a))
    expect(await b.run(creation(b))).toMatchObject({
      kind: 'known',
      hits: [{ index: 0, reused: false, epoch: made.epoch, version: 1 }],
      record: { version: 1 },
    })
    await a.write(a.deletion(id))
    expect(await b.run(creation(b))).toMatchObject({ kind: 'known', record: null })
    expect(await a.store.read(id)).toBeNull()
  })

  it('CM5 a key is forgotten after its time, and no later than that', async () => {
    const short = new Writer(await cluster.store({ commandKeyTtlMs: 300 }))
    const id = sid('short')
    const base = await created(id)
    expect(await keyed(short, id, base, key('k'))).toMatchObject({ kind: 'committed', version: 2 })
    expect(await keyed(short, id, { ...base, version: 2 }, key('k'))).toMatchObject({ kind: 'known' })
    // Another key keeps the hash alive, and not the first key.
    await sleepMs(200)
    expect(await keyed(short, id, { ...base, version: 2 }, key('k2'))).toMatchObject({
      kind: 'committed',
      version: 3,
    })
    await sleepMs(150)
    expect(await keyed(short, id, { ...base, version: 3 }, key('k'))).toMatchObject({
      kind: 'committed',
      version: 4,
    })
    await sleepMs(450)
    expect((await tracesOf(cluster, id)).commandKeys).toEqual({})
  })

  it('CM5 many keys at a busy session: all known in their time, and the hash stays bounded', async () => {
    const short = new Writer(await cluster.store({ commandKeyTtlMs: 400 }))
    const id = sid('busy')
    let base = await created(id)
    let most = 0
    let sent = 0
    while (sent < 2500) {
      const keys = Array.from({ length: 25 }, () => key(`k${sent++}`))
      const made = await keyed(short, id, base, ...keys)
      if (made.kind !== 'committed') expect.unreachable(JSON.stringify(made))
      base = { ...base, version: base.version + 25 }
      const hits = await short.run(short.check(id, null, keys))
      expect(hits.kind === 'known' && hits.hits.length).toBe(25)
      most = Math.max(most, await cluster.redis.hlen(cluster.keys.commandKeys(id)))
      await sleepMs(10)
    }
    // About a third of them are alive at once; without cleaning all would be there.
    expect(most).toBeGreaterThan(128)
    expect(most).toBeLessThan(sent * 0.7)
  })
})

describe('CM5 command keys of callers', () => {
  it('CM5 the same key and event: duplicate, with the version that it made, on any process', async () => {
    const [p, q] = [await processOf(), await processOf()]
    const { record } = await p.host.create({ machine: 'counter' }, NOBODY)
    const request = { id: record.id, event: { type: 'ADD', by: 5 }, key: 'order-1' }
    expect(await p.host.update(request, NOBODY)).toMatchObject({ outcome: 'committed', applied: 2 })
    await q.host.update({ id: record.id, event: { type: 'ADD' } }, NOBODY)
    const again = await q.host.update(request, NOBODY)
    expect(again).toMatchObject({ outcome: 'duplicate', applied: 2, record: { version: 3 } })
    expect(contextIn(again.record).n).toBe(6)
    expect(await p.host.update(request, NOBODY)).toMatchObject({ outcome: 'duplicate', applied: 2 })
  })

  it('CM5 the same key with another event is key_reused, and changes nothing', async () => {
    const p = await processOf()
    const { record } = await p.host.create({ machine: 'counter' }, NOBODY)
    await p.host.update({ id: record.id, event: { type: 'ADD', by: 5 }, key: 'k' }, NOBODY)
    const reused = p.host.update({ id: record.id, event: { type: 'ADD', by: 6 }, key: 'k' }, NOBODY)
    await expect(reused).rejects.toMatchObject({ code: 'key_reused', retryable: false })
    expect(contextIn((await p.host.get(record.id)) ?? { state: '' }).n).toBe(5)
  })

  it('CM5 keys of two principals never meet', async () => {
    const p = await processOf()
    const { record } = await p.host.create({ machine: 'counter' }, NOBODY)
    const request = { id: record.id, event: { type: 'ADD' }, key: 'k' }
    for (const [n, caller] of [NOBODY, callerNamed('ann'), callerNamed('bob')].entries())
      expect(await p.host.update(request, caller)).toMatchObject({ outcome: 'committed', applied: 2 + n })
    expect(await p.host.update(request, callerNamed('ann'))).toMatchObject({
      outcome: 'duplicate',
      applied: 3,
    })
  })

  it('CM5 the same key twice in one batch: one applies, the other is told its version', async () => {
    const p = await processOf()
    const { record } = await p.host.create({ machine: 'counter' }, NOBODY)
    const request = { id: record.id, event: { type: 'ADD' }, key: 'k' }
    const other = { id: record.id, event: { type: 'ADD' } }
    const results = await Promise.all(
      [other, request, other, request, other].map((one) => p.host.update(one, NOBODY)),
    )
    expect(results.map(({ outcome, applied }) => [outcome, applied])).toEqual([
      ['committed', 2],
      ['committed', 3],
      ['committed', 4],
      ['duplicate', 3],
      ['committed', 5],
    ])
  })

  it('CM5 a key in a batch with others: the known one is answered, the others apply', async () => {
    const [p, q] = [await processOf(), await processOf()]
    const { record } = await p.host.create({ machine: 'counter' }, NOBODY)
    const known = { id: record.id, event: { type: 'ADD' }, key: 'known' }
    await p.host.update(known, NOBODY)
    const other = { id: record.id, event: { type: 'ADD' } }
    const results = await Promise.all(
      [other, known, { ...other, key: 'new' }].map((one) => q.host.update(one, NOBODY)),
    )
    expect(results.map(({ outcome, applied }) => [outcome, applied])).toEqual([
      ['committed', 3],
      ['duplicate', 2],
      ['committed', 4],
    ])
  })

  it('CM5 an event that changed nothing does not use up its key', async () => {
    const p = await processOf()
    const { record } = await p.host.create({ machine: 'counter' }, NOBODY)
    const take = { id: record.id, event: { type: 'TAKE', by: 3 }, key: 'k' }
    expect(await p.host.update(take, NOBODY)).toMatchObject({ outcome: 'unchanged' })
    await p.host.update({ id: record.id, event: { type: 'ADD', by: 3 } }, NOBODY)
    expect(await p.host.update(take, NOBODY)).toMatchObject({ outcome: 'committed', applied: 3 })
  })

  it('CM5 createSession with a key alone makes one session, whoever asks again', async () => {
    const [p, q] = [await processOf(), await processOf()]
    const request = { machine: 'counter', key: 'cart-of-ann', input: { n: 1 } }
    const first = await p.host.create(request, callerNamed('ann'))
    const again = await q.host.create(request, callerNamed('ann'))
    expect(again.record.id).toBe(first.record.id)
    expect([first.created, again.created]).toEqual([true, true])
    const bobs = await q.host.create(request, callerNamed('bob'))
    expect(bobs.record.id).not.toBe(first.record.id)
    const other = q.host.create({ ...request, input: { n: 2 } }, callerNamed('ann'))
    await expect(other).rejects.toMatchObject({ code: 'key_reused' })
  })
})

function processOf() {
  return cluster.process({ definitions: [counterSession()] })
}
