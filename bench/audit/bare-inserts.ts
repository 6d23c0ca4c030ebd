/** The limit of PostgreSQL: a bare script that inserts rows such as the audit's, 500 a statement, from memory, and nothing else. */
import { Pool } from 'pg'
import { DAY_MS, dayOf, ensureDays } from '../../persistence/audit/days.ts'
import { migrate } from '../../persistence/audit/migrations.ts'
import { createBasket, nthEvent } from '../machines/basket-session.ts'

const ROWS_A_STATEMENT = 500
/** Transitions of a session, as in what the pipeline has to write. */
const VERSIONS = 50

const INSERT = `
  insert into troupe_transitions
    (day, session_id, epoch, version, commit_id, previous_commit_id, kind, machine, machine_version, event, event_type,
     from_value, to_value, context, status, tags, node, committed_at)
  select * from unnest($1::date[], $2::text[], $3::bigint[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::text[],
    $9::integer[], $10::jsonb[], $11::text[], $12::jsonb[], $13::jsonb[], $14::jsonb[], $15::text[], $16::jsonb[],
    $17::text[], $18::timestamptz[])`

/** @param databaseUrl of an empty database. @returns rows/s */
export async function insertBare(databaseUrl: string, rows: number, connections: number): Promise<number> {
  const pool = new Pool({ connectionString: databaseUrl, max: connections })
  // Its connections may outlive it by a moment, and the database does not.
  pool.on('error', () => undefined)
  try {
    await migrate(pool)
    const now = Date.now()
    await ensureDays(pool, [dayOf(now), dayOf(now + DAY_MS)])
    const statements = Math.ceil(rows / ROWS_A_STATEMENT)
    let next = 0
    const insertOn = async (): Promise<void> => {
      for (let statement = next++; statement < statements; statement = next++)
        await pool.query({ name: 'bare', text: INSERT, values: columns(statement * ROWS_A_STATEMENT, now) })
    }
    const from = performance.now()
    await Promise.all(Array.from({ length: connections }, insertOn))
    return (statements * ROWS_A_STATEMENT * 1000) / (performance.now() - from)
  } finally {
    await pool.end()
  }
}

const { record } = createBasket()
const { value, context, tags } = JSON.parse(record.state) as Record<string, unknown>
const [valueText, contextText, tagsText] = [value, context, tags].map((each) => JSON.stringify(each))
const event = nthEvent(1)
const eventText = JSON.stringify(event)

function columns(first: number, now: number): unknown[][] {
  const place = (row: number): [number, number] => [Math.floor(row / VERSIONS), (row % VERSIONS) + 1]
  const each = (make: (session: number, version: number) => unknown): unknown[] =>
    Array.from({ length: ROWS_A_STATEMENT }, (_, row) => make(...place(first + row)))
  return [
    each(() => dayOf(now)),
    each((session) => `bare-${session}`),
    each(() => record.epoch),
    each((_, version) => version),
    each((session, version) => `bench1-${session * VERSIONS + version}`),
    each((session, version) => (version === 1 ? null : `bench1-${session * VERSIONS + version - 1}`)),
    each((_, version) => (version === 1 ? 'created' : 'event')),
    each(() => 'basket'),
    each(() => 1),
    each(() => eventText),
    each(() => event.type),
    each(() => valueText),
    each(() => valueText),
    each(() => contextText),
    each(() => 'active'),
    each(() => tagsText),
    each(() => 'bench1'),
    each(() => new Date(now)),
  ]
}
