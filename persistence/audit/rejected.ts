/** Rejects as the proof sees them: transitions that were committed, and are not there. Forgotten ones are no less missing. */
import type { Snapshot } from './snapshot.ts'

export interface Rejected {
  readonly kind: 'rejected'
  /** `null`: the entry did not say. */
  readonly sessionId: string | null
  readonly partition: number
  readonly streamId: string
}

/** The others are told by `audit rejects`. */
const FEW = 10

const REJECTED = `
  select session_id, partition, stream_id, count(*) over () as count
    from troupe_rejects
   where ($1::text[] is null or session_id = any ($1)) and ($2::timestamptz is null or rejected_at >= $2)
   order by rejected_at, partition, stream_id, digest
   limit ${FEW}`

interface Found {
  readonly session_id: string | null
  readonly partition: number
  readonly stream_id: string
  readonly count: string
}

/** @param since only what was rejected since: what was committed since is among it */
export async function findRejected(
  snapshot: Snapshot,
  sessionIds: readonly string[] | undefined,
  since: Date | undefined,
): Promise<{ readonly count: number; readonly first: readonly Rejected[] }> {
  const found = await snapshot.query<Found>(REJECTED, [sessionIds ?? null, since ?? null])
  return {
    count: Number(found[0]?.count ?? 0),
    first: found.map(({ session_id, partition, stream_id }) => ({
      kind: 'rejected',
      sessionId: session_id,
      partition,
      streamId: stream_id,
    })),
  }
}
