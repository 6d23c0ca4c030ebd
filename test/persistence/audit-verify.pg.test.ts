/** What the proof asks of other tables than that of the transitions, and of days that are not there. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { forget } from '../../persistence/audit/forget.ts'
import { migrate } from '../../persistence/audit/migrations.ts'
import { findGaps, verify } from '../../persistence/audit/verify.ts'
import type { VerifyQuestion } from '../../persistence/audit/verify.ts'
import { databaseUrl, redisUrl } from '../support/servers.ts'
import { writeLife } from './audit-rows.ts'
import { AuditPlace } from './audit-support.ts'

const DAY = 86_400_000
const KEPT = '2026-02-01'
const MIDNIGHT = Date.parse(KEPT)
const BEFORE = MIDNIGHT - DAY / 2
const AFTER = MIDNIGHT + DAY / 2
const epochAt = (ms: number): string => String(ms * 1_000)

let place: AuditPlace
beforeAll(async () => {
  place = await AuditPlace.create(redisUrl(), databaseUrl())
  await migrate(place.pool)
})
afterAll(() => place.destroy())

async function proven(id: string, question: VerifyQuestion = {}): Promise<readonly unknown[]> {
  return (await verify(place.pool, { ...question, sessionIds: [id] })).findings
}

const erase = (id: string, where = 'true') =>
  place.pool.query(`delete from troupe_transitions where session_id = $1 and ${where}`, [id])

/** Versions of one life, each at its time. */
const life = (id: string, times: readonly number[], epoch = epochAt(times[0] ?? 0)) =>
  writeLife(
    place,
    id,
    'door',
    times.map((atMs, index) => ({ version: index + 1, atMs, epoch, value: 'open' })),
  )

describe('the newest rows', () => {
  it('AU1 of a session that nothing follows are missed, and so are all rows, also of one that was forgotten', async () => {
    await life('tail', [AFTER, AFTER + 1, AFTER + 2])
    await life('all', [AFTER, AFTER + 1])
    expect((await verify(place.pool)).findings).toEqual([])
    await erase('tail', 'version = 3')
    await erase('all')
    const found = (id: string, version: number) => ({
      kind: 'newest-missing',
      sessionId: id,
      epoch: epochAt(AFTER),
      version,
      commitId: `n-${id}-${version}`,
    })
    const both = [found('all', 2), found('tail', 3)]
    expect(await verify(place.pool)).toMatchObject({
      sessions: 1,
      counts: { 'newest-missing': 2 },
      findings: both,
    })
    expect(await findGaps(place.pool)).toEqual(both)
    expect(await verify(place.pool, { limit: 1 })).toMatchObject({ findings: [found('all', 2)] })
    await forget(place.pool, 'tail')
    expect(await proven('tail')).toEqual([found('tail', 3)])
    await place.pool.query(`delete from troupe_sessions`)
    await erase('tail')
  })

  it('that went with their day, or are older than what is asked for, are not missed', async () => {
    await life('idle', [BEFORE, BEFORE + 1])
    await erase('idle')
    expect(await proven('idle', { keptSince: KEPT })).toEqual([])
    expect(await proven('idle', { since: new Date(BEFORE + 2) })).toEqual([])
    expect(await proven('idle', { since: new Date(BEFORE + 1) })).toMatchObject([{ kind: 'newest-missing' }])
    expect(await proven('idle', { keptSince: '2026-01-31' })).toMatchObject([{ kind: 'newest-missing' }])
    await place.pool.query(`delete from troupe_sessions`)
  })
})

describe('the first rows', () => {
  it('AU1 are missed where the life began since days are kept, or since what is asked for', async () => {
    await life('new', [AFTER, AFTER + 1, AFTER + 2])
    await life('old', [BEFORE, AFTER + 1, AFTER + 2])
    for (const id of ['new', 'old']) await erase(id, 'version = 1')
    const missing = [{ kind: 'missing', sessionId: 'new', epoch: epochAt(AFTER), from: 1, to: 1 }]
    for (const question of [{ keptSince: KEPT }, { since: new Date(MIDNIGHT) }]) {
      expect(await proven('new', question)).toEqual(missing)
      expect(await proven('old', question)).toEqual([])
    }
    // Only the creation tells of what was dropped whether it is a life or a raised epoch.
    await place.pool.query(`update troupe_sessions set created_at = null where session_id = 'new'`)
    expect(await proven('new', { keptSince: KEPT })).toEqual([])
    expect(await proven('new')).toEqual(missing)
    // Every session that has rows is known: one that is not has taken them from another.
    await place.pool.query(`delete from troupe_sessions where session_id = 'new'`)
    expect(await proven('new', { keptSince: KEPT })).toEqual(missing)
  })

  const raise = (id: string, from: number, epoch: number, atMs: number) =>
    writeLife(place, id, 'door', [
      { version: from, atMs, epoch: epochAt(epoch), kind: 'event', value: 'open', commit: `${id}-raised` },
    ])

  it('of an epoch that was raised since are not missed: its base is older, seen or dropped', async () => {
    await life('raised', [BEFORE, BEFORE + 1])
    await raise('raised', 3, AFTER - 5, AFTER)
    for (const question of [{}, { keptSince: KEPT }, { since: new Date(MIDNIGHT) }])
      expect(await proven('raised', question)).toEqual([])
    await erase('raised', `day < '${KEPT}'`)
    expect(await proven('raised', { keptSince: KEPT })).toEqual([])
    expect(await proven('raised', { since: new Date(MIDNIGHT) })).toMatchObject([{ from: 1, to: 2 }])
    // Another life follows it, of which all is there.
    await writeLife(place, 'raised', 'door', [
      {
        version: 4,
        atMs: AFTER + 1,
        epoch: epochAt(AFTER - 5),
        kind: 'deleted',
        value: null,
        previous: 'raised-raised',
      },
    ])
    await life('raised', [AFTER + 2, AFTER + 3])
    expect(await proven('raised', { keptSince: KEPT })).toEqual([])
  })

  it('of a life whose creation a slower clock dated before its epoch are not missed where that is out of sight', async () => {
    await life('slow', [MIDNIGHT - 2, MIDNIGHT + 1], epochAt(MIDNIGHT + 1))
    expect(await proven('slow', { since: new Date(MIDNIGHT) })).toEqual([])
    expect(await proven('slow', { keptSince: KEPT })).toEqual([])
    await erase('slow', 'version = 1')
    expect(await proven('slow', { keptSince: KEPT })).toEqual([])
  })
})

describe('rejects', () => {
  const reject = (at: number, id: string | null) =>
    place.pool.query(
      `insert into troupe_rejects (partition, stream_id, digest, session_id, reason, fields) values (1, $1, 'd', $2, 'odd', '[["m","eA=="]]')`,
      [`${at}-1`, id],
    )

  it('AU1 are transitions that are not there, of any session or of one, forgotten or not; few are named', async () => {
    await life('refused', [AFTER])
    expect(await proven('refused')).toEqual([])
    await reject(1, 'refused')
    await reject(2, null)
    const found = { kind: 'rejected', sessionId: 'refused', partition: 1, streamId: '1-1' }
    expect(await proven('refused')).toEqual([found])
    await forget(place.pool, 'refused')
    expect(await proven('refused')).toEqual([found])
    expect(await verify(place.pool, { since: new Date(Date.now() + DAY) })).toMatchObject({
      counts: { rejected: 0 },
    })
    for (let at = 3; at <= 20; at++) await reject(at, 'other')
    const { counts, findings } = await verify(place.pool)
    expect(counts.rejected).toBe(20)
    const named = findings.filter(({ kind }) => kind === 'rejected')
    expect(named).toHaveLength(10)
    expect(named.slice(0, 2)).toMatchObject([{ sessionId: 'refused' }, { sessionId: null }])
  })
})

it('whether there is anything of a session is known of rows, of the newest one and of rejects, whatever is asked for', async () => {
  const known = async (id: string, question: VerifyQuestion = {}) =>
    (await verify(place.pool, { ...question, sessionIds: [id] })).isKnown
  expect(await known('typo')).toBe(false)
  await life('there', [BEFORE])
  expect(await known('there', { since: new Date(AFTER) })).toBe(true)
  await place.pool.query(`delete from troupe_sessions where session_id = 'there'`)
  expect(await known('there', { since: new Date(AFTER) })).toBe(true)
  await life('head', [BEFORE])
  await erase('head')
  expect(await known('head')).toBe(true)
  await place.pool.query(
    `insert into troupe_rejects (partition, stream_id, digest, session_id, reason, fields) values (9, '1', 'd', 'rejected', 'odd', '[]')`,
  )
  expect(await known('rejected')).toBe(true)
})
