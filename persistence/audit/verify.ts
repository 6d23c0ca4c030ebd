/**
 * Questions that the audit must be able to answer about itself: is every transition there, once, and in one chain?
 * One pass over the rows through a cursor, in the order of their key. What no row can tell, since it is the last ones that are
 * missing, is asked of `troupe_sessions`, and of the rejects.
 */
import type pg from 'pg'
import { ChainCheck } from './chain.ts'
import type { ChainFinding, Doubt } from './chain.ts'
import { settle } from './doubts.ts'
import { findHeadless } from './heads.ts'
import type { NewestMissing } from './heads.ts'
import { findRejected } from './rejected.ts'
import type { Rejected } from './rejected.ts'
import { withSnapshot } from './snapshot.ts'
import type { Snapshot } from './snapshot.ts'

export type Finding = ChainFinding | NewestMissing | Rejected

export interface VerifyQuestion {
  /** Only these sessions; all by default. */
  readonly sessionIds?: readonly string[] | undefined
  /** Only what was committed since; what began before may then begin with any version. */
  readonly since?: Date | undefined
  /** First day that is still kept (`2026-01-31`), where older ones were dropped by hand; as `since`. */
  readonly keptSince?: string | undefined
  /** Findings of each kind that are kept at most; 100 by default. All are counted. */
  readonly limit?: number | undefined
  /** Called now and then with the rows so far. */
  readonly onProgress?: ((rows: number) => void) | undefined
}

export interface Verification {
  readonly rows: number
  readonly sessions: number
  /** First and last day that rows were seen of; `null`: there were none. */
  readonly days: { readonly from: string; readonly to: string } | null
  /** First day that is kept, where older ones were dropped. */
  readonly keptSince: string | null
  readonly counts: Readonly<Record<Finding['kind'], number>>
  readonly findings: readonly Finding[]
  /** Whether there is anything at all of the sessions that were asked for. */
  readonly isKnown: boolean
}

/** First rows whose base is looked up in one question. */
const DOUBTS_AT_ONCE = 500

const ROWS = `
  select session_id, epoch::text, version::text, commit_id, previous_commit_id, day::text, kind
    from troupe_transitions
   where ($1::text[] is null or session_id = any ($1)) and ($2::date is null or day >= $2)
     and ($3::timestamptz is null or day >= ($3::timestamptz at time zone 'UTC')::date and committed_at >= $3)
   order by session_id, troupe_transitions.epoch, troupe_transitions.version, commit_id`

/** Looks at the rows of one moment. What still waits in Redis is not there yet. */
export function verify(pool: pg.Pool, question: VerifyQuestion = {}): Promise<Verification> {
  const { sessionIds, since, limit = 100, onProgress } = question
  return withSnapshot(pool, async (snapshot) => {
    // No day goes while this looks; and of those that went it is noted before.
    await snapshot.query('lock table troupe_transitions in access share mode')
    const retention = await snapshot.query<{ kept_since: string }>(
      'select kept_since::text from troupe_retention',
    )
    const keptSince = laterOf(question.keptSince ?? null, retention[0]?.kept_since ?? null)
    const chain = { missing: 0, fork: 0, 'broken-chain': 0, 'taken-back': 0, 'no-end': 0 }
    const counts = { ...chain, 'newest-missing': 0, rejected: 0 }
    const findings: Finding[] = []
    const onFinding = (finding: Finding): void => {
      if (++counts[finding.kind] <= limit) findings.push(finding)
    }
    let doubts: Doubt[] = []
    const check = new ChainCheck({
      opensBefore: epochOf(since, keptSince),
      onFinding,
      onDoubt: (doubt) => doubts.push(doubt),
    })
    let [first, last] = ['9999', '']
    const values = [sessionIds ?? null, keptSince, since ?? null]
    for await (const rows of snapshot.rows(ROWS, values)) {
      for (const [sessionId, epoch, version, commitId, previousCommitId, day, kind] of rows) {
        check.take({
          sessionId: sessionId ?? '',
          epoch: epoch ?? '',
          version: Number(version),
          commitId: commitId ?? '',
          previousCommitId: previousCommitId ?? null,
          transition: kind ?? '',
        })
        if (typeof day !== 'string') continue
        if (day < first) first = day
        if (day > last) last = day
      }
      onProgress?.(check.rows)
      while (doubts.length >= DOUBTS_AT_ONCE)
        await settle(snapshot, doubts.splice(0, DOUBTS_AT_ONCE), keptSince, onFinding)
    }
    check.end()
    for (; doubts.length > 0; doubts = doubts.slice(DOUBTS_AT_ONCE))
      await settle(snapshot, doubts.slice(0, DOUBTS_AT_ONCE), keptSince, onFinding)
    for await (const finding of findHeadless(snapshot, sessionIds, keptSince, since)) onFinding(finding)
    const rejected = await findRejected(snapshot, sessionIds, since)
    findings.push(...rejected.first.slice(0, limit))
    counts.rejected = rejected.count
    const { rows, sessions } = check
    const days = rows === 0 ? null : { from: first, to: last }
    const known = rows > 0 || (await isKnown(snapshot, sessionIds))
    return { rows, sessions, days, keptSince, counts, findings, isKnown: known }
  })
}

function laterOf(a: string | null, b: string | null): string | null {
  return a === null || (b !== null && b > a) ? b : a
}

/** Epochs before this one began before what is looked at; `null`: all is looked at. */
function epochOf(since: Date | undefined, keptSince: string | null): string | null {
  if (since === undefined && keptSince === null) return null
  const fromMs = Math.max(0, since?.getTime() ?? 0, keptSince === null ? 0 : Date.parse(keptSince))
  return String(fromMs * 1_000)
}

const KNOWN = `
  select exists (select 1 from troupe_transitions where session_id = any ($1))
           or exists (select 1 from troupe_sessions where session_id = any ($1))
           or exists (select 1 from troupe_rejects where session_id = any ($1)) as is_known`

async function isKnown(snapshot: Snapshot, sessionIds: readonly string[] | undefined): Promise<boolean> {
  if (sessionIds === undefined) return true
  const [found] = await snapshot.query<{ is_known: boolean }>(KNOWN, [sessionIds])
  return found?.is_known === true
}

const kinds: readonly Finding['kind'][] = ['missing', 'fork', 'broken-chain', 'no-end', 'newest-missing']

/**
 * What is missing, forked or out of line in the audit; empty if versions of each epoch are consecutive up to its end or the
 * newest one, with one commit a position. Ask when the outboxes are empty: what still waits in Redis is not there yet. What a
 * server took back is in order here, and what was rejected is told elsewhere: see {@link verify}.
 */
export async function findGaps(pool: pg.Pool, question: VerifyQuestion = {}): Promise<Finding[]> {
  const { findings } = await verify(pool, question)
  return kinds.flatMap((kind) => findings.filter((finding) => finding.kind === kind))
}
