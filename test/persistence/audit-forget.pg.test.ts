/** What is forgotten of a session, and what stays so that its chain can be proven. */
import { afterAll, beforeAll, expect, it } from 'vitest'
import { forget } from '../../persistence/audit/forget.ts'
import { migrate } from '../../persistence/audit/migrations.ts'
import { listRejects } from '../../persistence/audit/rejects.ts'
import { verify } from '../../persistence/audit/verify.ts'
import { databaseUrl, redisUrl } from '../support/servers.ts'
import { EPOCH, writeLife } from './audit-rows.ts'
import { AuditPlace } from './audit-support.ts'
import { timelineOf } from './audit-timeline.ts'

const START = Date.parse('2026-01-31T23:59:30Z')
const S = 1_000

let place: AuditPlace
beforeAll(async () => {
  place = await AuditPlace.create(redisUrl(), databaseUrl())
  await migrate(place.pool)
  await writeLife(place, 'paid', 'order', [{ version: 1, atMs: START, value: 'cart' }])
})
afterAll(() => place.destroy())

it('blanks all that a session held, keeps its chain, and does nothing the second time', async () => {
  await writeLife(place, 'gone', 'order', [
    {
      version: 1,
      atMs: START,
      value: 'cart',
      audit: { input: { name: 'Ann Secret' }, principal: 'secret' },
      context: { name: 'Secret' },
    },
    {
      version: 2,
      atMs: START + S,
      value: 'secret',
      audit: { event: { type: 'SECRET' }, key: 'secret', sender: 'secret', failed: 'x' },
    },
    { version: 3, atMs: START + 2 * S, value: null, kind: 'deleted' },
  ])
  await place.pool.query(
    `insert into troupe_rejects (partition, stream_id, digest, session_id, reason, fields)
     values (2, '1-1', 'd', 'gone', 'token "secret" is invalid', '[["h","Z29uZQ=="],["m","c2VjcmV0"],["s","c2VjcmV0"]]')`,
  )
  const before = await verify(place.pool, { sessionIds: ['gone'] })
  expect(await forget(place.pool, 'gone')).toEqual({
    transitions: 3,
    rejects: 1,
    hadSession: true,
    isKnown: true,
    goesOn: false,
  })
  expect(await verify(place.pool, { sessionIds: ['gone'] })).toEqual(before)
  const stored = await Promise.all(
    ['transitions', 'sessions', 'rejects'].map((name) =>
      place.pool.query<{ row: string }>(
        `select t::text as row from troupe_${name} t where session_id = 'gone'`,
      ),
    ),
  )
  const texts = stored.flatMap(({ rows }) => rows.map(({ row }) => row)).join('\n')
  expect(texts).toContain('n-gone-2')
  expect(texts).toContain('Z29uZQ==')
  expect(texts).not.toMatch(/secret|c2VjcmV0/i)
  expect((await timelineOf(place, 'gone')).every(({ forgottenAt }) => forgottenAt !== null)).toBe(true)
  expect((await timelineOf(place, 'paid')).every(({ forgottenAt }) => forgottenAt === null)).toBe(true)

  expect(await forget(place.pool, 'gone')).toEqual({
    transitions: 0,
    rejects: 0,
    hadSession: false,
    isKnown: true,
    goesOn: false,
  })
  expect(await forget(place.pool, 'nobody')).toMatchObject({ isKnown: false })
  const after = await timelineOf(place, 'gone')
  expect(after.map(({ version, commitId }) => [version, commitId])).toEqual([
    [1, 'n-gone-1'],
    [2, 'n-gone-2'],
    [3, 'n-gone-3'],
  ])
  await place.pool.query(
    `delete from troupe_transitions where session_id = 'gone'; delete from troupe_sessions where session_id = 'gone'; delete from troupe_rejects where session_id = 'gone'`,
  )
})

it('of a record that could not be stored leaves a row without contents, so that none is missing', async () => {
  const at = (version: number) => ({ version, atMs: START + version * S, value: 'open' })
  await writeLife(place, 'torn', 'door', [at(1), at(3)])
  const m =
    '{"machine":"door","machineVersion":2,"node":"n","event":{"type":"OPEN","by":"secret\\u0000"},"from":"shut"}'
  const fields = [
    ['h', `torn ${EPOCH} 2 n-torn-2 n-torn-1 event ${START + 2 * S}`],
    ['m', m],
    ['s', '{"secret":1}'],
  ]
  const stored = fields.map(([name, text = '']) => [name, Buffer.from(text).toString('base64')])
  await place.pool.query(
    `insert into troupe_rejects (partition, stream_id, digest, session_id, reason, fields) values (3, '1-1', 'd', 'torn', 'NUL', $1)`,
    [JSON.stringify(stored)],
  )
  expect(await forget(place.pool, 'torn')).toMatchObject({ transitions: 2, rejects: 1 })
  const { rows } = await place.pool.query<{ row: string }>(
    `select to_jsonb(t)::text as row from troupe_transitions t where session_id = 'torn' and version = 2`,
  )
  expect(JSON.parse(rows[0]?.row ?? '')).toMatchObject({
    ...{ day: '2026-01-31', commit_id: 'n-torn-2', previous_commit_id: 'n-torn-1', kind: 'event' },
    ...{ machine: 'door', machine_version: 2, node: 'n', event: null, from_value: null, context: null },
  })
  expect(rows[0]?.row).not.toContain('secret')
  expect((await timelineOf(place, 'torn')).every(({ forgottenAt }) => forgottenAt !== null)).toBe(true)
  for await (const rejects of listRejects(place.pool, 'torn')) expect(rejects).toEqual([])
  expect((await verify(place.pool, { sessionIds: ['torn'] })).findings).toEqual([])
  await place.pool.query(
    `delete from troupe_transitions where session_id = 'torn'; delete from troupe_sessions where session_id = 'torn'`,
  )
})

it('says that a session which goes on will hold contents again', async () => {
  await writeLife(place, 'alive', 'door', [{ version: 1, atMs: START, value: 'shut' }])
  expect(await forget(place.pool, 'alive')).toMatchObject({ transitions: 1, goesOn: true })
  await place.pool.query(`update troupe_sessions set status = 'done' where session_id = 'alive'`)
  expect(await forget(place.pool, 'alive')).toMatchObject({ goesOn: false })
  await writeLife(place, 'alive', 'door', [{ version: 2, atMs: START + S, kind: 'event', value: 'open' }])
  expect(await forget(place.pool, 'alive')).toMatchObject({ transitions: 1, hadSession: true })
  await place.pool.query(
    `delete from troupe_transitions where session_id = 'alive'; delete from troupe_sessions where session_id = 'alive'`,
  )
})
