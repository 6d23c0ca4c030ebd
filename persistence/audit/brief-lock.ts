/**
 * Locks that shut others out. Who waits for one holds up everybody who comes after, every insert too: so it is waited for only for
 * a moment, again and again, each time in a transaction of its own.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type pg from 'pg'
import { transaction } from './database.ts'
import { codeOf } from './failure.ts'

/** Longest that others wait behind it, each time. */
const LOCK_MS = 50
const TRIES = 10
const PAUSE_MS = 200
const LOCK_NOT_AVAILABLE = '55P03'

/** @returns whether it was done; not so where someone held the tables all the while */
export async function tryBriefly(client: pg.PoolClient, work: () => Promise<unknown>): Promise<boolean> {
  for (let tried = 0; tried < TRIES; tried++) {
    if (tried > 0) await sleep(PAUSE_MS)
    try {
      await transaction(client, async () => {
        await client.query(`set local lock_timeout = ${LOCK_MS}`)
        await work()
      })
      return true
    } catch (error) {
      if (codeOf(error) !== LOCK_NOT_AVAILABLE) throw error
    }
  }
  return false
}

const HOLDER = `
  select pid, coalesce(nullif(application_name, ''), backend_type, 'unknown') as name, xact_start as since
    from pg_stat_activity
   where pid <> pg_backend_pid() and pid in (
     select lock.pid from pg_locks lock join pg_class on pg_class.oid = relation
      where granted and database = (select oid from pg_database where datname = current_database()) and relname like 'troupe%')
   order by xact_start limit 1`

/** Who has been at the tables of the audit for the longest, in words. */
export async function describeHolder(pool: pg.Pool): Promise<string> {
  const { rows } = await pool.query<{ pid: number; name: string; since: Date | null }>(HOLDER)
  const [holder] = rows
  if (holder === undefined) return 'others use its tables'
  const since = holder.since === null ? '' : ` since ${holder.since.toISOString()}`
  return `process ${holder.pid} of PostgreSQL (${holder.name}) has used its tables${since}`
}
