/** How lists find their sessions in PostgreSQL. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { forget } from '../../persistence/audit/forget.ts'
import { marksOf } from '../../persistence/audit/marks.ts'
import { migrate } from '../../persistence/audit/migrations.ts'
import { listStatement } from '../../persistence/audit/session-list.ts'
import type { ListQuestion } from '../../persistence/audit/session-list.ts'
import { AuditPlace } from '../persistence/audit-support.ts'
import { databaseUrl, redisUrl } from '../support/servers.ts'

let place: AuditPlace
beforeAll(async () => {
  place = await AuditPlace.create(redisUrl(), databaseUrl())
  await migrate(place.pool)
})
afterAll(() => place.destroy())

it('sessions of before can be found as well, and forgotten ones by nothing', async () => {
  const old = await AuditPlace.create(redisUrl(), databaseUrl())
  try {
    await migrate(old.pool)
    await old.pool.query(`
      drop index troupe_sessions_marks;
      alter table troupe_sessions drop column marks;
      delete from troupe_migrations where version >= 4;
      insert into troupe_sessions (session_id, machine, machine_version, epoch, version, commit_id, status, value, tags, updated_at)
      values ('a', 'm', 1, 1, 1, 'c', 'active', '"on"', '["x", "y"]', now()),
             ('b', 'm', 1, 1, 1, 'c', 'active', '{"p": {"q": "r"}, "s": {}, "t": "u"}', '[]', now()),
             ('c', 'm', 1, 1, 1, 'c', 'active', null, null, now())`)
    await migrate(old.pool)
    const marks = async (): Promise<unknown[]> => {
      const { rows } = await old.pool.query<{ marks: string[] | null }>(
        'select marks from troupe_sessions order by session_id',
      )
      return rows.map((row) => row.marks?.sort() ?? null)
    }
    const ofB = ['state:p', 'state:p.q', 'state:p.q.r', 'state:s', 'state:t', 'state:t.u']
    expect(await marks()).toEqual([['state:on', 'tag:x', 'tag:y'], ofB, null])
    expect(
      (JSON.parse(marksOf('{"value":{"p":{"q":"r"},"s":{},"t":"u"},"tags":[]}')) as string[]).sort(),
    ).toEqual(ofB)
    await forget(old.pool, 'a')
    expect((await marks())[0]).toBeNull()
  } finally {
    await old.destroy()
  }
})

describe('many sessions', () => {
  const nothing: ListQuestion = {
    machines: ['many'],
    after: null,
    limit: 100,
    state: undefined,
    tag: undefined,
    status: undefined,
    since: undefined,
  }

  beforeAll(async () => {
    await place.pool.query(`
      insert into troupe_sessions (session_id, machine, machine_version, epoch, version, commit_id, status, value, context, tags, updated_at, ended_at, marks)
      select 'many-' || n, case n % 100 when 0 then 'few' else 'many' end, 1, 1700000000000000 + n, 1, 'c', case when n % 3 = 0 then 'expired' else 'active' end,
             case when n % 1000 = 1 then '{"a": {"rare": "one"}, "b": "x"}' else '{"a": "usual", "b": "x"}' end::jsonb, '{}',
             case when n % 1000 = 1 then '["odd"]' else '["plain"]' end::jsonb, now(), case when n % 3 = 0 then now() end,
             case when n % 1000 = 1 then array['state:a', 'state:a.rare', 'state:a.rare.one', 'state:b', 'state:b.x', 'tag:odd'] else array['state:a', 'state:a.usual', 'state:b', 'state:b.x', 'tag:plain'] end
        from generate_series(1, 60000) as n`)
    await place.pool.query('vacuum analyze troupe_sessions')
  })

  it.each([
    ['of one definition', { ...nothing, machines: ['few'] }, 'troupe_sessions_of_machine'],
    ['of all', { ...nothing, machines: null }, 'troupe_sessions_newest'],
    [
      'further on',
      { ...nothing, machines: ['few'], after: { epoch: '1700000000030000', sessionId: 'many-30000' } },
      'troupe_sessions_of_machine',
    ],
    ['in a rare state', { ...nothing, state: 'a.rare.one' }, 'troupe_sessions_marks'],
    ['in the usual state', { ...nothing, machines: null, state: 'a.usual' }, 'troupe_sessions_newest'],
    ['with a rare tag', { ...nothing, machines: null, tag: 'odd' }, 'troupe_sessions_marks'],
    ['that have ended', { ...nothing, status: 'expired' as const }, 'troupe_sessions_ended'],
  ])('%s are found by an index', async (_, question, index) => {
    const { text, values } = listStatement(question)
    const { rows } = await place.pool.query<{ 'QUERY PLAN': string }>(
      `explain (analyze, buffers) ${text}`,
      values,
    )
    const plan = rows.map((row) => row['QUERY PLAN']).join('\n')
    expect(plan).toContain(index)
    expect(plan).not.toContain('Seq Scan')
    const took = Number(/Execution Time: ([\d.]+)/.exec(plan)?.[1])
    expect(took).toBeLessThan(1000)
    if (process.env['SHOW_PLANS'] === '1') console.log(question, took, plan)
  })
})
