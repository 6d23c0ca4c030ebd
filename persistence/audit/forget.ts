/**
 * Forgetting what a session held. Positions, commit ids, kinds and times stay, so that the chain can be proven as
 * before; who did what and what came of it goes.
 */
import type pg from 'pg'
import { inTransaction } from './database.ts'

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

/** Of the fields of a reject only the header is kept: ids, position, commits, time. */
const REJECTS = `
  update troupe_rejects
     set fields = (select coalesce(jsonb_agg(field), '[]') from jsonb_array_elements(fields) as field where field->>0 = 'h'),
         reason = 'forgotten', forgotten_at = now()
   where session_id = $1 and forgotten_at is null`

const KNOWN = `
  select exists (select 1 from troupe_transitions where session_id = $1)
           or exists (select 1 from troupe_sessions where session_id = $1)
           or exists (select 1 from troupe_rejects where session_id = $1) as is_known,
         coalesce((select ended_at is null from troupe_sessions where session_id = $1), false) as goes_on`

/** Blanks all of it, or nothing. Again does nothing, except for what has come since. */
export function forget(pool: pg.Pool, sessionId: string): Promise<Forgotten> {
  return inTransaction(pool, async (client) => {
    const update = async (text: string): Promise<number> =>
      (await client.query(text, [sessionId])).rowCount ?? 0
    const transitions = await update(TRANSITIONS)
    const sessions = await update(SESSION)
    const rejects = await update(REJECTS)
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
