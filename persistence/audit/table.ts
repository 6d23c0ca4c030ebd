/** Writing rows of the audit. Every statement here may run twice: the second run changes nothing. */
import { createHash } from 'node:crypto'
import type pg from 'pg'
import { compareEpochs } from '../../actors/session.ts'
import { withConnection } from './database.ts'
import type { AuditRow } from './entry.ts'

/**
 * One plan for any number of rows. Transitions that are there already are skipped: the same commit again does
 * nothing, another commit at the same position is a fork and is kept. The session's row takes the newest position.
 *
 * The JSON texts go as lines of one text each: as elements of an array every quote in them would be escaped here and
 * unescaped there, which cost this side twice the time of all the rest.
 */
const INSERT = `
  with batch as materialized (
    select session_id, epoch, version, commit_id, previous_commit_id, kind, audit::jsonb as audit,
           state::jsonb as state, is_head, last_state,
           (timestamptz 'epoch' + time_ms * interval '1 ms') as committed_at,
           (timestamptz 'epoch' + created_ms * interval '1 ms') as created_at
      from unnest($1::text[], $2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::bigint[], $7::text[],
                  string_to_array($8, E'\\n'), string_to_array($9, E'\\n', ''),
                  $10::boolean[], $11::jsonb[], $12::bigint[])
        as entry (session_id, epoch, version, commit_id, previous_commit_id, time_ms, kind,
                  audit, state, is_head, last_state, created_ms)
  ), heads as (
    insert into troupe_sessions as old
      (session_id, machine, machine_version, epoch, version, commit_id, status, value, context, tags, output,
       created_at, updated_at, ended_at)
    select session_id, audit->>'machine', (audit->'machineVersion')::integer, epoch, version, commit_id,
           coalesce(state->>'status', kind), shown->'value', shown->'context', shown->'tags', shown->'output',
           created_at, committed_at, case when state is null then committed_at end
      from (select *, coalesce(state, last_state) as shown from batch where is_head) as head
     order by session_id
        on conflict (session_id) do update set
           machine = coalesce(excluded.machine, old.machine),
           machine_version = coalesce(excluded.machine_version, old.machine_version),
           epoch = excluded.epoch,
           version = excluded.version,
           commit_id = excluded.commit_id,
           status = excluded.status,
           value = case when excluded.ended_at is null or excluded.value is not null then excluded.value else old.value end,
           context = case when excluded.ended_at is null or excluded.value is not null then excluded.context else old.context end,
           tags = case when excluded.ended_at is null or excluded.value is not null then excluded.tags else old.tags end,
           output = case when excluded.ended_at is null or excluded.value is not null then excluded.output else old.output end,
           created_at = coalesce(excluded.created_at, old.created_at),
           updated_at = excluded.updated_at,
           ended_at = excluded.ended_at
     where (old.epoch, old.version) < (excluded.epoch, excluded.version)
  ), written as (
    insert into troupe_transitions
      (day, session_id, epoch, version, commit_id, previous_commit_id, kind, machine, machine_version, event,
       event_type, input, from_value, to_value, context, status, tags, output, principal, node, command_key, committed_at)
    select (committed_at at time zone 'UTC')::date, session_id, epoch, version, commit_id, previous_commit_id, kind,
           audit->>'machine', (audit->'machineVersion')::integer, audit->'event', audit->'event'->>'type',
           audit->'input', audit->'from', state->'value', state->'context', state->>'status', state->'tags',
           state->'output', audit->>'principal', audit->>'node', audit->>'key', committed_at
      from batch
        on conflict do nothing
    returning 1
  )
  select count(*)::integer as written from written`

/**
 * Writes a batch in one statement.
 *
 * @returns how many of the rows were not there yet.
 */
export async function insertRows(pool: pg.Pool, rows: readonly AuditRow[]): Promise<number> {
  if (rows.length === 0) return 0
  const heads = findHeads(rows)
  const column = <T>(pick: (row: AuditRow, index: number) => T): T[] => rows.map(pick)
  const values = [
    column((row) => row.sessionId),
    column((row) => row.epoch),
    column((row) => row.version),
    column((row) => row.commitId),
    column((row) => row.previousCommitId),
    column((row) => row.timeMs),
    column((row) => row.kind),
    column((row) => row.audit).join('\n'),
    column((row) => row.state ?? '').join('\n'),
    column((row, index) => heads.get(row.sessionId)?.index === index),
    column((row, index) => lastState(heads, row, index)),
    column((row) => heads.get(row.sessionId)?.createdMs ?? null),
  ]
  const result = await withConnection(pool, (client) =>
    client.query<{ written: number }>({ name: 'troupe-insert', text: INSERT, values }),
  )
  return result.rows[0]?.written ?? 0
}

/** What a batch says of one session. */
interface Head {
  /** Of the row with the newest position. */
  index: number
  row: AuditRow
  /** Newest state in the batch: a deletion or expiry carries none. */
  state: string | null
  createdMs: string | null
}

function findHeads(rows: readonly AuditRow[]): Map<string, Head> {
  const heads = new Map<string, Head>()
  rows.forEach((row, index) => {
    const createdMs = row.kind === 'created' ? row.timeMs : null
    const head = heads.get(row.sessionId)
    if (head === undefined) {
      heads.set(row.sessionId, { index, row, state: row.state, createdMs })
    } else if (isNewer(row, head.row)) {
      head.index = index
      head.row = row
      head.state = row.state ?? head.state
      head.createdMs = createdMs ?? head.createdMs
    }
  })
  return heads
}

function isNewer(a: AuditRow, b: AuditRow): boolean {
  return (compareEpochs(a.epoch, b.epoch) || Number(a.version) - Number(b.version)) > 0
}

/** The state of a session that ended in this batch stands in another of its rows. */
function lastState(heads: ReadonlyMap<string, Head>, row: AuditRow, index: number): string | null {
  const head = heads.get(row.sessionId)
  return head?.index === index && row.state === null ? head.state : null
}

/** An entry that is no transition, or that PostgreSQL refuses. */
export interface Reject {
  readonly partition: number
  readonly streamId: string
  readonly reason: string
  /** Names and values in turn, byte for byte. */
  readonly fields: readonly Buffer[]
}

/** Keeps rejects. The same entry again does nothing. */
export async function insertRejects(pool: pg.Pool, rejects: readonly Reject[]): Promise<void> {
  for (const reject of rejects) {
    const pairs: [string, string][] = []
    for (let at = 0; at < reject.fields.length; at += 2) {
      // NUL in a field's name could not be stored as it is either.
      pairs.push([
        printable(reject.fields[at]),
        (reject.fields[at + 1] ?? Buffer.alloc(0)).toString('base64'),
      ])
    }
    const fields = JSON.stringify(pairs)
    const session =
      reject.fields[reject.fields.findIndex((field, at) => at % 2 === 0 && field.toString() === 'i') + 1]
    await withConnection(pool, (client) =>
      client.query(
        `insert into troupe_rejects (partition, stream_id, digest, session_id, reason, fields)
         values ($1, $2, $3, $4, $5, $6::jsonb) on conflict do nothing`,
        [
          reject.partition,
          reject.streamId,
          createHash('sha256').update(fields).digest('hex'),
          session === undefined || pairs.every(([name]) => name !== 'i') ? null : printable(session),
          printable(Buffer.from(reject.reason)),
          fields,
        ],
      ),
    )
  }
}

/** Text that PostgreSQL takes, whatever the bytes: NUL, controls and invalid UTF-8 become the replacement character. */
function printable(bytes: Buffer | undefined): string {
  return (bytes ?? Buffer.alloc(0))
    .toString('utf8')
    .replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f]/g, '\ufffd')
}
