/** Records that could not be stored: what is known of them, and another try after what was wrong has been mended. */
import type pg from 'pg'
import { ensureDays, dayOf, hasOwnPartition } from './days.ts'
import { parseEntry } from './entry.ts'
import type { AuditRow } from './entry.ts'
import { classifyFailure, reasonOf } from './failure.ts'
import { insertRows } from './table.ts'

export interface KeptReject {
  readonly partition: number
  readonly streamId: string
  readonly digest: string
  readonly sessionId: string | null
  readonly reason: string
  readonly rejectedAt: Date
  readonly bytes: number
  readonly isForgotten: boolean
}

export type ReplayOutcome =
  | { readonly kind: 'stored' }
  | { readonly kind: 'refused'; readonly reason: string }
  | { readonly kind: 'forgotten' }

/** Names, and the bytes of values as base64. */
export type RejectedFields = readonly (readonly [name: string, base64: string])[]

const AT_ONCE = 100

interface StoredReject {
  readonly partition: number
  readonly stream_id: string
  readonly digest: string
  readonly session_id: string | null
  readonly reason: string
  readonly rejected_at: Date
  readonly bytes: number
  readonly forgotten: boolean
}

/** All of them in the order of their key, some at a time; those that go meanwhile do not matter. */
export async function* listRejects(pool: pg.Pool, sessionId?: string): AsyncGenerator<KeptReject[]> {
  let after: readonly [number, string, string] = [-1, '', '']
  for (;;) {
    const { rows } = await pool.query<StoredReject>(
      `select partition, stream_id, digest, session_id, reason, rejected_at, pg_column_size(fields) as bytes,
              forgotten_at is not null as forgotten
         from troupe_rejects
        where (partition, stream_id, digest) > ($1, $2 collate "C", $3 collate "C")
          and ($4::text is null or session_id = $4)
        order by partition, stream_id, digest limit ${AT_ONCE}`,
      [...after, sessionId ?? null],
    )
    if (rows.length > 0)
      yield rows.map((row) => ({
        partition: row.partition,
        streamId: row.stream_id,
        digest: row.digest,
        sessionId: row.session_id,
        reason: row.reason,
        rejectedAt: row.rejected_at,
        bytes: row.bytes,
        isForgotten: row.forgotten,
      }))
    const last = rows.at(-1)
    if (last === undefined || rows.length < AT_ONCE) return
    after = [last.partition, last.stream_id, last.digest]
  }
}

/**
 * Stores it as a transition, and only then takes it from the rejects: whatever dies in between, a second try does
 * nothing but that. One that is refused again keeps the newer reason.
 * @throws Error where PostgreSQL is away
 */
export async function replayReject(pool: pg.Pool, reject: KeptReject): Promise<ReplayOutcome> {
  if (reject.isForgotten) return { kind: 'forgotten' }
  const key = [reject.partition, reject.streamId, reject.digest]
  const { rows } = await pool.query<{ fields: RejectedFields }>(
    'select fields from troupe_rejects where partition = $1 and stream_id = $2 and digest = $3',
    key,
  )
  const fields = fieldsOf(rows[0]?.fields ?? [])
  const parsed = parseEntry({ partition: reject.partition, streamId: reject.streamId, fields })
  const reason = parsed.kind === 'reject' ? parsed.reason : await store(pool, parsed.row)
  if (reason === null) {
    await pool.query(
      'delete from troupe_rejects where partition = $1 and stream_id = $2 and digest = $3',
      key,
    )
    return { kind: 'stored' }
  }
  if (reason !== reject.reason)
    await pool.query(
      'update troupe_rejects set reason = $4 where partition = $1 and stream_id = $2 and digest = $3',
      [...key, reason],
    )
  return { kind: 'refused', reason }
}

/** As an entry of the outbox has them: names and values in turn. */
export function fieldsOf(fields: RejectedFields): Buffer[] {
  return fields.flatMap(([name, base64]) => [Buffer.from(name), Buffer.from(base64, 'base64')])
}

/** @returns why PostgreSQL refuses it; `null`: it is there */
async function store(pool: pg.Pool, row: AuditRow): Promise<string | null> {
  const day = dayOf(Number(row.timeMs))
  if (hasOwnPartition(day, Date.now())) await ensureDays(pool, [day])
  try {
    await insertRows(pool, [row])
    return null
  } catch (error) {
    if (classifyFailure(error) !== 'data') throw error
    return `PostgreSQL refused it: ${reasonOf(error)}`
  }
}
