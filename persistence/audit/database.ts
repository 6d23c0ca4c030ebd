/** Connections of the audit to PostgreSQL. */
import pg from 'pg'

export interface DatabaseOptions {
  readonly databaseUrl: string
  /** Connections at most. */
  readonly max: number
  /** How long a statement may take before its connection is given up, in ms. */
  readonly statementMs: number
}

/**
 * A pool that survives the loss of its server: errors of idle connections are swallowed (the next use meets them),
 * and a server that no longer answers is noticed within `statementMs`.
 */
export function openDatabase({ databaseUrl, max, statementMs }: DatabaseOptions): pg.Pool {
  const pool = new pg.Pool({
    connectionString: databaseUrl,
    application_name: 'troupe audit',
    max,
    connectionTimeoutMillis: 5_000,
    idleTimeoutMillis: 30_000,
    keepAlive: true,
    statement_timeout: statementMs,
    query_timeout: statementMs + 1_000,
  })
  pool.on('error', () => undefined)
  return pool
}

/**
 * Runs `use` with a connection of its own. A connection that was lost or left a statement unanswered is destroyed,
 * never given to another.
 */
export async function withConnection<T>(
  pool: pg.Pool,
  use: (client: pg.PoolClient) => Promise<T>,
): Promise<T> {
  const client = await pool.connect()
  let lost = false
  // Without a listener the loss of a checked-out connection would end the process.
  const onError = (): void => {
    lost = true
  }
  client.on('error', onError)
  try {
    return await use(client)
  } catch (error) {
    lost ||= !(error instanceof pg.DatabaseError)
    throw error
  } finally {
    client.off('error', onError)
    client.release(lost)
  }
}

/** As {@link withConnection}, in one transaction. */
export function inTransaction<T>(pool: pg.Pool, use: (client: pg.PoolClient) => Promise<T>): Promise<T> {
  return withConnection(pool, (client) => transaction(client, () => use(client)))
}

/** Runs `use` between begin and commit. */
export async function transaction<T>(client: pg.PoolClient, use: () => Promise<T>): Promise<T> {
  await client.query('begin')
  try {
    const result = await use()
    await client.query('commit')
    return result
  } catch (error) {
    // The error that matters is the first; a connection that cannot even roll back is destroyed with it.
    await client.query('rollback').catch(() => undefined)
    throw error
  }
}

/** What commands hold of a database, without knowing its library. */
export type Database = pg.Pool
