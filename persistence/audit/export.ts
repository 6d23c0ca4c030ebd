/** All rows, day by day and in the order of their key within a day, in constant memory on both sides. */
import type pg from 'pg'
import { withSnapshot } from './snapshot.ts'
import type { Snapshot } from './snapshot.ts'

export interface ExportQuestion {
  readonly sessionId?: string | undefined
  readonly since?: Date | undefined
  readonly format: 'jsonl' | 'csv'
}

const TIME = `'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'`

/** Column names of the export and how each is read. `true`: JSON. */
const columns: readonly (readonly [name: string, sql: string, isJson: boolean])[] = [
  ['day', 'day::text', false],
  ['sessionId', 'session_id', false],
  ['epoch', 'epoch::text', false],
  ['version', 'version', false],
  ['commitId', 'commit_id', false],
  ['previousCommitId', 'previous_commit_id', false],
  ['committedAt', `to_char(committed_at at time zone 'UTC', ${TIME})`, false],
  ['kind', 'kind', false],
  ['machine', 'machine', false],
  ['machineVersion', 'machine_version', false],
  ['event', 'event', true],
  ['input', 'input', true],
  ['from', 'from_value', true],
  ['to', 'to_value', true],
  ['context', 'context', true],
  ['status', 'status', false],
  ['tags', 'tags', true],
  ['output', 'output', true],
  ['principal', 'principal', false],
  ['node', 'node', false],
  ['key', 'command_key', false],
  ['sender', 'sender', false],
  ['failed', 'failed', false],
  ['forgottenAt', `to_char(forgotten_at at time zone 'UTC', ${TIME})`, false],
  ['redacted', 'redacted', true],
]

const CONDITIONS = `
    from troupe_transitions
   where day = $1::date and ($2::text is null or session_id = $2) and ($3::timestamptz is null or committed_at >= $3)
   order by session_id, troupe_transitions.epoch, troupe_transitions.version, commit_id`

/** PostgreSQL writes the JSON: a row is one text on its way through. */
const JSON_ROWS = `
  select (json_build_object(${columns.map(([name, sql]) => `'${name}', ${sql}`).join(', ')}))::text ${CONDITIONS}`

const TEXT_ROWS = `
  select ${columns.map(([, sql]) => `(${sql})::text`).join(', ')} ${CONDITIONS}`

/**
 * Hands the export over as text, some lines at a time, each when the last has been taken.
 * @returns how many rows it was
 */
export function exportRows(
  pool: pg.Pool,
  question: ExportQuestion,
  take: (text: string, rowsSoFar: number) => Promise<void>,
): Promise<number> {
  const { sessionId, since, format } = question
  return withSnapshot(pool, async (snapshot) => {
    let count = 0
    if (format === 'csv') await take(csvLine(columns.map(([name]) => name)), 0)
    for (const day of await daysHeld(snapshot, since)) {
      const rows = snapshot.rows(format === 'csv' ? TEXT_ROWS : JSON_ROWS, [
        day,
        sessionId ?? null,
        since ?? null,
      ])
      for await (const batch of rows) {
        count += batch.length
        const lines = batch.map(format === 'csv' ? csvLine : ([json]) => `${json ?? ''}\n`)
        await take(lines.join(''), count)
      }
    }
    return count
  })
}

/** Days that have a partition, and those of the default one. */
async function daysHeld(snapshot: Snapshot, since: Date | undefined): Promise<string[]> {
  const rows = await snapshot.query<{ day: string }>(
    `select day::text from (
       select to_date(substring(inhrelid::regclass::text from 'troupe_transitions_([0-9]{8})'), 'YYYYMMDD') as day
         from pg_inherits where inhparent = 'troupe_transitions'::regclass
       union
       select distinct day from troupe_transitions_default) as held
      where day is not null and ($1::timestamptz is null or day >= ($1::timestamptz at time zone 'UTC')::date)
      order by day`,
    [since ?? null],
  )
  return rows.map(({ day }) => day)
}

/** RFC 4180: quotes where they are needed, doubled within. */
function csvLine(fields: readonly (string | null)[]): string {
  const cells = fields.map((field) => {
    if (field === null) return ''
    return /[",\r\n]/.test(field) || field === '' ? `"${field.replaceAll('"', '""')}"` : field
  })
  return `${cells.join(',')}\r\n`
}
