/** Writing rows of the audit. Every statement here may run twice: the second run changes nothing. */
import { createHash } from 'node:crypto'
import { setImmediate } from 'node:timers/promises'
import type pg from 'pg'
import { compareEpochs } from '../../actors/session.ts'
import { withConnection } from './database.ts'
import type { AuditRow } from './entry.ts'
import { codeOf } from './failure.ts'
import type { FaultHook } from './fault-points.ts'
import { marksOf } from './marks.ts'

/**
 * One plan for any number of rows. Fields go as they are in the outbox, as lines of three texts: as elements of arrays
 * every quote in them would be escaped here and unescaped there. The session's row takes the newest position.
 */
const BATCH = `
  with batch as materialized (
    select word[1] as session_id, word[2]::bigint as epoch, word[3]::bigint as version, word[4] as commit_id,
           nullif(word[5], '-') as previous_commit_id, word[6] as kind, audit::jsonb as audit,
           nullif(state, '')::jsonb as state, is_head, nullif(last_state, '')::jsonb as last_state, nullif(marks, '')::jsonb as marks,
           date '1970-01-01' + (word[7]::bigint / 86400000)::integer as day,
           timestamptz 'epoch' + word[7]::bigint * interval '1 ms' as committed_at,
           timestamptz 'epoch' + nullif(created_ms, '')::bigint * interval '1 ms' as created_at
      from (select string_to_array(header, ' ') as word, audit, state, head = 't' as is_head, last_state, created_ms, marks
              from rows from (string_to_table($1, E'\\n'), string_to_table($2, E'\\n'), string_to_table($3, E'\\n'),
                              string_to_table($4, E'\\n'), string_to_table($5, E'\\n'), string_to_table($6, E'\\n'),
                              string_to_table($7, E'\\n'))
                as line (header, audit, state, head, last_state, created_ms, marks)
            -- A fence: each line is taken apart once, not once for each of its words.
            offset 0) as entry
  ), heads as (
    insert into troupe_sessions as old
      (session_id, machine, machine_version, epoch, version, commit_id, status, value, context, tags, output,
       created_at, updated_at, ended_at, marks)
    select session_id, audit->>'machine', (audit->'machineVersion')::integer, epoch, version, commit_id,
           coalesce(state->>'status', kind), shown->'value', shown->'context', shown->'tags', shown->'output',
           created_at, committed_at, case when state is null then committed_at end,
           case when marks is not null then array(select jsonb_array_elements_text(marks)) end
      from (select *, coalesce(state, last_state) as shown from batch where is_head) as head
     order by session_id collate "C"
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
           marks = case when excluded.ended_at is null or excluded.value is not null then excluded.marks else old.marks end,
           updated_at = excluded.updated_at,
           ended_at = excluded.ended_at
     where (old.epoch, old.version) < (excluded.epoch, excluded.version)
  )
  insert into troupe_transitions
    (day, session_id, epoch, version, commit_id, previous_commit_id, kind, machine, machine_version, event,
     event_type, input, from_value, to_value, context, status, tags, output, principal, node, command_key, committed_at, sender,
     failed, redacted)
  select day, session_id, epoch, version, commit_id, previous_commit_id, kind,
         audit->>'machine', (audit->'machineVersion')::integer, audit->'event', audit->'event'->>'type',
         audit->'input', audit->'from', state->'value', state->'context', state->>'status', state->'tags',
         state->'output', audit->>'principal', audit->>'node', audit->>'key', committed_at,
         audit->>'sender', audit->>'failed', audit->'redacted'
    from batch`

/** Where all rows are new, as they nearly always are: `on conflict` looks every key up before it inserts it. */
const INSERT_NEW = BATCH

/**
 * Transitions that are there already are skipped: the same commit again does nothing, another commit at the same
 * position is a fork and is kept.
 */
const INSERT_MISSING = `${BATCH}\n      on conflict do nothing`

const UNIQUE_VIOLATION = '23505'

/**
 * Writes a batch in one statement.
 *
 * @returns how many of the rows were not there yet.
 */
export async function insertRows(
  pool: pg.Pool,
  rows: readonly AuditRow[],
  faultPoint?: FaultHook,
): Promise<number> {
  if (rows.length === 0) return 0
  const values = columnsOf(rows)
  return withConnection(pool, async (client) => {
    const run = async (name: string, text: string): Promise<number> => {
      const answer = client.query({ name, text, values })
      if (faultPoint !== undefined) {
        answer.catch(() => undefined)
        // What the library has gathered goes out at the end of this turn of the event loop.
        await setImmediate()
        await faultPoint('insert-sent')
      }
      return (await answer).rowCount ?? 0
    }
    try {
      return await run('troupe-insert-new', INSERT_NEW)
    } catch (error) {
      if (codeOf(error) !== UNIQUE_VIOLATION) throw error
      return run('troupe-insert-missing', INSERT_MISSING)
    }
  })
}

/** The parameters of the statement: a text a column, a line a row. */
function columnsOf(rows: readonly AuditRow[]): (string | Buffer)[] {
  const isHead = new Array<string>(rows.length).fill('f')
  const lastState = new Array<string>(rows.length).fill('')
  const created = new Array<string>(rows.length).fill('')
  const marks = new Array<string>(rows.length).fill('')
  for (const head of findHeads(rows).values()) {
    if (head.state !== null) marks[head.index] = marksOf(head.state.toString())
    isHead[head.index] = 't'
    created[head.index] = head.createdMs
    // The last state of a session that ended in this batch stands in another of its rows.
    if (head.row.state.length === 0) lastState[head.index] = head.state?.toString() ?? ''
  }
  return [
    byteLines(rows, (row) => row.header),
    byteLines(rows, (row) => row.audit),
    byteLines(rows, (row) => row.state),
    isHead.join('\n'),
    lastState.join('\n'),
    created.join('\n'),
    marks.join('\n'),
  ]
}

const LINE_FEED = Buffer.from('\n')

/** As bytes: neither decoded here, nor encoded again for the wire. */
function byteLines(rows: readonly AuditRow[], pick: (row: AuditRow) => Buffer): Buffer {
  const pieces: Buffer[] = []
  for (const row of rows) pieces.push(pick(row), LINE_FEED)
  pieces.pop()
  return Buffer.concat(pieces)
}

/** What a batch says of one session. */
interface Head {
  /** Of the row with the newest position. */
  index: number
  row: AuditRow
  /** Newest state in the batch, if there is one: a deletion or expiry carries none. */
  state: Buffer | null
  /** '': not in this batch. */
  createdMs: string
}

function findHeads(rows: readonly AuditRow[]): Map<string, Head> {
  const heads = new Map<string, Head>()
  rows.forEach((row, index) => {
    const createdMs = row.kind === 'created' ? row.timeMs : ''
    const head = heads.get(row.sessionId)
    if (head === undefined) {
      heads.set(row.sessionId, { index, row, state: row.state.length === 0 ? null : row.state, createdMs })
    } else if (isNewer(row, head.row)) {
      head.index = index
      head.row = row
      if (row.state.length > 0) head.state = row.state
      if (createdMs !== '') head.createdMs = createdMs
    }
  })
  return heads
}

function isNewer(a: AuditRow, b: AuditRow): boolean {
  return (compareEpochs(a.epoch, b.epoch) || Number(a.version) - Number(b.version)) > 0
}

/** An entry that is no transition, or that PostgreSQL refuses. */
export interface Reject {
  readonly partition: number
  readonly streamId: string
  /** As the entry has it; empty where it has none. */
  readonly sessionId: Buffer
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
    await withConnection(pool, (client) =>
      client.query(
        `insert into troupe_rejects (partition, stream_id, digest, session_id, reason, fields)
         values ($1, $2, $3, $4, $5, $6::jsonb) on conflict do nothing`,
        [
          reject.partition,
          reject.streamId,
          createHash('sha256').update(fields).digest('hex'),
          reject.sessionId.length === 0 ? null : printable(reject.sessionId),
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
