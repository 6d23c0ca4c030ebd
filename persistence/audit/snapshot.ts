/** Reading much of the audit: one moment of it, in pieces, so that neither side holds more than a few megabytes. */
import type pg from 'pg'
import { withConnection } from './database.ts'
import { Fetch } from './fetch.ts'
import type { TextRow } from './fetch.ts'

/** What one fetch should bring. Rows are of very different size: one that brings more than a piece is taken in several. */
const FETCH_BYTES = 1_000_000
const PIECE_BYTES = 2 * FETCH_BYTES
const FIRST_FETCH = 8
/** How many times as many rows as the last the next fetch may bring, so that it mostly is one piece. */
const GROWTH = 8
const MAX_FETCH = 1_000

/** The audit as it was at one moment, however long the reading takes. */
export interface Snapshot {
  query<T extends pg.QueryResultRow>(text: string, values?: readonly unknown[]): Promise<T[]>
  /**
   * The rows of a query through a cursor, in pieces of a few megabytes (or one row): no more is read before the last is
   * done with. Cast every column to text. Who asks something else meanwhile has up to a thousand rows held until then.
   */
  rows(text: string, values?: readonly unknown[]): AsyncGenerator<TextRow[]>
}

/** Runs `use` in one transaction that reads only. */
export function withSnapshot<T>(pool: pg.Pool, use: (snapshot: Snapshot) => Promise<T>): Promise<T> {
  return withConnection(pool, async (client) => {
    // All rows will be read: the plan that is soonest done is wanted, not the one that is soonest begun.
    await client.query(`begin isolation level repeatable read read only; set local cursor_tuple_fraction = 1;
      set local work_mem = '64MB'; set local jit = off`)
    const reading: Reading = { client, cursors: 0, fetch: null }
    try {
      return await use({
        query: async <R extends pg.QueryResultRow>(text: string, values: readonly unknown[] = []) =>
          (await freed(reading).query<R>(text, [...values])).rows,
        rows: (text, values = []) => readRows(reading, text, values),
      })
    } finally {
      // Nothing was written; a connection that cannot even do this is lost, which its next use would tell.
      await client.query('rollback').catch(() => undefined)
    }
  })
}

interface Reading {
  readonly client: pg.PoolClient
  cursors: number
  /** Under way. */
  fetch: Fetch | null
}

async function* readRows(
  reading: Reading,
  text: string,
  values: readonly unknown[],
): AsyncGenerator<TextRow[]> {
  const cursor = `troupe_${reading.cursors++}`
  await freed(reading).query(`declare ${cursor} no scroll cursor for ${text}`, [...values])
  let count = FIRST_FETCH
  for (;;) {
    const fetch: Fetch = freed(reading).query(new Fetch(`fetch ${count} from ${cursor}`, PIECE_BYTES))
    reading.fetch = fetch
    try {
      for (let rows = await fetch.take(); rows.length > 0; rows = await fetch.take()) yield rows
    } finally {
      fetch.drop()
      if (reading.fetch === fetch) reading.fetch = null
    }
    const { rowsTaken, bytesTaken } = fetch
    if (rowsTaken < count) break
    const fitting = Math.floor((FETCH_BYTES * rowsTaken) / bytesTaken)
    count = Math.max(1, Math.min(MAX_FETCH, GROWTH * count, fitting))
  }
  await freed(reading).query(`close ${cursor}`)
}

/** The connection, for another question: what comes before its answer is not waited for by anyone. */
function freed({ client, fetch }: Reading): pg.PoolClient {
  fetch?.holdAll()
  return client
}
