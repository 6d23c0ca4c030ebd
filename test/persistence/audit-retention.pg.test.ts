/** Old days leave the audit, and nothing waits for them. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { compareWithRedis } from '../../persistence/audit/compare.ts'
import { DAY_MS, dayOf, ensureDays } from '../../persistence/audit/days.ts'
import { migrate } from '../../persistence/audit/migrations.ts'
import { retain } from '../../persistence/audit/retention.ts'
import { verify } from '../../persistence/audit/verify.ts'
import { databaseUrl, redisUrl } from '../support/servers.ts'
import { EPOCH, writeLife } from './audit-rows.ts'
import { AuditPlace, until } from './audit-support.ts'

const NOW = Date.parse(dayOf(Date.now())) + DAY_MS / 2
const at = (daysAgo: number, second = 0): number => NOW - daysAgo * DAY_MS + second * 1000
const days = (...daysAgo: number[]): string[] => daysAgo.map((each) => dayOf(at(each)))

let place: AuditPlace
beforeAll(async () => {
  place = await AuditPlace.create(redisUrl(), databaseUrl())
  await migrate(place.pool)
  await ensureDays(place.pool, days(20, 10, 9, 2, 1, 0))
  const lives: [string, number[], boolean][] = [
    ['over', [20, 10], true],
    ['long', [10, 9, 2, 1], false],
    ['idle', [20], false],
    ['ancient', [60, 50], false],
    ['new', [1, 0], true],
  ]
  for (const [id, ago, hasEnded] of lives) {
    const steps = ago.map((each, index) => ({ version: index + 1, atMs: at(each), value: 'open' as unknown }))
    if (hasEnded) steps.push({ version: ago.length + 1, atMs: at(ago.at(-1) ?? 0, 9), value: null })
    await writeLife(place, id, 'order', steps)
  }
})
afterAll(() => place.destroy())

async function partitions(): Promise<string[]> {
  const { rows } = await place.pool.query<{ day: string }>(
    `select right(relname, 8) as day from pg_class where relname ~ '^troupe_transitions_[0-9]{8}$' order by 1`,
  )
  return rows.map(({ day }) => `${day.slice(0, 4)}-${day.slice(4, 6)}-${day.slice(6)}`)
}

async function column(text: string): Promise<unknown[]> {
  const { rows } = await place.pool.query<unknown[]>({ text, rowMode: 'array' })
  return rows.map(([value]) => value)
}

describe('retention', () => {
  it('a day that is read is not dropped, and nobody who writes waits for it', async () => {
    const reader = await place.pool.connect()
    await reader.query('begin; select count(*) from troupe_transitions')
    let isTrying = true
    let longestMs = 0
    const write = async (): Promise<number> => {
      let written = 0
      for (; isTrying; written++) {
        const from = performance.now()
        await writeLife(place, `during-${written}`, 'order', [{ version: 1, atMs: NOW, value: 'open' }])
        longestMs = Math.max(longestMs, performance.now() - from)
      }
      return written
    }
    const writing = write()
    const retained = await retain(place.pool, 9, NOW)
    isTrying = false
    const written = await writing
    await reader.query('rollback')
    reader.release()
    expect(retained).toMatchObject({ keptSince: dayOf(at(9)), dropped: [], busy: days(20, 10) })
    console.log(JSON.stringify({ written, longestMs }))
    expect(written).toBeGreaterThan(20)
    expect(await partitions()).toEqual(days(20, 10, 9, 2, 1, 0))
  })

  it('older days are dropped, sessions that ended before too, and the rest is whole', async () => {
    expect(await retain(place.pool, 9, NOW)).toEqual({
      ...{ keptSince: dayOf(at(9)), dropped: days(20, 10), busy: [] },
      // The others went with the first try: they stand in no partition that is read.
      ...{ rows: 0, sessions: 0 },
    })
    expect(await partitions()).toEqual(days(9, 2, 1, 0))
    expect(
      await column(`select version::integer from troupe_transitions where session_id = 'long' order by 1`),
    ).toEqual([2, 3, 4])
    expect(await column(`select session_id from troupe_transitions where session_id = 'ancient'`)).toEqual([])
    expect(
      await column(
        `select session_id from troupe_sessions where session_id not like 'during-%' order by session_id`,
      ),
    ).toEqual(['ancient', 'idle', 'long', 'new'])
    expect(await verify(place.pool)).toMatchObject({ keptSince: dayOf(at(9)), findings: [] })
  })

  it('AU1 what is missing among the days that are kept is found as before', async () => {
    await place.pool.query(`delete from troupe_transitions where session_id = 'long' and version = 3`)
    const { findings } = await verify(place.pool)
    expect(findings).toMatchObject([{ kind: 'missing', sessionId: 'long', from: 3, to: 3 }])
  })

  it('a session that lives on in Redis is not missed for what was dropped of it; one that was never here is', async () => {
    const record = (id: string, commit: string): Promise<unknown> =>
      place.redis.set(
        place.keys.session(id as never),
        `3 1 0 - ${EPOCH} 1 ${commit} order 1 1 0 0 0 - - -\n{}\n{}`,
      )
    await record('idle', 'n-idle-1')
    await record('never', 'n-never-1')
    const { sessions, missing } = await compareWithRedis(place.pool, redisUrl(), place.prefix, [
      'idle',
      'never',
    ])
    expect({ sessions, missing: missing.map(({ sessionId }) => sessionId) }).toEqual({
      sessions: 2,
      missing: ['never'],
    })
  })

  it('what a process left behind that died between letting go of a day and dropping it goes with the next try', async () => {
    const [day = ''] = days(2)
    const table = `troupe_transitions_${day.replaceAll('-', '')}`
    await place.pool.query(`alter table troupe_transitions detach partition ${table}`)
    expect((await retain(place.pool, 1, NOW)).dropped).toEqual(days(9, 2))
    expect(await partitions()).toEqual(days(1, 0))
  })

  it('what was dropped does not come back with a longer time', async () => {
    expect((await retain(place.pool, 9, NOW)).keptSince).toBe(dayOf(at(1)))
  })
})

it('a session that begins anew while its old life is being dropped stays in the list', async () => {
  const again = await AuditPlace.create(redisUrl(), databaseUrl())
  const writer = await again.pool.connect()
  const isWaiting = async (): Promise<boolean> => {
    const { rows } = await again.pool.query(
      `select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock' and query like 'delete from troupe_sessions%'`,
    )
    return rows.length > 0
  }
  try {
    await migrate(again.pool)
    for (const id of ['again', 'over'])
      await writeLife(again, id, 'order', [
        { version: 1, atMs: at(40), value: 'open' },
        { version: 2, atMs: at(40, 1), value: null },
      ])
    // As the batch does that brings its new life: it holds the row until it is done.
    await writer.query(
      `begin; update troupe_sessions set epoch = epoch + 1, version = 1, status = 'active', ended_at = null where session_id = 'again'`,
    )
    const retaining = retain(again.pool, 30, NOW)
    await Promise.race([retaining, until(isWaiting, 'dropped, or waiting for the row')])
    await writer.query('commit')
    expect(await retaining).toMatchObject({ sessions: 1 })
    const { rows } = await again.pool.query('select session_id, status from troupe_sessions')
    expect(rows).toEqual([{ session_id: 'again', status: 'active' }])
  } finally {
    writer.release()
    await again.destroy()
  }
})
