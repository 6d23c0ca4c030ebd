/** Whether a PostgreSQL can hold the audit, asked before anything is started on it. */
import pg from 'pg'
import { addressOf } from './server-address.ts'

const CONNECT_TIMEOUT_MS = 5000
const STARTING_TIMEOUT_MS = 60_000
const OLDEST_VERSION = 140_000

export interface PostgresFacts {
  /** As the server names itself: `PostgreSQL 18.4`. */
  readonly name: string
}

interface Findings {
  readonly version: string
  readonly version_number: number
  readonly read_only: boolean
  readonly encoding: string
  readonly schema: string | null
  readonly may_create: boolean | null
}

const QUESTION = `
  select current_setting('server_version') as version,
         current_setting('server_version_num')::int as version_number,
         pg_is_in_recovery() or current_setting('transaction_read_only')::bool as read_only,
         current_setting('server_encoding') as encoding,
         current_schema() as schema,
         has_schema_privilege(current_schema(), 'create') as may_create`

/**
 * @param url as in the option `databaseUrl`.
 * @throws Error with one line that says what is wrong and what to do: not reachable, wrong password, database
 *   missing, too old, read-only, or no right to create tables.
 */
export async function checkPostgres(url: string): Promise<PostgresFacts> {
  const at = `PostgreSQL at ${addressOf(url)}`
  const deadline = Date.now() + STARTING_TIMEOUT_MS
  for (;;) {
    try {
      return judge(await ask(url), at)
    } catch (error) {
      if (error instanceof UnfitServer) throw new Error(error.message)
      const failure = error as Error & { code?: string }
      const isStarting = failure.code === '57P03'
      if (!isStarting || Date.now() > deadline) throw new Error(explain(failure, at, url), { cause: error })
      await new Promise((resolve) => setTimeout(resolve, 500))
    }
  }
}

/** A finding of ours, as opposed to an error of the connection. */
class UnfitServer extends Error {}

async function ask(url: string): Promise<Findings> {
  const client = new pg.Client({
    connectionString: url,
    application_name: 'troupe check',
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    query_timeout: CONNECT_TIMEOUT_MS,
  })
  // The loss of the connection is told by the query, too.
  client.on('error', () => undefined)
  try {
    await client.connect()
    const { rows } = await client.query<Findings>(QUESTION)
    if (rows[0] === undefined) throw new Error('no answer')
    return rows[0]
  } finally {
    // Not awaited: with a server that went silent it would never end.
    client.end().catch(() => undefined)
  }
}

function judge(found: Findings, at: string): PostgresFacts {
  if (found.version_number < OLDEST_VERSION) {
    throw new UnfitServer(
      `${at} is version ${found.version}, and 14 is the oldest that works: upgrade it, or set DATABASE_URL to another.`,
    )
  }
  if (found.read_only) {
    throw new UnfitServer(`${at} is read-only (a standby?): set DATABASE_URL to the primary server.`)
  }
  if (found.encoding !== 'UTF8') {
    throw new UnfitServer(
      `${at} stores text as ${found.encoding}: create the database with encoding 'UTF8' and set DATABASE_URL to it.`,
    )
  }
  if (found.schema === null || found.may_create !== true) {
    const schema = found.schema ?? 'public'
    throw new UnfitServer(
      `${at} does not let this user create tables: grant it (grant usage, create on schema ${schema} to <user>), ` +
        'or set DATABASE_URL to a database of its own.',
    )
  }
  return { name: `PostgreSQL ${found.version}` }
}

function explain(failure: Error & { code?: string }, at: string, url: string): string {
  const { code = '', message } = failure
  switch (code) {
    case '28P01':
    case '28000':
      return `${at} refuses the login (${message}): check user and password in DATABASE_URL (postgres://user:password@host:port/database).`
    case '3D000': {
      const database = decodeURIComponent(new URL(url).pathname.slice(1))
      return `${at}: the database does not exist: create it (createdb ${database}), or name another in DATABASE_URL.`
    }
    case '42501':
      return `${at} refuses (${message}): grant this user the right to connect, or set DATABASE_URL to another database.`
    case '53300':
      return `${at} has no connection left (${message}): close some, or raise max_connections.`
    case '57P03':
      return `${at} is still starting: start again when it is ready.`
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return `${at} cannot be found (no such host): check DATABASE_URL.`
  }
  if (message.includes('SASL') || message.includes('password must be')) {
    return `${at} wants a password: put it into DATABASE_URL (postgres://user:password@host:port/database).`
  }
  if (message.includes('SSL')) {
    return `${at} and DATABASE_URL do not agree on TLS (${message}): add or remove ?sslmode=require.`
  }
  const reason = /timeout|timed out/i.test(message) ? 'no answer in time' : code || message
  return `${at} cannot be reached (${reason}): start it, or check host and port in DATABASE_URL.`
}
