/**
 * First rows of epochs that go on from what was not seen right before them: the epoch was raised, or rows are missing. An epoch
 * was raised if its base is there. Where days were dropped, the base may have gone with them, unless the session's newest life
 * was created since: then all of that life must be there.
 */
import type { ChainFinding, Doubt } from './chain.ts'
import type { Snapshot } from './snapshot.ts'

/**
 * The doubts, by their place, that are none. The base may be of the same epoch where it is out of sight though it is younger,
 * since the clock of another server went before.
 */
const SETTLE = `
  select doubt.place::integer as place
    from unnest($1::text[], $2::bigint[], $3::bigint[], $4::text[], $5::boolean[]) with ordinality
           as doubt (session_id, epoch, version, previous_commit_id, is_before_all, place)
   where exists (select 1 from troupe_transitions base
                  where base.session_id = doubt.session_id collate "C" and base.epoch <= doubt.epoch
                    and base.version = doubt.version - 1
                    and base.commit_id = doubt.previous_commit_id collate "C")
      or ($6::date is not null and doubt.is_before_all
          and exists (select 1 from troupe_sessions newest
                       where newest.session_id = doubt.session_id collate "C"
                         and not coalesce(newest.created_at >= $6::date::timestamp at time zone 'UTC'
                               and newest.created_at <= timestamptz 'epoch' + doubt.epoch * interval '1 us', false)))`

/** @param keptSince first day that is kept; `null`: none was dropped */
export async function settle(
  snapshot: Snapshot,
  doubts: readonly Doubt[],
  keptSince: string | null,
  onFinding: (finding: ChainFinding) => void,
): Promise<void> {
  const found = await snapshot.query<{ place: number }>(SETTLE, [
    doubts.map(({ sessionId }) => sessionId),
    doubts.map(({ epoch }) => epoch),
    doubts.map(({ version }) => version),
    doubts.map(({ previousCommitId }) => previousCommitId),
    doubts.map(({ isBeforeAll }) => isBeforeAll),
    keptSince,
  ])
  const settled = new Set(found.map(({ place }) => place - 1))
  for (const [index, { sessionId, epoch, version }] of doubts.entries())
    if (!settled.has(index)) onFinding({ kind: 'missing', sessionId, epoch, from: 1, to: version - 1 })
}
