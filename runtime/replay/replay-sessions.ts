/** Replays sessions of an audit, one after another, at one moment of it. Reads, and writes nothing. */
import type { Database } from '../../persistence/audit/database.ts'
import { readBranchPoints, readRecorded, readSessionIds } from '../../persistence/audit/recorded.ts'
import { withSnapshot } from '../../persistence/audit/snapshot.ts'
import { SessionReplay } from './session-replay.ts'
import type { ReplayOptions, SessionReport } from './session-replay.ts'
import type { Worlds } from './worlds.ts'

export type WhichSessions =
  { readonly ids: readonly string[] } | { readonly machine: string; readonly limit: number }

/**
 * @param tell gets the report of each session; one of no rows: the audit does not know it
 * @throws Error of PostgreSQL, or of `tell`
 */
export function replaySessions(
  database: Database,
  which: WhichSessions,
  options: ReplayOptions,
  worlds: Worlds,
  tell: (report: SessionReport) => Promise<void>,
): Promise<void> {
  return withSnapshot(database, async (snapshot) => {
    const ids = 'ids' in which ? which.ids : await readSessionIds(snapshot, which.machine, which.limit)
    for (const id of ids) {
      const replay = new SessionReplay(id, options, worlds, await readBranchPoints(snapshot, id))
      for await (const row of readRecorded(snapshot, id)) replay.take(row)
      await tell(replay.report)
    }
  })
}
