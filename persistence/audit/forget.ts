/**
 * Forgetting what a session held. Positions, commit ids, kinds and times stay, so that the chain can be proven as
 * before; who did what and what came of it goes.
 */
import type pg from 'pg'
import { storableText } from '../../actors/storable.ts'
import { inTransaction } from './database.ts'
import { parseEntry } from './entry.ts'
import { classifyFailure } from './failure.ts'
import { fieldsOf } from './rejects.ts'
import type { RejectedFields } from './rejects.ts'

export interface Forgotten {
  /** Rows, session and rejects whose contents are blank now and were not before. */
  readonly transitions: number
  readonly rejects: number
  readonly hadSession: boolean
  /** Whether there is anything of this session at all, forgotten already or not. */
  readonly isKnown: boolean
  /** It has not ended: what it does from now on is written with its contents. */
  readonly goesOn: boolean
}

const TRANSITIONS = `
  update troupe_transitions
     set event = null, event_type = null, input = null, from_value = null, to_value = null, context = null, tags = null,
         output = null, principal = null, command_key = null, sender = null, failed = null, forgotten_at = now()
   where session_id = $1 and forgotten_at is null`

const SESSION = `
  update troupe_sessions
     set value = null, context = null, tags = null, output = null, marks = null, forgotten_at = now()
   where session_id = $1
     and (forgotten_at is null or value is not null or marks is not null or context is not null or tags is not null or output is not null)`

/** Of the fields of a reject that cannot become a row only the header is kept: ids, position, commits, time. */
const REJECTS = `
  update troupe_rejects
     set fields = (select coalesce(jsonb_agg(field), '[]') from jsonb_array_elements(fields) as field where field->>0 = 'h'),
         reason = 'forgotten', forgotten_at = now()
   where session_id = $1 and forgotten_at is null`

const KNOWN = `
  select exists (select 1 from troupe_transitions where session_id = $1)
           or exists (select 1 from troupe_sessions where session_id = $1)
           or exists (select 1 from troupe_rejects where session_id = $1) as is_known,
         coalesce((select ended_at is null and status = 'active' from troupe_sessions where session_id = $1), false) as goes_on`

interface StoredFields {
  readonly partition: number
  readonly stream_id: string
  readonly digest: string
  readonly fields: RejectedFields
}

const OPEN_REJECTS = `
  select partition, stream_id, digest, fields from troupe_rejects where session_id = $1 and forgotten_at is null for update`

const BLANK_ROW = `
  insert into troupe_transitions
    (day, session_id, epoch, version, commit_id, previous_commit_id, kind, machine, machine_version, node, committed_at, forgotten_at)
  select date '1970-01-01' + ($6::bigint / 86400000)::integer, $1, $2, $3, $4, nullif($5, '-'), $7, $8, $9, $10,
         timestamptz 'epoch' + $6::bigint * interval '1 ms', now()
      on conflict do nothing`

/**
 * What was refused for its contents can be a row without them, and then it is missing no more.
 * @returns how many have become one
 */
async function blankRejects(client: pg.PoolClient, sessionId: string): Promise<number> {
  const { rows: rejects } = await client.query<StoredFields>(OPEN_REJECTS, [sessionId])
  let blanked = 0
  for (const { partition, stream_id: streamId, digest, fields } of rejects) {
    const parsed = parseEntry({ partition, streamId, fields: fieldsOf(fields) })
    if (parsed.kind !== 'row') continue
    const { row } = parsed
    const [id, epoch, version, commitId, previous, kind, timeMs] = row.header.toString('latin1').split(' ')
    const { machine, machineVersion, node } = whoMade(row.audit)
    await client.query('savepoint blank')
    try {
      await client.query(BLANK_ROW, [
        id,
        epoch,
        version,
        commitId,
        previous,
        timeMs,
        kind,
        machine,
        machineVersion,
        node,
      ])
      await client.query(
        'delete from troupe_rejects where partition = $1 and stream_id = $2 and digest = $3',
        [partition, streamId, digest],
      )
      blanked++
    } catch (error) {
      if (classifyFailure(error) !== 'data') throw error
      await client.query('rollback to savepoint blank')
    }
  }
  return blanked
}

/** What of the audit's part is kept; `null` where it does not say. */
function whoMade(
  audit: Buffer,
): Record<'machine' | 'node', string | null> & { machineVersion: number | null } {
  const { machine, machineVersion, node } = membersOf(audit.toString())
  const text = (value: unknown): string | null => (typeof value === 'string' ? storableText(value) : null)
  return {
    machine: text(machine),
    machineVersion: Number.isSafeInteger(machineVersion) ? (machineVersion as number) : null,
    node: text(node),
  }
}

/** None of what is no JSON, which may be what it was refused for. */
function membersOf(json: string): Partial<Record<'machine' | 'machineVersion' | 'node', unknown>> {
  try {
    return Object(JSON.parse(json)) as object
  } catch {
    return {}
  }
}

/** Blanks all of it, or nothing. Again does nothing, except for what has come since. */
export function forget(pool: pg.Pool, sessionId: string): Promise<Forgotten> {
  return inTransaction(pool, async (client) => {
    const update = async (text: string): Promise<number> =>
      (await client.query(text, [sessionId])).rowCount ?? 0
    const transitions = await update(TRANSITIONS)
    const sessions = await update(SESSION)
    const rejects = (await blankRejects(client, sessionId)) + (await update(REJECTS))
    const { rows } = await client.query<{ is_known: boolean; goes_on: boolean }>(KNOWN, [sessionId])
    return {
      transitions,
      rejects,
      hadSession: sessions > 0,
      isKnown: rows[0]?.is_known ?? false,
      goesOn: rows[0]?.goes_on ?? false,
    }
  })
}
