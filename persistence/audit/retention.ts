/**
 * Old days leave the audit. First it is noted since when rows are kept, so that `verify` takes nothing older for missing; then the
 * partitions of older days are dropped, and sessions that ended before.
 *
 * A partition is let go of under a lock on the whole table, since PostgreSQL cannot detach concurrently beside a default partition
 * (https://www.postgresql.org/docs/current/sql-altertable.html). It is waited for as brief-lock.ts does, and a long reader makes the day
 * stay until the next hour.
 */
import type pg from 'pg'
import { tryBriefly } from './brief-lock.ts'
import { withConnection } from './database.ts'
import { DAY_MS, dayOf } from './days.ts'

/** Rows deleted by one statement. */
const CHUNK = 1_000

export const retentionSchema = `
  -- One row: the first day that is kept. It only ever grows: what was dropped does not come back.
  create table if not exists troupe_retention (
    is_only boolean primary key default true check (is_only),
    kept_since date not null
  );
  create index if not exists troupe_sessions_by_end on troupe_sessions (ended_at) where ended_at is not null;
`

export interface Retained {
  /** First day that is kept. */
  readonly keptSince: string
  /** Days that were dropped. */
  readonly dropped: readonly string[]
  /** Days that could not be dropped now: someone reads the table. */
  readonly busy: readonly string[]
  /** Rows of older days that had no partition of their own, and sessions that had ended. */
  readonly rows: number
  readonly sessions: number
}

/**
 * Drops what was committed before the last `days` days (UTC), today not counted.
 * @throws Error of PostgreSQL; to be called again then
 */
export async function retain(pool: pg.Pool, days: number, nowMs: number): Promise<Retained> {
  const noted = await pool.query<{ kept_since: string }>(
    `insert into troupe_retention as old (kept_since) values ($1::date)
       on conflict (is_only) do update set kept_since = greatest(old.kept_since, excluded.kept_since)
       returning kept_since::text`,
    [dayOf(nowMs - days * DAY_MS)],
  )
  const keptSince = noted.rows[0]?.kept_since ?? ''
  const dropped: string[] = []
  const busy: string[] = []
  for (const { day, table, attached } of await partitionsBefore(pool, keptSince)) {
    // Who keeps one day from being dropped reads the whole table.
    if (!attached || (busy.length === 0 && (await detach(pool, table)))) {
      await pool.query(`drop table if exists ${table}`)
      dropped.push(day)
    } else {
      busy.push(day)
    }
  }
  const rows = await deleteAll(
    pool,
    `delete from troupe_transitions_default where ctid = any (array(
       select ctid from troupe_transitions_default where day < $1::date limit ${CHUNK}))`,
    keptSince,
  )
  // Locked before they go: of a row that was waited for only the outer condition is asked again, and its id may have begun anew
  // meanwhile. One that is being written stays until the next hour.
  const sessions = await deleteAll(
    pool,
    `delete from troupe_sessions where session_id = any (array(
       select session_id from troupe_sessions where ended_at < ($1::date)::timestamp at time zone 'UTC' limit ${CHUNK}
          for update skip locked))`,
    keptSince,
  )
  return { keptSince, dropped, busy, rows, sessions }
}

interface Partition {
  readonly day: string
  readonly table: string
  /** Not so where a process died between letting go and dropping. */
  readonly attached: boolean
}

async function partitionsBefore(pool: pg.Pool, keptSince: string): Promise<Partition[]> {
  const { rows } = await pool.query<Partition>(
    `select to_date(right(relname, 8), 'YYYYMMDD')::text as day, oid::regclass::text as table, relispartition as attached
       from pg_class
      where relnamespace = (select relnamespace from pg_class where oid = 'troupe_transitions'::regclass)
        and relkind = 'r' and relname ~ '^troupe_transitions_[0-9]{8}$' and right(relname, 8) < replace($1, '-', '')
      order by 1`,
    [keptSince],
  )
  return rows
}

/** @returns whether it was let go of */
function detach(pool: pg.Pool, table: string): Promise<boolean> {
  return withConnection(pool, (client) =>
    tryBriefly(client, () => client.query(`alter table troupe_transitions detach partition ${table}`)),
  )
}

async function deleteAll(pool: pg.Pool, statement: string, keptSince: string): Promise<number> {
  for (let deleted = 0; ;) {
    const { rowCount } = await pool.query(statement, [keptSince])
    deleted += rowCount ?? 0
    if ((rowCount ?? 0) < CHUNK) return deleted
  }
}
