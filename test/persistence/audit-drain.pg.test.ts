import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { partitionOf } from '../../actors/partitions.ts'
import { dayOf, ensureDays } from '../../persistence/audit/days.ts'
import { drain, type DrainParts } from '../../persistence/audit/drain.ts'
import { faultPoints } from '../../persistence/audit/fault-points.ts'
import { groupOf, partitionsOf } from '../../persistence/audit/groups.ts'
import { migrate } from '../../persistence/audit/migrations.ts'
import { Outbox } from '../../persistence/audit/outbox.ts'
import { findGaps } from '../../persistence/audit/verify.ts'
import { databaseUrl, redisUrl } from '../support/servers.ts'
import { AuditPlace, packed, transitions, type TestEntry } from './audit-support.ts'

describe('a batch of the audit', () => {
  let place: AuditPlace
  let parts: DrainParts
  const partition = partitionOf('a')
  const partitions = partitionsOf(groupOf(partition))

  beforeEach(async () => {
    place = await AuditPlace.create(redisUrl(), databaseUrl())
    await migrate(place.pool)
    parts = { outbox: new Outbox(place.redis, place.keys), pool: place.pool, knownDays: new Set() }
  })
  afterEach(() => place.destroy())

  async function drainAll(): Promise<void> {
    while ((await drain(parts, partitions, 500)).more);
  }

  const lifeOf = (entry: TestEntry, version: number, changes: Record<string, string>): TestEntry => ({
    ...entry,
    v: String(version),
    c: `node-a-${version}`,
    p: `node-a-${version - 1}`,
    ...changes,
  })

  it.each(faultPoints)(
    'AU1 is stored exactly once when the process dies at %s and the batch runs again',
    async (point) => {
      const entries = transitions('a', 40)
      await place.append([...entries, ...transitions('a', 1).map((entry) => ({ ...entry, v: 'poison' }))])
      const dying: DrainParts = {
        ...parts,
        faultPoint: (reached) => {
          if (reached === point) throw new Error(`died at ${reached}`)
        },
      }
      await expect(drain(dying, partitions, 500)).rejects.toThrow(`died at ${point}`)
      // What is no longer in Redis must be in PostgreSQL, at every instant.
      expect((await place.waiting()) + (await place.count('troupe_transitions'))).toBeGreaterThanOrEqual(40)

      await drainAll()
      expect(await place.waiting()).toBe(0)
      expect(await place.count('troupe_transitions')).toBe(40)
      expect(await place.count('troupe_rejects')).toBe(1)
      expect(await findGaps(place.pool)).toEqual([])
    },
  )

  it('AU1 a record that PostgreSQL refuses is kept byte for byte, and its neighbours are stored', async () => {
    const good = transitions('a', 60)
    const [sample] = transitions('a', 1)
    const bad = (changes: Record<string, string | Buffer>): Record<string, string | Buffer> => ({
      ...sample,
      c: 'bad',
      ...changes,
    })
    const poison = [
      bad({ s: '{"status":"active","context":{"text":"nul \\u0000 inside"}}' }),
      bad({ s: '{"status":"active","context":"half a pair \\ud800"}' }),
      bad({ m: '{"machine": not json' }),
      bad({ m: 'a\u0000b' }),
      bad({ m: '{"machineVersion":"one"}' }),
      bad({ m: '{"machine":"two"}\n{"machine":"lines"}' }),
      bad({ s: '{\n}' }),
      bad({ e: '99999999999999999999' }),
      bad({ v: '-1' }),
      bad({ t: 'yesterday' }),
      bad({ k: 'Nothing Known' }),
      bad({ c: '' }),
      bad({ c: Buffer.from([0xff, 0xfe]) }),
      bad({ i: 'a\u0000' }),
    ]
    await place.append(good.slice(0, 20))
    for (const fields of poison) await place.redis.xadd(place.keys.outbox(partition), '*', ...packed(fields))
    await place.redis.xadd(place.keys.outbox(partition), '*', 'unheard', 'of')
    await place.append(good.slice(20))

    await drainAll()
    expect(await place.waiting()).toBe(0)
    expect(await place.count('troupe_transitions')).toBe(60)
    expect(await findGaps(place.pool)).toEqual([])

    const { rows } = await place.pool.query<{ reason: string; fields: [string, string][] }>(
      'select reason, fields from troupe_rejects order by stream_id',
    )
    expect(rows).toHaveLength(poison.length + 1)
    const kept = rows.map((row) =>
      row.fields.map(([name, base64]) => [name, Buffer.from(base64, 'base64')] as const),
    )
    for (const fields of poison) {
      const bytes = packed(fields).map((each) => Buffer.from(each))
      const wanted = [0, 2, 4].map((at) => [String(bytes[at]), bytes[at + 1]] as const)
      expect(kept).toContainEqual(wanted)
    }
    expect(rows.map((row) => row.reason)).toContain('field h is missing')
    expect(rows.filter((row) => row.reason.includes('PostgreSQL refused it'))).toHaveLength(5)
  })

  it('AU1 rejects are kept once, however often the batch runs', async () => {
    await place.redis.xadd(place.keys.outbox(partition), '1-1', 'h', 'a')
    await drainAll()
    await place.redis.xadd(place.keys.outbox(partition), '2-1', 'h', 'a')
    const dying: DrainParts = {
      ...parts,
      faultPoint: (point) => {
        if (point === 'after-reject') throw new Error('died')
      },
    }
    await expect(drain(dying, partitions, 500)).rejects.toThrow('died')
    await drainAll()
    expect(await place.count('troupe_rejects')).toBe(2)
  })

  it('AU2 an entry whose id now holds another commit is not deleted, and is written in its turn', async () => {
    const [entry] = transitions('a', 1)
    const outbox = place.keys.outbox(partition)
    const add = (commit: string): Promise<unknown> =>
      place.redis.xadd(outbox, '77-1', ...packed({ ...entry, c: commit }))
    await add('lost')
    const failover: DrainParts = {
      ...parts,
      faultPoint: async (point) => {
        if (point !== 'after-insert') return
        // A failover takes the stream back, and the same id is given to another commit.
        await place.redis.del(outbox)
        await add('kept')
      },
    }
    await drain(failover, partitions, 500)
    expect(await place.waiting()).toBe(1)
    await drainAll()
    expect(await place.waiting()).toBe(0)
    expect(await findGaps(place.pool)).toMatchObject([
      { kind: 'fork', version: 1, commitIds: ['kept', 'lost'] },
    ])
  })

  it('AU2 of a stream whose end was taken back, only what is still there as it was read is deleted', async () => {
    const [entry] = transitions('a', 1)
    const outbox = place.keys.outbox(partition)
    const add = (id: string, commit: string, version: string): Promise<unknown> =>
      place.redis.xadd(outbox, id, ...packed({ ...entry, c: commit, v: version }))
    await add('77-1', 'first', '1')
    await add('77-2', 'lost', '2')
    await add('77-3', 'lost-too', '3')
    const failover: DrainParts = {
      ...parts,
      faultPoint: async (point) => {
        if (point !== 'after-insert') return
        await place.redis.del(outbox)
        await add('77-1', 'first', '1')
        await add('77-2', 'kept', '2')
      },
    }
    await drain(failover, partitions, 500)
    expect((await place.redis.xrange(outbox, '-', '+')).map(([id]) => id)).toEqual(['77-2'])
    await drainAll()
    expect(await place.waiting()).toBe(0)
    expect(await place.count('troupe_transitions')).toBe(4)
  })

  it('AU2 only what was read is deleted: entries appended meanwhile stay', async () => {
    const [first = [], second = []] = [transitions('a', 10).slice(0, 5), transitions('a', 10).slice(5)]
    await place.append(first)
    await drain(
      { ...parts, faultPoint: (point) => (point === 'before-delete' ? place.append(second) : undefined) },
      partitions,
      500,
    )
    expect(await place.waiting()).toBe(5)
  })

  it('keeps one row a session: the newest position wins, in whatever order rows come', async () => {
    const [first] = transitions('a', 1)
    if (first === undefined) throw new Error('no entry')
    const state = (n: number): string =>
      JSON.stringify({ status: 'active', value: 'on', context: { n }, tags: ['t'], accepts: [] })
    // Nine digits against ten: epochs are numbers, not text.
    const early = (version: number): TestEntry =>
      lifeOf(first, version, { e: '999999999', c: `early-${version}`, s: state(version) })
    const late = (version: number): TestEntry =>
      lifeOf(first, version, { e: '1000000000', c: `late-${version}`, s: state(version * 100) })
    const read = async (): Promise<unknown> =>
      (await place.pool.query('select epoch, version, commit_id, status, context from troupe_sessions'))
        .rows[0]

    await place.append([early(10), early(9)])
    await drainAll()
    expect(await read()).toMatchObject({ epoch: '999999999', version: '10', context: { n: 10 } })
    await place.append([late(2)])
    await drainAll()
    await place.append([early(11), late(1)])
    await drainAll()
    expect(await read()).toMatchObject({
      epoch: '1000000000',
      version: '2',
      commit_id: 'late-2',
      context: { n: 200 },
    })
  })

  it('keeps the last state of a session that ended, and starts anew with its next life', async () => {
    const [first] = transitions('a', 1, { cart: ['book'] })
    if (first === undefined) throw new Error('no entry')
    const read = async (): Promise<unknown> =>
      (await place.pool.query('select * from troupe_sessions')).rows[0]

    await place.append([
      first,
      lifeOf(first, 2, { k: 'deleted', s: '', m: '{"machine":"counter","machineVersion":1}' }),
    ])
    await drainAll()
    expect(await read()).toMatchObject({
      status: 'deleted',
      version: '2',
      value: 'on',
      context: { cart: ['book'] },
    })
    expect((await read()) as object).toHaveProperty('ended_at', expect.any(Date))

    await place.append([
      {
        ...first,
        e: String(Number(first.e) + 1),
        c: 'again',
        s: '{"status":"active","value":"on","context":{}}',
      },
    ])
    await drainAll()
    expect(await read()).toMatchObject({
      status: 'active',
      version: '1',
      commit_id: 'again',
      context: {},
      ended_at: null,
    })

    // The end may also come in a batch of its own.
    await place.append([
      { ...first, e: String(Number(first.e) + 1), v: '2', c: 'x', p: 'again', k: 'expired', m: '{}', s: '' },
    ])
    await drainAll()
    expect(await read()).toMatchObject({ status: 'expired', machine: 'counter', version: '2', value: 'on' })
  })

  it('files rows under the day of their commit, makes its partition, and takes over what the default one held', async () => {
    const [entry] = transitions('a', 1)
    if (entry === undefined) throw new Error('no entry')
    const midnight = Date.parse(`${dayOf(Date.now())}T00:00:00Z`)
    const times = [midnight - 1, midnight, Date.parse('2001-02-03T00:00:00Z'), 99_999_999_999_999]
    await place.append(times.map((time, index) => lifeOf(entry, index + 1, { t: String(time) })))
    await drainAll()
    const { rows } = await place.pool.query<{ table: string; at: string }>(
      'select tableoid::regclass::text as table, (extract(epoch from committed_at) * 1000)::bigint as at from troupe_transitions order by version',
    )
    const table = (day: string): string => `troupe_transitions_${day.replaceAll('-', '')}`
    expect(rows.map((row) => row.table)).toEqual([
      table(dayOf(midnight - 1)),
      table(dayOf(midnight)),
      'troupe_transitions_default',
      'troupe_transitions_default',
    ])
    expect(rows.map((row) => Number(row.at))).toEqual(times)

    await Promise.all([ensureDays(place.pool, ['2001-02-03']), ensureDays(place.pool, ['2001-02-03'])])
    expect(await place.count('troupe_transitions_20010203')).toBe(1)
    expect(await place.count('troupe_transitions')).toBe(4)
  })

  it('migrates once when several processes start together', async () => {
    const fresh = await AuditPlace.create(redisUrl(), databaseUrl())
    try {
      const steps = await Promise.all([migrate(fresh.pool), migrate(fresh.pool), migrate(fresh.pool)])
      expect(steps.flat()).toHaveLength(6)
      expect(await fresh.count('troupe_migrations')).toBe(6)
      expect(await migrate(fresh.pool)).toEqual([])
    } finally {
      await fresh.destroy()
    }
  })

  it('AU1 findGaps tells what is missing, forked or out of line, and nothing else', async () => {
    const all = transitions('a', 6)
    const [first] = all
    if (first === undefined) throw new Error('no entry')
    const raised = String(Number(first.e) + 5)
    // Two transitions of one commit, and an epoch raised at version 4 that goes on from version 3: all in order.
    await place.append([
      ...all.slice(0, 2),
      lifeOf(first, 3, { c: 'pair', p: 'node-a-2', k: 'event' }),
      lifeOf(first, 4, { c: 'pair', p: 'node-a-2', k: 'event' }),
      lifeOf(first, 4, { c: 'after', p: 'pair', e: raised, k: 'event' }),
      { ...first, e: String(Number(raised) + 9), v: '0', c: 'x', k: 'expired', s: '' },
    ])
    await drainAll()
    expect(await findGaps(place.pool)).toEqual([])

    await place.append([
      lifeOf(first, 8, { c: 'lonely', k: 'event' }),
      lifeOf(first, 9, { c: 'stranger', p: 'nobody', k: 'event' }),
      lifeOf(first, 2, { c: 'other', p: 'node-a-1', k: 'event' }),
      lifeOf(first, 3, { c: 'baseless', p: 'nowhere', e: String(Number(raised) + 20), k: 'event' }),
    ])
    await drainAll()
    const found = await findGaps(place.pool, { sessionIds: ['a'] })
    expect(found).toEqual([
      { kind: 'missing', sessionId: 'a', epoch: first.e, from: 5, to: 7 },
      { kind: 'missing', sessionId: 'a', epoch: String(Number(raised) + 20), from: 1, to: 2 },
      { kind: 'fork', sessionId: 'a', epoch: first.e, version: 2, commitIds: ['node-a-2', 'other'] },
      {
        kind: 'broken-chain',
        sessionId: 'a',
        epoch: first.e,
        version: 9,
        commitId: 'stranger',
        previousCommitId: 'nobody',
      },
    ])
    expect(await findGaps(place.pool, { sessionIds: ['b'] })).toEqual([])
    expect(await findGaps(place.pool, { limit: 1 })).toHaveLength(3)
  })
})
