/**
 * Questions that the audit must be able to answer about itself: is every transition there, once, and in one chain?
 */
import type pg from 'pg'

export type Gap =
  /** Versions `from` to `to` of this epoch are not there, though later ones are. */
  | {
      readonly kind: 'missing'
      readonly sessionId: string
      readonly epoch: string
      readonly from: number
      readonly to: number
    }
  /** Several commits claim one position: a branch that Redis took back, or a fault. */
  | {
      readonly kind: 'fork'
      readonly sessionId: string
      readonly epoch: string
      readonly version: number
      readonly commitIds: readonly string[]
    }
  /** A transition names a commit before it that is not the one stored before it. */
  | {
      readonly kind: 'broken-chain'
      readonly sessionId: string
      readonly epoch: string
      readonly version: number
      readonly commitId: string
      readonly previousCommitId: string | null
    }

export interface GapQuestion {
  /** Only these sessions; all by default. */
  readonly sessionIds?: readonly string[]
  /** Findings of each kind at most; 100 by default. */
  readonly limit?: number
  /**
   * First day that is still kept (`2026-01-31`), where older ones were dropped: the first row of a session since
   * then may be any version.
   */
  readonly keptSince?: string
}

/** Rows as all three questions see them; `$1`: session ids or null, `$2`: limit, `$3`: first day kept or null. */
const ROWS = `
  rows as (
    select session_id, epoch, version, commit_id, previous_commit_id, kind
      from troupe_transitions
     where ($1::text[] is null or session_id = any ($1)) and ($3::date is null or day >= $3)
  )`

/*
 * An epoch begins with version 1, unless it was raised: then it goes on from a commit of an epoch before. Version 0 is
 * the expiry of a session whose record had vanished; nothing else is known of it.
 */
const MISSING = `
  with ${ROWS}, positions as (
    select distinct session_id, epoch, version from rows where version > 0
  ), steps as (
    select session_id, epoch, version,
           lag(version) over (partition by session_id, epoch order by version) as before
      from positions
  )
  select session_id, epoch::text, coalesce(before, 0) + 1 as "from", version - 1 as "to"
    from steps
   where version > coalesce(before, 0) + 1
     and (before is not null
          or $3::date is null and not exists (
            select 1 from rows first join rows earlier
                on earlier.session_id = first.session_id and earlier.epoch < first.epoch
               and earlier.commit_id = first.previous_commit_id and earlier.version = first.version - 1
             where first.session_id = steps.session_id and first.epoch = steps.epoch and first.version = steps.version))
   order by session_id, steps.epoch, version
   limit $2`

const FORKS = `
  with ${ROWS}
  select session_id, epoch::text, version, array_agg(commit_id order by commit_id) as commit_ids
    from rows
   group by session_id, rows.epoch, version
  having count(*) > 1
   order by session_id, rows.epoch, version
   limit $2`

/*
 * The transitions of one commit all name the commit before it. A row's predecessor is any commit of the version
 * before: where there are several, the question after forks tells.
 */
const CHAIN = `
  with ${ROWS}
  select session_id, epoch::text, version, commit_id, previous_commit_id
    from rows
   where version > 1
     and exists (select 1 from rows before
                  where before.session_id = rows.session_id and before.epoch = rows.epoch and before.version = rows.version - 1)
     and not exists (select 1 from rows before
                      where before.session_id = rows.session_id and before.epoch = rows.epoch
                        and before.version = rows.version - 1
                        and (before.commit_id = rows.previous_commit_id
                             or before.commit_id = rows.commit_id
                                and before.previous_commit_id is not distinct from rows.previous_commit_id))
   order by session_id, rows.epoch, version
   limit $2`

/**
 * What is missing, forked or out of line in the audit; empty if versions of each epoch are consecutive, with one
 * commit a position. Ask when the outboxes are empty: what still waits in Redis is not there yet.
 */
export async function findGaps(pool: pg.Pool, question: GapQuestion = {}): Promise<Gap[]> {
  const values = [question.sessionIds ?? null, question.limit ?? 100, question.keptSince ?? null]
  interface Where {
    readonly session_id: string
    readonly epoch: string
  }
  const missing = await pool.query<Where & { from: string; to: string }>(MISSING, values)
  const forks = await pool.query<Where & { version: string; commit_ids: string[] }>(FORKS, values)
  const broken = await pool.query<
    Where & { version: string; commit_id: string; previous_commit_id: string | null }
  >(CHAIN, values)
  return [
    ...missing.rows.map((row): Gap => ({
      kind: 'missing',
      ...at(row),
      from: Number(row.from),
      to: Number(row.to),
    })),
    ...forks.rows.map((row): Gap => ({
      kind: 'fork',
      ...at(row),
      version: Number(row.version),
      commitIds: row.commit_ids,
    })),
    ...broken.rows.map((row): Gap => ({
      kind: 'broken-chain',
      ...at(row),
      version: Number(row.version),
      commitId: row.commit_id,
      previousCommitId: row.previous_commit_id,
    })),
  ]

  function at(row: Where): { sessionId: string; epoch: string } {
    return { sessionId: row.session_id, epoch: row.epoch }
  }
}
