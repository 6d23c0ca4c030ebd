/**
 * One pass over the outboxes of some partitions, on its way to PostgreSQL. The order is what makes it exactly once:
 *
 * 1. read the oldest entries,
 * 2. write them (again, if an earlier run died after this step: a row that is there is skipped),
 * 3. delete exactly them.
 *
 * Nothing is deleted that was not committed by PostgreSQL before, as a row or as a reject.
 */
import type pg from 'pg'
import { DAY_MS, dayOf, ensureDays, hasOwnPartition } from './days.ts'
import { describeRaw, parseEntry, type AuditRow, type OutboxEntry } from './entry.ts'
import { classifyFailure, reasonOf } from './failure.ts'
import type { FaultHook } from './fault-points.ts'
import type { Outbox, OutboxReference } from './outbox.ts'
import { insertRejects, insertRows, type Reject } from './table.ts'

export interface DrainResult {
  /** Entries found. */
  readonly read: number
  /** Rows that were not in PostgreSQL before. */
  readonly rows: number
  readonly rejected: number
  /** Whether the outboxes may hold more. */
  readonly more: boolean
}

export interface DrainParts {
  readonly outbox: Outbox
  readonly pool: pg.Pool
  /** Days that surely have a partition. Grows as they are made. */
  readonly knownDays: Set<string>
  readonly faultPoint?: FaultHook | undefined
}

interface Refusal {
  readonly partition: number
  readonly streamId: string
  readonly reason: string
  /** Of the row that was refused; absent where the entry was no row at all. */
  readonly commitId?: string
}

/**
 * Moves the oldest entries, at most `batch` of each partition, to PostgreSQL, in statements of at most `batch` rows.
 * Failures of either server are thrown as they come.
 */
export async function drain(
  parts: DrainParts,
  partitions: readonly number[],
  batch: number,
): Promise<DrainResult> {
  const { outbox, faultPoint } = parts
  await faultPoint?.('before-read')
  const { entries, more } = await outbox.readOldest(partitions, batch)
  if (entries.length === 0) return { read: 0, rows: 0, rejected: 0, more: false }
  await faultPoint?.('after-read')

  let rows = 0
  let rejected = 0
  // Parts of about one size: a last one of a few rows costs almost as much as a full one.
  const size = Math.ceil(entries.length / Math.ceil(entries.length / batch))
  for (let from = 0; from < entries.length; from += size) {
    const moved = await moveEntries(parts, entries.slice(from, from + size))
    rows += moved.rows
    rejected += moved.rejected
  }
  return { read: entries.length, rows, rejected, more }
}

async function moveEntries(
  parts: DrainParts,
  entries: readonly OutboxEntry[],
): Promise<{ rows: number; rejected: number }> {
  const { outbox, faultPoint } = parts
  const rows: AuditRow[] = []
  const refusals: Refusal[] = []
  for (const entry of entries) {
    const parsed = parseEntry(entry)
    if (parsed.kind === 'row') rows.push(parsed.row)
    else refusals.push(parsed)
  }

  await makeDays(parts, rows)
  await faultPoint?.('before-insert')
  const written: AuditRow[] = []
  const count = await insertIsolating(parts, rows, written, refusals)
  await faultPoint?.('after-insert')

  let rejected: OutboxReference[] = []
  if (refusals.length > 0) {
    await faultPoint?.('before-reject')
    rejected = await keepRejects(parts, refusals)
    await faultPoint?.('after-reject')
  }

  await faultPoint?.('before-delete')
  await outbox.delete(written)
  await outbox.deleteEach(rejected)
  await faultPoint?.('after-delete')
  return { rows: count, rejected: refusals.length }
}

async function makeDays({ pool, knownDays }: DrainParts, rows: readonly AuditRow[]): Promise<void> {
  const now = Date.now()
  const needed = new Set<string>()
  let last = -1
  for (const { timeMs } of rows) {
    // Neighbours are mostly of the same day: look at each day once.
    const time = Number(timeMs)
    const number = Math.floor(time / DAY_MS)
    if (number === last) continue
    last = number
    const day = dayOf(time)
    if (!knownDays.has(day) && hasOwnPartition(day, now)) needed.add(day)
  }
  if (needed.size === 0) return
  for (const day of await ensureDays(pool, [...needed])) knownDays.add(day)
}

/**
 * Writes rows; where PostgreSQL refuses what one of them holds, halves them until the one is found. Its neighbours
 * are written as if it were not there.
 *
 * @returns how many rows are new.
 */
async function insertIsolating(
  parts: DrainParts,
  rows: readonly AuditRow[],
  written: AuditRow[],
  refusals: Refusal[],
): Promise<number> {
  if (rows.length === 0) return 0
  try {
    const count = await insertRows(parts.pool, rows, parts.faultPoint)
    for (const row of rows) written.push(row)
    return count
  } catch (error) {
    if (classifyFailure(error) !== 'data') throw error
    const [only] = rows
    if (rows.length === 1 && only !== undefined) {
      refusals.push({
        partition: only.partition,
        streamId: only.streamId,
        commitId: only.commitId,
        reason: `PostgreSQL refused it: ${reasonOf(error)}`,
      })
      return 0
    }
    const half = rows.length >> 1
    const first = await insertIsolating(parts, rows.slice(0, half), written, refusals)
    return first + (await insertIsolating(parts, rows.slice(half), written, refusals))
  }
}

/** Stores refused entries byte for byte. @returns what to delete. */
async function keepRejects(
  { outbox, pool }: DrainParts,
  refusals: readonly Refusal[],
): Promise<OutboxReference[]> {
  const rejects: Reject[] = []
  const references: OutboxReference[] = []
  for (const { partition, streamId, reason, commitId } of refusals) {
    const fields = await outbox.readRaw(partition, streamId)
    if (fields === null) continue // another process was faster
    const found = describeRaw(fields)
    // Redis lost the entry and gave its id to another commit, which was never refused: leave it to the next read.
    if (commitId !== undefined && found.commitId.toString() !== commitId) continue
    rejects.push({ partition, streamId, sessionId: found.sessionId, reason, fields })
    references.push({ partition, streamId, commitId: found.commitId })
  }
  await insertRejects(pool, rejects)
  return references
}
