import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { CommandKey, StoreOutcome } from '../../actors/ports.ts'
import type { Position, SessionId } from '../../actors/session.ts'
import { callerNamed, NOBODY, sid, sleepMs, TestCluster } from '../support/hosts.ts'
import { contextIn, counterSession } from '../runtime/host-machines.ts'
import { key, tracesOf, transition, Writer } from './store-support.ts'

let cluster: TestCluster
let a: Writer

beforeAll(async () => {
  cluster = new TestCluster()
  a = new Writer(await cluster.store())
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
  it('CM5 nothing is left of a key that is forgotten', async () => {
    const short = new Writer(await cluster.store({ commandKeyTtlMs: 100 }))
    const id = sid('short')
    await keyed(short, id, await created(id), key('k'))
    await sleepMs(250)
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
