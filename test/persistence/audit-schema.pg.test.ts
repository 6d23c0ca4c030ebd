/** Steps of the schema are taken while others read and write, and what a restored database lacks is made again. */
import { afterEach, beforeEach, expect, it } from 'vitest'
import type pg from 'pg'
import { ensureDays } from '../../persistence/audit/days.ts'
import { currentVersion, migrate, schemaVersion } from '../../persistence/audit/migrations.ts'
import { databaseUrl, redisUrl } from '../support/servers.ts'
import { AuditPlace, quiet, transitions, until } from './audit-support.ts'

let place: AuditPlace
beforeEach(async () => {
  place = await AuditPlace.create(redisUrl(), databaseUrl())
  await migrate(place.pool)
})
afterEach(() => place.destroy())

/** As a database is that was saved before step 5. */
async function takeBack(): Promise<void> {
  await place.pool.query(
    'alter table troupe_transitions drop column redacted; delete from troupe_migrations where version >= 5',
  )
}

/** Reads for as long as it is not released, as an export does. */
async function openReader(): Promise<pg.PoolClient> {
  const reader = await place.pool.connect()
  await reader.query(`set application_name = 'long reader'; begin; select count(*) from troupe_transitions`)
  return reader
}

async function close(reader: pg.PoolClient): Promise<void> {
  await reader.query('rollback')
  reader.release()
}

it('a step that has to wait for a reader holds up nobody, and says whom it waits for', async () => {
  await takeBack()
  const reader = await openReader()
  let longestMs = 0
  let written = 0
  let isTrying = true
  const write = async (): Promise<void> => {
    while (isTrying) {
      const from = performance.now()
      await place.pool.query(
        `insert into troupe_transitions (day, session_id, epoch, version, commit_id, kind, committed_at)
         values (current_date, 'during', 1, $1, 'c', 'event', now())`,
        [++written],
      )
      longestMs = Math.max(longestMs, performance.now() - from)
    }
  }
  const writing = write()
  const busy = await migrate(place.pool).then(
    () => 'it did not wait',
    (error: unknown) => String(error),
  )
  isTrying = false
  await writing
  expect(busy).toMatch(/\(step "redaction"\).*: process \d+ of PostgreSQL \(long reader\).* since 20/)
  expect(written).toBeGreaterThan(20)
  expect(longestMs).toBeLessThan(2_000)
  expect(await currentVersion(place.pool)).toBe(4)

  await close(reader)
  expect(await migrate(place.pool)).toEqual(['redaction', 'no statistics of JSON'])
})

it('a day that has to wait for a reader holds up nobody: its rows are taken over when the reader has left', async () => {
  const day = '2031-01-31'
  const reader = await openReader()
  const making = ensureDays(place.pool, [day])
  await place.pool.query(
    `insert into troupe_transitions (day, session_id, epoch, version, commit_id, kind, committed_at)
     values ($1, 'during', 1, 1, 'c', 'event', now())`,
    [day],
  )
  expect(await making).toEqual([])
  await close(reader)
  expect(await ensureDays(place.pool, [day])).toEqual([day])
  expect(await place.count('troupe_transitions_20310131')).toBe(1)
  expect(await place.count('troupe_transitions_default')).toBe(0)
})

it('steps before one that has to wait are taken', async () => {
  await takeBack()
  await place.pool.query('delete from troupe_migrations where version = 4')
  const reader = await openReader()
  await expect(migrate(place.pool)).rejects.toThrow('(step "redaction")')
  expect(await currentVersion(place.pool)).toBe(4)
  await close(reader)
})

it(
  'AU3 an audit process that has to wait for a reader says so, and goes on when it has left',
  { timeout: 60_000 },
  async () => {
    await takeBack()
    const reader = await openReader()
    const lines: string[] = []
    const warn = (details: object): void => void lines.push(JSON.stringify(details))
    const service = await place.start({ log: { ...quiet, warn } })
    await place.append(transitions('waits', 3))
    await until(() => service.health().reason?.includes('(long reader)') ?? false, 'health says it')
    expect(lines.join('\n')).toContain('(long reader)')
    await close(reader)
    await until(async () => (await place.waiting()) === 0, 'drained', 40_000)
    expect(await place.count('troupe_transitions')).toBe(3)
  },
)

it('AU3 a database that is restored from before the newest step is brought up to date at once', async () => {
  const service = await place.start()
  await place.append(transitions('before', 3))
  await until(async () => (await place.waiting()) === 0, 'drained')
  await takeBack()
  await place.append(transitions('after', 3))
  await until(async () => (await place.waiting()) === 0, 'drained after the restore')
  await until(() => service.health().status === 'ok', 'well again')
  expect(await place.count('troupe_transitions')).toBe(6)
  expect(await currentVersion(place.pool)).toBe(schemaVersion)
})

it('no time is spent on statistics of JSON columns, in no partition', async () => {
  await ensureDays(place.pool, ['2031-01-31'])
  const { rows } = await place.pool.query<{ table: string; columns: number; without: number }>(`
    select relname as table, count(*)::integer as columns, (count(*) filter (where attstattarget = 0))::integer as without
      from pg_attribute join pg_class on pg_class.oid = attrelid
     where (relname like 'troupe_transitions%' or relname = 'troupe_sessions') and relkind in ('r', 'p')
           and atttypid = 'jsonb'::regtype and not attisdropped
     group by relname`)
  const tables = rows.map(({ table }) => table)
  expect(tables).toEqual(
    expect.arrayContaining(['troupe_sessions', 'troupe_transitions_default', 'troupe_transitions_20310131']),
  )
  expect(rows.filter(({ columns, without }) => columns !== without)).toEqual([])
})
