/** Answers of `commit.lua` as outcomes. */
import type { StoreEntry, StoreOutcome } from '../actors/ports.ts'
import { parseRecord } from '../actors/record-text.ts'
import type { EndReason, SessionId, SessionRecord } from '../actors/session.ts'

/** A text: the commit found its session as it was known, and this is when, and when that expires. */
export type Reply = string | readonly [string, ...unknown[]]

/** What a server says that will take writes again later. */
const REFUSED_FOR_NOW = /^(OOM|READONLY|MISCONF|NOREPLICAS|MASTERDOWN|CLUSTERDOWN|TRYAGAIN|LOADING)\b/

/** @param writers in the record that a commit at a glance has made */
export function parseOutcome(entry: StoreEntry, reply: Reply, writers: string | null): StoreOutcome {
  const { id } = entry
  if (typeof reply === 'string') return writtenAtAGlance(entry, reply, writers)
  const [kind, ...rest] = reply
  const text = (index: number): string => String(rest[index])
  const number = (index: number): number => Number(rest[index])
  switch (kind) {
    case 'committed':
      return {
        kind,
        epoch: text(0),
        firstVersion: number(1) - (entry.kind === 'commit' ? entry.transitions.length - 1 : 0),
        version: number(1),
        time: number(2),
        createdAt: number(3),
        expiresAt: number(4) || null,
        timers: text(5),
        writers: text(6),
      }
    case 'duplicate':
      return {
        kind,
        epoch: text(0),
        firstVersion: number(1),
        version: number(2),
        record: recordAt(id, text(3), text(4)),
      }
    case 'known': {
      const hits = rest.slice(2) as [number, number, string, number][]
      return {
        kind,
        record: recordAt(id, text(0), text(1)),
        hits: hits.map(([index, reused, epoch, version]) => ({
          index: index - 1,
          reused: reused === 1,
          epoch,
          version,
        })),
      }
    }
    case 'current':
      return { kind }
    case 'stale': {
      const record = recordAt(id, text(0), text(1))
      if (record === null) return refused(`the record of session ${id} cannot be read`)
      return { kind, record }
    }
    case 'gone':
      return text(1) === ''
        ? { kind, reason: null, position: null }
        : { kind, reason: text(0) as EndReason, position: { epoch: text(1), version: number(2) } }
    case 'fenced':
      return { kind, machineVersion: number(0) }
    case 'wait':
      return { kind, ms: number(0) }
    case 'early':
      return { kind, dueMs: number(0) || null }
    default:
      return refused(text(0))
  }
}

/** Of such a commit the process itself knows all but the times. */
function writtenAtAGlance(entry: StoreEntry, reply: string, writers: string | null): StoreOutcome {
  if (entry.kind !== 'commit' || entry.found === undefined || writers === null)
    return refused(`the server has answered a ${entry.kind} as it answers commits`)
  const { found, transitions } = entry
  const { epoch, version, createdAt } = found
  const gap = reply.indexOf(' ')
  return {
    kind: 'committed',
    epoch,
    firstVersion: version + 1,
    version: version + transitions.length,
    time: Number(reply.slice(0, gap)),
    createdAt,
    expiresAt: Number(reply.slice(gap + 1)) || null,
    timers: '-',
    writers,
  }
}

/** A record with the epoch that holds now: its own, or the floor that was raised since. */
function recordAt(id: SessionId, epoch: string, raw: string): SessionRecord | null {
  if (raw === '') return null
  const record = parseRecord(id, raw)
  return record === null || record.epoch === epoch ? record : { ...record, epoch }
}

function refused(message: string): StoreOutcome {
  return { kind: 'refused', retryable: REFUSED_FOR_NOW.test(message), message }
}

/** Whether this error of a whole call surely wrote nothing, and the server will take writes again later. */
export function isRefusal(message: string): boolean {
  return REFUSED_FOR_NOW.test(message)
}
