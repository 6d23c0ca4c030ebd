/** Partitions of `troupe_transitions`: one a day (UTC, of the commit), made before they are needed. */
import type pg from 'pg'
import { tryBriefly } from './brief-lock.ts'
import { withConnection } from './database.ts'
import { withoutStatistics } from './planner-statistics.ts'

export const DAY_MS = 86_400_000
/** Older and later days than these share the default partition: a strange clock makes no thousand tables. */
const PAST_DAYS = 31
const FUTURE_DAYS = 3

/** `2026-01-31` of a time in milliseconds. */
export function dayOf(timeMs: number): string {
  return new Date(timeMs).toISOString().slice(0, 10)
}

/** Today and the two days to come. */
export function daysAhead(nowMs: number): string[] {
  return [0, 1, 2].map((days) => dayOf(nowMs + days * DAY_MS))
}

/** Whether a day gets a partition of its own. */
export function hasOwnPartition(day: string, nowMs: number): boolean {
  return day >= dayOf(nowMs - PAST_DAYS * DAY_MS) && day <= dayOf(nowMs + FUTURE_DAYS * DAY_MS)
}

/**
 * Makes the partition of each day that has none. Rows of that day that went to the default partition meanwhile move
 * over. Built aside and attached, because `create table … partition of` would shut out every reader of the parent; to attach it
 * shuts out those of the default partition, who are waited for only briefly.
 *
 * @param days as {@link dayOf} writes them.
 * @returns those that have one now; rows of the others go to the default partition
 */
export async function ensureDays(pool: pg.Pool, days: readonly string[]): Promise<string[]> {
  const { rows } = await pool.query<{ day: string; exists: boolean }>(
    `select day, to_regclass('troupe_transitions_' || replace(day, '-', '')) is not null as exists from unnest($1::text[]) as day`,
    [days],
  )
  const there: string[] = []
  for (const { day, exists } of rows) if (exists || (await createDay(pool, day))) there.push(day)
  return there
}

async function createDay(pool: pg.Pool, day: string): Promise<boolean> {
  const table = `troupe_transitions_${day.replaceAll('-', '')}`
  const create = async (client: pg.PoolClient): Promise<void> => {
    // One at a time: two audit processes meet a new day at the same instant.
    await client.query(`lock table troupe_transitions in share update exclusive mode`)
    const found = await client.query<{ exists: boolean }>('select to_regclass($1) is not null as exists', [
      table,
    ])
    if (found.rows[0]?.exists) return
    await client.query(`create table ${table} (like troupe_transitions including all)`)
    await client.query(withoutStatistics(table))
    await client.query(
      `with moved as (delete from troupe_transitions_default where day = $1::date returning *) insert into ${table} select * from moved`,
      [day],
    )
    await client.query(
      `alter table troupe_transitions attach partition ${table} for values from ('${day}') to ('${dayOf(Date.parse(day) + DAY_MS)}')`,
    )
  }
  return withConnection(pool, (client) => tryBriefly(client, () => create(client)))
}
