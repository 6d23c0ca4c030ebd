/** The schema of the audit, as numbered steps that are taken once. Steps are only ever added. */
import type pg from 'pg'
import { describeHolder, tryBriefly } from './brief-lock.ts'
import { withConnection } from './database.ts'
import { listingSchema } from './listing-schema.ts'
import { statisticsSchema } from './planner-statistics.ts'
import { questionsSchema } from './questions-schema.ts'
import { retentionSchema } from './retention.ts'

interface Migration {
  readonly version: number
  readonly name: string
  readonly sql: string
}

/** Serializes concurrent starts; the bytes of "troupe". */
export const MIGRATION_LOCK = '128034678304869'

const migrations: readonly Migration[] = [
  {
    version: 1,
    name: 'transitions, sessions, rejects',
    sql: `
      -- One row a transition. The session comes first in the key, so that the same index answers for one session in
      -- every day's partition; a unique key of a partitioned table must hold the partition column.
      create table troupe_transitions (
        day date not null,
        session_id text collate "C" not null,
        epoch bigint not null,
        version bigint not null,
        commit_id text collate "C" not null,
        previous_commit_id text collate "C",
        kind text not null,
        machine text,
        machine_version integer,
        event jsonb,
        event_type text,
        input jsonb,
        from_value jsonb,
        to_value jsonb,
        context jsonb,
        status text,
        tags jsonb,
        output jsonb,
        principal text,
        node text,
        command_key text,
        committed_at timestamptz not null,
        primary key (session_id, epoch, version, commit_id, day)
      ) partition by range (day);

      create table troupe_transitions_default partition of troupe_transitions default;

      -- One row a session, its newest position. Room in each page keeps the updates in place.
      create table troupe_sessions (
        session_id text collate "C" primary key,
        machine text,
        machine_version integer,
        epoch bigint not null,
        version bigint not null,
        commit_id text not null,
        status text not null,
        value jsonb,
        context jsonb,
        tags jsonb,
        output jsonb,
        created_at timestamptz,
        updated_at timestamptz not null,
        ended_at timestamptz
      ) with (fillfactor = 70);

      -- Entries that could not be stored as a transition. Fields are [name, base64 of the bytes] pairs: nothing is
      -- lost, whatever they hold.
      create table troupe_rejects (
        partition integer not null,
        stream_id text collate "C" not null,
        digest text collate "C" not null,
        session_id text,
        reason text not null,
        fields jsonb not null,
        rejected_at timestamptz not null default now(),
        primary key (partition, stream_id, digest)
      );
    `,
  },
  { version: 2, name: 'questions, forgetting', sql: questionsSchema },
  { version: 3, name: 'retention', sql: retentionSchema },
  { version: 4, name: 'lists of sessions', sql: listingSchema },
  {
    version: 5,
    name: 'redaction',
    // Names of the columns of which the definition let the audit have less than there was.
    sql: 'alter table troupe_transitions add column if not exists redacted jsonb',
  },
  { version: 6, name: 'no statistics of JSON', sql: statisticsSchema },
]

/** A step may write every row of a table anew: it has this time, whatever other statements have. */
const STEP_MS = 600_000

/** Number of the newest step. */
export const schemaVersion = migrations.at(-1)?.version ?? 0

/**
 * Brings the schema up to date. Concurrent callers wait for each other; a schema that is up to date is only read, so
 * that a read-only server is met later, where it is waited for. Nobody who reads or writes the audit is held up for longer than
 * a step takes by itself.
 *
 * @returns names of the steps taken.
 * @throws Error of PostgreSQL, or that someone holds the tables of a step; to be called again then
 */
export async function migrate(pool: pg.Pool): Promise<string[]> {
  if ((await currentVersion(pool)) >= schemaVersion) return []
  const { names, busy } = await withConnection(pool, async (client) => {
    // Of the connection, not of a transaction: each step has one of its own.
    await client.query('select pg_advisory_lock($1)', [MIGRATION_LOCK])
    try {
      const taken = await takeSteps(client)
      await client.query('select pg_advisory_unlock($1)', [MIGRATION_LOCK])
      return taken
    } catch (error) {
      await client.query('select pg_advisory_unlock($1)', [MIGRATION_LOCK]).catch(() => undefined)
      throw error
    }
  })
  if (busy === null) return names
  throw new Error(
    `the schema is brought up to date (step "${busy}") once nobody holds its tables for long: ${await describeHolder(pool)}`,
  )
}

/** @returns names of the steps taken, and of the one that had to wait, if any had */
async function takeSteps(client: pg.PoolClient): Promise<{ names: string[]; busy: string | null }> {
  await client.query(`
    create table if not exists troupe_migrations (
      version integer primary key,
      name text not null,
      applied_at timestamptz not null default now()
    )`)
  const { rows } = await client.query<{ version: number }>('select version from troupe_migrations')
  const taken = new Set(rows.map((row) => row.version))
  const names: string[] = []
  for (const { version, name, sql } of migrations) {
    if (taken.has(version)) continue
    const isDone = await tryBriefly(client, async () => {
      await client.query(`set local statement_timeout = ${STEP_MS}`)
      const step = { text: sql, query_timeout: STEP_MS + 1_000 }
      await client.query(step)
      await client.query('insert into troupe_migrations (version, name) values ($1, $2)', [version, name])
    })
    if (!isDone) return { names, busy: name }
    names.push(name)
  }
  return { names, busy: null }
}

/** Number of the newest step that was taken; 0: there is no audit in this database. */
export async function currentVersion(pool: pg.Pool): Promise<number> {
  return withConnection(pool, async (client) => {
    const found = await client.query<{ table: string | null }>(
      `select to_regclass('troupe_migrations')::text as table`,
    )
    if (typeof found.rows[0]?.table !== 'string') return 0
    const newest = await client.query<{ version: number | null }>(
      'select max(version) as version from troupe_migrations',
    )
    return newest.rows[0]?.version ?? 0
  })
}
