/** True histories, each made by `commit.lua` and drained as they are in service: the proof finds them whole; and tells what is then taken from them. */
import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { PARTITIONS, partitionOf } from '../../actors/partitions.ts'
import type { Position, SessionId } from '../../actors/session.ts'
import { drain } from '../../persistence/audit/drain.ts'
import { migrate } from '../../persistence/audit/migrations.ts'
import { Outbox } from '../../persistence/audit/outbox.ts'
import { retain } from '../../persistence/audit/retention.ts'
import { verify } from '../../persistence/audit/verify.ts'
import type { VerifyQuestion } from '../../persistence/audit/verify.ts'
import { RedisSessionStore } from '../../persistence/redis-session-store.ts'
import { KeptLog } from '../transport/support/parts.ts'
import { sid, sleepMs } from '../support/hosts.ts'
import { databaseUrl, redisUrl } from '../support/servers.ts'
import { AuditPlace } from './audit-support.ts'
import { Writer } from './store-support.ts'

const SHORT = { ttlMs: 30, doneTtlMs: 30 }

let place: AuditPlace
let store: RedisSessionStore
let a: Writer
beforeAll(async () => {
  place = await AuditPlace.create(redisUrl(), databaseUrl())
  await migrate(place.pool)
  const node = randomBytes(6).toString('hex')
  const { redisUrl: url, keys } = place
  store = new RedisSessionStore({ url, keys, node, commandKeyTtlMs: 120_000, log: new KeptLog() })
  await store.start()
  a = new Writer(store)
})
afterAll(async () => {
  store.stop()
  await place.destroy()
})

/** A life of three versions. */
async function live(id: SessionId, more: Parameters<Writer['creation']>[1] = {}): Promise<Position> {
  return goOn(id, await goOn(id, await a.write(a.creation(id, more)), more), more)
}

const goOn = (id: SessionId, base: Position, more: Parameters<Writer['creation']>[1] = {}) =>
  a.write(a.commit(id, base, more))

/** The record vanishes as when no process swept for ten minutes behind its end. */
const vanish = (id: SessionId) => place.redis.del(place.keys.session(id))

/**
 * What `act` does was not yet copied to the server that takes over; the audit has it.
 * @returns where the session is then
 */
async function failOver(
  id: SessionId,
  act: () => Promise<unknown> = async () => undefined,
): Promise<Position> {
  const key = place.keys.session(id)
  const before = await place.redis.dumpBuffer(key)
  await act()
  await drainAll()
  await place.redis.del(key)
  if (before !== null) await place.redis.restore(key, 0, before)
  await place.redis.hset(place.keys.home(partitionOf(id)), 'server', 'another')
  const outcome = await a.run(a.check(id, { epoch: '1', version: 1 }))
  return outcome.kind === 'stale' ? outcome.record : { epoch: '', version: 0 }
}

async function drainAll(): Promise<void> {
  const partitions = Array.from({ length: PARTITIONS }, (_, partition) => partition)
  await drain(
    { outbox: new Outbox(place.redis, place.keys), pool: place.pool, knownDays: new Set() },
    partitions,
    1000,
  )
}

async function proven(id: SessionId, question: VerifyQuestion = {}): Promise<readonly unknown[]> {
  await drainAll()
  return (await verify(place.pool, { ...question, sessionIds: [id] })).findings
}

async function kindsOf(id: SessionId): Promise<string[]> {
  await drainAll()
  const { rows } = await place.pool.query<{ kind: string; version: string }>(
    'select kind, version from troupe_transitions where session_id = $1 order by epoch, version',
    [id],
  )
  return rows.map(({ kind, version }) => `${version} ${kind}`)
}

const LIFE = ['1 created', '2 event', '3 event']

const histories: Readonly<Record<string, (id: SessionId) => Promise<void>>> = {
  'lives that follow a deletion': async (id) => {
    for (let lives = 0; lives < 3; lives++) {
      await live(id)
      await a.write(a.deletion(id))
    }
    await live(id)
  },
  'a life that begins where the one before was past its time, unswept': async (id) => {
    await live(id, SHORT)
    await sleepMs(60)
    await live(id)
  },
  'a life that follows an expiry by the sweep': async (id) => {
    await live(id, SHORT)
    await sleepMs(60)
    await a.write(a.expiry(id))
    await place.redis.del(place.keys.session(id))
    await live(id)
  },
  'a life that follows a vanished record, which the sweep ended': async (id) => {
    await live(id, SHORT)
    await vanish(id)
    await a.write(a.expiry(id))
    await live(id)
  },
  'a life that begins before the sweep came to a vanished record': async (id) => {
    await live(id, SHORT)
    await vanish(id)
    await live(id)
    expect(await kindsOf(id)).toEqual([...LIFE, '0 expired', ...LIFE])
  },
  'an epoch that was raised, ended, and begun anew': async (id) => {
    await live(id)
    await goOn(id, await failOver(id))
    await a.write(a.deletion(id))
    await live(id)
    expect(await kindsOf(id)).toEqual([...LIFE, '4 event', '5 deleted', ...LIFE])
  },
  'an epoch that was raised by its deletion': async (id) => {
    await live(id)
    await failOver(id)
    await a.write(a.deletion(id))
    await live(id)
  },
}

describe('the proof of true histories', () => {
  it.each(Object.entries(histories))('AU1 AU2 finds nothing in %s', async (what, make) => {
    const id = sid(`true-${Object.keys(histories).indexOf(what)}`)
    await make(id)
    expect(await proven(id)).toEqual([])
    const { rows } = await place.pool.query<{ at: Date }>(
      'select distinct committed_at as at from troupe_transitions where session_id = $1',
      [id],
    )
    for (const { at } of rows) expect(await proven(id, { since: at })).toEqual([])
    expect(await proven(id, { keptSince: '2026-01-01' })).toEqual([])
  })

  it('AU2 tells of a failover what was taken back, and of what goes on from before it nothing else', async () => {
    const id = sid('taken-back')
    const base = await live(id)
    const raised = await failOver(id, async () => {
      await a.write(a.deletion(id))
      await live(id)
    })
    const { epoch } = await goOn(id, raised)
    await a.write(a.deletion(id))
    await live(id)
    expect(BigInt(epoch)).toBeGreaterThan(BigInt(base.epoch))
    // The life that was begun and lost is none that has no end: it is the raised epoch that follows it.
    expect(await proven(id)).toEqual([])

    const other = sid('taken-back-too')
    const from = await live(other)
    const again = await failOver(other, async () => goOn(other, await goOn(other, from)))
    const next = await goOn(other, again)
    expect(await proven(other)).toEqual([
      { kind: 'taken-back', sessionId: other, epoch: from.epoch, from: 4, to: 5, by: next.epoch },
    ])
  })

  it('AU2 tells of two branches of one epoch that they are a fork, and asks no end of either that has one', async () => {
    const id = sid('forked')
    const base = await live(id)
    const key = place.keys.session(id)
    const before = await place.redis.dumpBuffer(key)
    await goOn(id, await goOn(id, await goOn(id, base)))
    await place.redis.restore(key, 0, before, 'REPLACE')
    await goOn(id, base)
    await a.write(a.deletion(id))
    await live(id)
    expect(await proven(id)).toMatchObject([
      { kind: 'fork', version: 4 },
      { kind: 'fork', version: 5 },
    ])
  })

  it('AU1 says of a life that Redis lost whole that it has no end', async () => {
    const id = sid('lost')
    await failOver(id, () => live(id))
    await place.redis.zrem(place.keys.timers(partitionOf(id)), `x:${id}`)
    const { epoch } = await live(id)
    expect(await proven(id)).toMatchObject([{ kind: 'no-end', version: 3, next: epoch }])
  })
})

describe('the proof of harmed histories', () => {
  const erase = (id: SessionId, where: string) =>
    place.pool.query(`delete from troupe_transitions where session_id = $1 and ${where}`, [id])
  const first = `epoch = (select min(epoch) from troupe_transitions where session_id = $1)`

  it('AU1 tells that the last rows of a life are missing that another one follows', async () => {
    const id = sid('torn')
    const { epoch } = await live(id)
    await a.write(a.deletion(id))
    const { epoch: next } = await live(id)
    await drainAll()
    await erase(id, `${first} and version >= 3`)
    const found = { kind: 'no-end', sessionId: id, epoch, version: 2, next }
    expect(await proven(id)).toEqual([found])
    expect(await proven(id, { keptSince: '2026-01-01' })).toEqual([found])
  })

  it('AU1 tells it of a raised epoch too', async () => {
    const id = sid('torn-raised')
    await live(id)
    const { epoch } = await goOn(id, await failOver(id))
    await a.write(a.deletion(id))
    await live(id)
    await drainAll()
    await erase(id, `kind = 'deleted'`)
    expect(await proven(id)).toMatchObject([{ kind: 'no-end', epoch, version: 4 }])
  })

  it('AU1 tells that the first rows are missing of a session created since, whatever was dropped before', async () => {
    const id = sid('headless')
    const { epoch } = await live(id)
    await drainAll()
    await erase(id, 'version <= 2')
    const found = [{ kind: 'missing', sessionId: id, epoch, from: 1, to: 2 }]
    expect(await proven(id, { keptSince: '2026-01-01' })).toEqual(found)
    expect(await proven(id, { since: new Date(Date.now() - 3_600_000) })).toEqual(found)
    await retain(place.pool, 30, Date.now())
    expect(await proven(id)).toEqual(found)
  })
})
