/**
 * Newest positions that `troupe_sessions` names and that are not among the transitions: the last rows of a session, or all of
 * them, are missing. No other row can tell. Both are written by one statement, and only days that are dropped part them.
 */
import type { Where } from './chain.ts'
import type { Snapshot } from './snapshot.ts'

export interface NewestMissing extends Where {
  readonly kind: 'newest-missing'
  readonly version: number
  readonly commitId: string
}

/** By day too, so that one partition is looked into for each. */
const HEADLESS = `
  select head.session_id, head.epoch::text, head.version::text, head.commit_id
    from troupe_sessions head
   where ($1::text[] is null or head.session_id = any ($1))
     and ($2::date is null or head.updated_at >= $2::date::timestamp at time zone 'UTC')
     and ($3::timestamptz is null or head.updated_at >= $3)
     and not exists (select 1 from troupe_transitions newest
                      where newest.session_id = head.session_id and newest.epoch = head.epoch
                        and newest.version = head.version and newest.commit_id = head.commit_id collate "C"
                        and newest.day = (head.updated_at at time zone 'UTC')::date)
   order by head.session_id`

/**
 * @param keptSince first day that is kept: sessions that nothing has moved since may have lost their rows
 * @param since only what was committed since
 */
export async function* findHeadless(
  snapshot: Snapshot,
  sessionIds: readonly string[] | undefined,
  keptSince: string | null,
  since: Date | undefined,
): AsyncGenerator<NewestMissing> {
  const values = [sessionIds ?? null, keptSince, since ?? null]
  for await (const rows of snapshot.rows(HEADLESS, values))
    for (const [sessionId, epoch, version, commitId] of rows)
      yield {
        kind: 'newest-missing',
        sessionId: sessionId ?? '',
        epoch: epoch ?? '',
        version: Number(version),
        commitId: commitId ?? '',
      }
}
