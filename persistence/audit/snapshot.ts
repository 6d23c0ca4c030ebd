/** Reading much of the audit: one moment of it, in pieces, so that neither side holds more than a few megabytes. */
import type pg from 'pg'
import { withConnection } from './database.ts'

/** What one fetch should bring; rows are of very different size. */
const FETCH_BYTES = 2_000_000
const FIRST_FETCH = 8
/** How much more the next fetch may bring than the last: large rows may come after small ones. */
const GROWTH = 8
const MAX_FETCH = 5_000

/** The audit as it was at one moment, however long the reading takes. */
export interface Snapshot {
  query<T extends pg.QueryResultRow>(text: string, values?: readonly unknown[]): Promise<T[]>
  /**
   * The rows of a query through a cursor, as arrays of texts (`null` where there is none), some at a time: no more are
   * fetched before the last ones are done with. Cast every column to text.
   */
  rows(text: string, values?: readonly unknown[]): AsyncGenerator<(string | null)[][]>
}

/** Runs `use` in one transaction that reads only. */
export function withSnapshot<T>(pool: pg.Pool, use: (snapshot: Snapshot) => Promise<T>): Promise<T> {
  return withConnection(pool, async (client) => {
    // All rows will be read: the plan that is soonest done is wanted, not the one that is soonest begun.
    await client.query(`begin isolation level repeatable read read only; set local cursor_tuple_fraction = 1;
      set local work_mem = '64MB'; set local jit = off`)
    let cursors = 0
    try {
      return await use({
        query: async <R extends pg.QueryResultRow>(text: string, values: readonly unknown[] = []) =>
          (await client.query<R>(text, [...values])).rows,
        rows: (text, values = []) => readRows(client, `troupe_${cursors++}`, text, values),
      })
    } finally {
      // Nothing was written; a connection that cannot even do this is lost, which its next use would tell.
      await client.query('rollback').catch(() => undefined)
    }
  })
}

async function* readRows(
  client: pg.PoolClient,
  cursor: string,
  text: string,
  values: readonly unknown[],
): AsyncGenerator<(string | null)[][]> {
  await client.query(`declare ${cursor} no scroll cursor for ${text}`, [...values])
  let count = FIRST_FETCH
  for (;;) {
    const { rows } = await client.query<(string | null)[]>({
      text: `fetch ${count} from ${cursor}`,
      rowMode: 'array',
    })
    if (rows.length > 0) yield rows
    if (rows.length < count) break
    let bytes = 0
    for (const row of rows) for (const field of row) bytes += (field?.length ?? 0) + 8
    count = Math.max(1, Math.min(MAX_FETCH, GROWTH * count, Math.floor((FETCH_BYTES * rows.length) / bytes)))
  }
  await client.query(`close ${cursor}`)
}
