/** The rows of one session, in their order. */
import type { Snapshot } from './snapshot.ts'

/** One transition as the audit holds it. JSON columns are texts, `null` where the row has none. */
export interface TimelineRow {
  readonly epoch: string
  readonly version: number
  readonly commitId: string
  readonly time: string
  readonly kind: string
  readonly machine: string | null
  readonly machineVersion: number | null
  readonly eventType: string | null
  readonly event: string | null
  readonly input: string | null
  readonly from: string | null
  readonly to: string | null
  readonly context: string | null
  readonly status: string | null
  readonly tags: string | null
  readonly output: string | null
  readonly principal: string | null
  readonly node: string | null
  readonly key: string | null
  readonly sender: string | null
  readonly failed: string | null
  readonly forgottenAt: string | null
  /** JSON text: columns of which the definition let the audit have less than there was. */
  readonly redacted: string | null
}

const ISO = `'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'`
const time = (column: string): string => `to_char(${column} at time zone 'UTC', ${ISO})`

const ROWS = `
  select epoch::text, version::text, commit_id, ${time('committed_at')}, kind, machine, machine_version::text, event_type,
         event::text, input::text, from_value::text, to_value::text, context::text, status, tags::text, output::text,
         principal, node, command_key, sender, failed, ${time('forgotten_at')},
         redacted::text
    from troupe_transitions
   where session_id = $1 and ($2::bigint is null or epoch = $2) and ($3::bigint is null or version = $3)
   order by troupe_transitions.epoch, troupe_transitions.version, commit_id`

export interface TimelineQuestion {
  readonly sessionId: string
  readonly epoch?: string | undefined
  readonly version?: number | undefined
}

export async function* readTimeline(
  snapshot: Snapshot,
  { sessionId, epoch, version }: TimelineQuestion,
): AsyncGenerator<TimelineRow> {
  for await (const rows of snapshot.rows(ROWS, [sessionId, epoch ?? null, version ?? null]))
    for (const row of rows) yield rowOf(row)
}

function rowOf(columns: readonly (string | null)[]): TimelineRow {
  const [
    epoch,
    version,
    commitId,
    at,
    kind,
    machine,
    machineVersion,
    eventType,
    event,
    input,
    from,
    to,
    ...more
  ] = columns
  const [context, status, tags, output, principal, node, key, sender, failed, forgottenAt, redacted] = more
  return {
    epoch: epoch ?? '',
    version: Number(version),
    commitId: commitId ?? '',
    time: at ?? '',
    kind: kind ?? '',
    machine: machine ?? null,
    machineVersion: typeof machineVersion === 'string' ? Number(machineVersion) : null,
    eventType: eventType ?? null,
    event: event ?? null,
    input: input ?? null,
    from: from ?? null,
    to: to ?? null,
    context: context ?? null,
    status: status ?? null,
    tags: tags ?? null,
    output: output ?? null,
    principal: principal ?? null,
    node: node ?? null,
    key: key ?? null,
    sender: sender ?? null,
    failed: failed ?? null,
    forgottenAt: forgottenAt ?? null,
    redacted: redacted ?? null,
  }
}

/** The row as one JSON object: texts of JSON columns as what they say. */
export function jsonOf(row: TimelineRow): object {
  const parse = (text: string | null): unknown => (text === null ? null : JSON.parse(text))
  const { event, input, from, to, context, tags, output, redacted } = row
  return {
    ...row,
    event: parse(event),
    input: parse(input),
    from: parse(from),
    to: parse(to),
    context: parse(context),
    tags: parse(tags),
    output: parse(output),
    redacted: parse(redacted),
  }
}
