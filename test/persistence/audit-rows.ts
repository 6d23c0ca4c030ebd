/** Lives of sessions as the audit has them after its pipeline wrote them. */
import { parseEntry } from '../../persistence/audit/entry.ts'
import type { AuditRow } from '../../persistence/audit/entry.ts'
import { insertRows } from '../../persistence/audit/table.ts'
import type { AuditPlace } from './audit-support.ts'
import { packed } from './audit-support.ts'

export interface Step {
  readonly version: number
  readonly atMs: number
  readonly kind?: string
  readonly epoch?: string
  readonly commit?: string
  readonly previous?: string
  readonly audit?: object
  /** The state after it; `null`: the session has ended by it. */
  readonly value?: unknown
  readonly status?: string
  readonly context?: unknown
}

export const EPOCH = '1700000000000000'

/** Writes a session's steps; each follows on the one before unless it says otherwise. */
export async function writeLife(
  place: AuditPlace,
  id: string,
  machine: string,
  steps: readonly Step[],
): Promise<void> {
  let from: unknown = null
  const rows = steps.map((step, index): AuditRow => {
    const {
      version,
      atMs,
      kind = index === 0 ? 'created' : 'event',
      epoch = EPOCH,
      value,
      context = {},
    } = step
    const entry = packed({
      i: id,
      e: epoch,
      v: String(version),
      c: step.commit ?? `n-${id}-${version}`,
      p: step.previous ?? (version === 1 ? '-' : `n-${id}-${version - 1}`),
      t: String(atMs),
      k: kind,
      m: JSON.stringify({
        machine,
        machineVersion: 1,
        node: 'n',
        ...(from === null ? {} : { from }),
        ...step.audit,
      }),
      s:
        value === null
          ? ''
          : JSON.stringify({ status: step.status ?? 'active', value, context, tags: [], accepts: [] }),
    })
    from = value
    const parsed = parseEntry({
      partition: 0,
      streamId: `${version}-1`,
      fields: entry.map((each) => Buffer.from(each)),
    })
    if (parsed.kind === 'reject') throw new Error(parsed.reason)
    return parsed.row
  })
  await insertRows(place.pool, rows)
}
