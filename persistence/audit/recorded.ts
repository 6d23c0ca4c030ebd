/** What the audit holds of sessions, as a replay needs it: inputs and states parsed, and which commit follows which. */
import type { Snapshot } from './snapshot.ts'

/** One row. A member is `undefined` where the row has none. */
export interface RecordedTransition {
  readonly sessionId: string
  readonly epoch: string
  readonly version: number
  readonly commitId: string
  readonly previousCommitId: string | null
  /** Redis' time of the commit. */
  readonly timeMs: number
  readonly kind: string
  readonly machine: string | null
  readonly machineVersion: number | null
  readonly event: unknown
  readonly input: unknown
  readonly value: unknown
  readonly context: unknown
  readonly status: string | null
  readonly tags: unknown
  readonly output: unknown
  readonly sender: string | null
  /** What the machine threw at the event. */
  readonly failed: string | null
  readonly isForgotten: boolean
  /** Columns of which the definition let the audit have less than there was. */
  readonly redacted: readonly string[]
}

const ROWS = `
  select session_id, epoch::text, version::text, commit_id, previous_commit_id,
         round(extract(epoch from committed_at) * 1000)::bigint::text, kind, machine, machine_version::text,
         event::text, input::text, to_value::text, context::text, status, tags::text, output::text, sender, failed,
         (forgotten_at is not null)::text, redacted::text
    from troupe_transitions
   where session_id = $1
   order by troupe_transitions.epoch, troupe_transitions.version, commit_id`

/** All rows of a session, by epoch, version and commit. */
export async function* readRecorded(
  snapshot: Snapshot,
  sessionId: string,
): AsyncGenerator<RecordedTransition> {
  for await (const rows of snapshot.rows(ROWS, [sessionId])) for (const row of rows) yield recordedOf(row)
}

function recordedOf(columns: readonly (string | null)[]): RecordedTransition {
  const [
    sessionId,
    epoch,
    version,
    commitId,
    previousCommitId,
    timeMs,
    kind,
    machine,
    machineVersion,
    ...more
  ] = columns
  const [event, input, value, context, status, tags, output, sender, failed, isForgotten, redacted] = more
  return {
    sessionId: sessionId ?? '',
    epoch: epoch ?? '',
    version: Number(version),
    commitId: commitId ?? '',
    previousCommitId: previousCommitId ?? null,
    timeMs: Number(timeMs),
    kind: kind ?? '',
    machine: machine ?? null,
    machineVersion: typeof machineVersion === 'string' ? Number(machineVersion) : null,
    event: parse(event),
    input: parse(input),
    value: parse(value),
    context: parse(context),
    status: status ?? null,
    tags: parse(tags),
    output: parse(output),
    sender: sender ?? null,
    failed: failed ?? null,
    isForgotten: isForgotten === 'true',
    redacted: (parse(redacted) ?? []) as string[],
  }
}

function parse(text: string | null | undefined): unknown {
  return typeof text === 'string' ? JSON.parse(text) : undefined
}

/** Commits that an epoch goes on from which a server that took back commits had raised: they may lie far back. */
export async function readBranchPoints(snapshot: Snapshot, sessionId: string): Promise<Set<string>> {
  const rows = await snapshot.query<{ commit_id: string }>(
    `select distinct first.previous_commit_id as commit_id
       from (select distinct on (epoch) version, previous_commit_id
               from troupe_transitions where session_id = $1 order by epoch, version) as first
      where first.version > 1 and first.previous_commit_id is not null`,
    [sessionId],
  )
  return new Set(rows.map(({ commit_id }) => commit_id))
}

/** Sessions of a definition, those with the newest transitions first. */
export async function readSessionIds(snapshot: Snapshot, machine: string, limit: number): Promise<string[]> {
  const rows = await snapshot.query<{ session_id: string }>(
    `select session_id from troupe_sessions where machine = $1 order by updated_at desc, session_id limit $2`,
    [machine, limit],
  )
  return rows.map(({ session_id }) => session_id)
}
