import { withSnapshot } from '../../persistence/audit/snapshot.ts'
import { readTimeline } from '../../persistence/audit/timeline.ts'
import type { TimelineRow } from '../../persistence/audit/timeline.ts'
import type { AuditPlace } from './audit-support.ts'

/** All rows of a session. */
export function timelineOf({ pool }: AuditPlace, sessionId: string): Promise<TimelineRow[]> {
  return withSnapshot(pool, async (snapshot) => {
    const rows: TimelineRow[] = []
    for await (const row of readTimeline(snapshot, { sessionId })) rows.push(row)
    return rows
  })
}
