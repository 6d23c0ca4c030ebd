import { Registry } from '../../../actors/registry.ts'
import { replaySessions } from '../../../runtime/replay/replay-sessions.ts'
import type { WhichSessions } from '../../../runtime/replay/replay-sessions.ts'
import type { ReplayOptions, SessionReport } from '../../../runtime/replay/session-replay.ts'
import { Worlds } from '../../../runtime/replay/worlds.ts'
import type { AuditPlace } from '../../persistence/audit-support.ts'

export interface ReplayGiven extends Partial<Omit<ReplayOptions, 'registry'>> {
  readonly definitions: readonly unknown[]
}

/** Replays sessions of an audit with these definitions. */
export async function replayed(
  { pool }: AuditPlace,
  which: WhichSessions,
  { definitions, ...options }: ReplayGiven,
): Promise<SessionReport[]> {
  const registry = new Registry()
  for (const each of definitions) registry.register(each)
  const reports: SessionReport[] = []
  const worlds = Worlds.install()
  try {
    const how = { registry, as: null, migrateAfter: null, statesOnly: false, ...options }
    await replaySessions(pool, which, how, worlds, async (report) => void reports.push(report))
  } finally {
    worlds.uninstall()
  }
  return reports
}
