/**
 * Questions that the audit must be able to answer about itself: is every transition there, once, and in one chain?
 * One pass over the rows through a cursor, in the order of their key.
 */
import type pg from 'pg'
import { ChainCheck } from './chain.ts'
import type { Doubt, Finding } from './chain.ts'
import { withSnapshot } from './snapshot.ts'
import type { Snapshot } from './snapshot.ts'

export interface VerifyQuestion {
  /** Only these sessions; all by default. */
  readonly sessionIds?: readonly string[] | undefined
  /** Only what was committed since; a session may then begin with any version. */
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
}

/** Raised epochs whose base is looked up in one question. */
const DOUBTS_AT_ONCE = 500

const ROWS = `
  select session_id, epoch::text, version::text, commit_id, previous_commit_id, day::text
    from troupe_transitions
   where ($1::text[] is null or session_id = any ($1)) and ($2::date is null or day >= $2)
     and ($3::timestamptz is null or day >= ($3::timestamptz at time zone 'UTC')::date and committed_at >= $3)
   order by session_id, troupe_transitions.epoch, troupe_transitions.version, commit_id`

/** The doubts, by their place, whose base is in an earlier epoch. */
const SETTLE = `
  select doubt.place::integer as place
    from unnest($1::text[], $2::bigint[], $3::bigint[], $4::text[]) with ordinality
           as doubt (session_id, epoch, version, previous_commit_id, place)
   where exists (select 1 from troupe_transitions earlier
                  where earlier.session_id = doubt.session_id collate "C" and earlier.epoch < doubt.epoch
                    and earlier.version = doubt.version - 1
                    and earlier.commit_id = doubt.previous_commit_id collate "C")`

/**
 * Looks at the rows of one moment. What still waits in Redis is not there yet, and what PostgreSQL refused stands among
 * the rejects.
 */
export function verify(pool: pg.Pool, question: VerifyQuestion = {}): Promise<Verification> {
  const { sessionIds, since, limit = 100, onProgress } = question
  return withSnapshot(pool, async (snapshot) => {
    // No day goes while this looks; and of those that went it is noted before.
    await snapshot.query('lock table troupe_transitions in access share mode')
    const retention = await snapshot.query<{ kept_since: string }>(
      'select kept_since::text from troupe_retention',
    )
    const keptSince = laterOf(question.keptSince ?? null, retention[0]?.kept_since ?? null)
    const counts = { missing: 0, fork: 0, 'broken-chain': 0, 'taken-back': 0 }
    const findings: Finding[] = []
    const onFinding = (finding: Finding): void => {
      if (++counts[finding.kind] <= limit) findings.push(finding)
    }
    let doubts: Doubt[] = []
    const check = new ChainCheck({
      opensAnywhere: since !== undefined || keptSince !== null,
      onFinding,
      onDoubt: (doubt) => doubts.push(doubt),
    })
    let [first, last] = ['9999', '']
    const values = [sessionIds ?? null, keptSince, since ?? null]
    for await (const rows of snapshot.rows(ROWS, values)) {
      for (const [sessionId, epoch, version, commitId, previousCommitId, day] of rows) {
        check.take({
          sessionId: sessionId ?? '',
          epoch: epoch ?? '',
          version: Number(version),
          commitId: commitId ?? '',
          previousCommitId: previousCommitId ?? null,
        })
        if (typeof day !== 'string') continue
        if (day < first) first = day
        if (day > last) last = day
      }
      onProgress?.(check.rows)
      while (doubts.length >= DOUBTS_AT_ONCE)
        await settle(snapshot, doubts.splice(0, DOUBTS_AT_ONCE), onFinding)
    }
    check.end()
    for (; doubts.length > 0; doubts = doubts.slice(DOUBTS_AT_ONCE))
      await settle(snapshot, doubts.slice(0, DOUBTS_AT_ONCE), onFinding)
    const { rows, sessions } = check
    const days = rows === 0 ? null : { from: first, to: last }
    return { rows, sessions, days, keptSince, counts, findings }
  })
}

function laterOf(a: string | null, b: string | null): string | null {
  return a === null || (b !== null && b > a) ? b : a
}

async function settle(
  snapshot: Snapshot,
  doubts: readonly Doubt[],
  onFinding: (finding: Finding) => void,
): Promise<void> {
  const found = await snapshot.query<{ place: number }>(SETTLE, [
    doubts.map(({ sessionId }) => sessionId),
    doubts.map(({ epoch }) => epoch),
    doubts.map(({ version }) => version),
    doubts.map(({ previousCommitId }) => previousCommitId),
  ])
  const settled = new Set(found.map(({ place }) => place - 1))
  for (const [index, { sessionId, epoch, version }] of doubts.entries())
    if (!settled.has(index)) onFinding({ kind: 'missing', sessionId, epoch, from: 1, to: version - 1 })
}

const kinds: readonly Finding['kind'][] = ['missing', 'fork', 'broken-chain']

/**
 * What is missing, forked or out of line in the audit; empty if versions of each epoch are consecutive, with one
 * commit a position. Ask when the outboxes are empty: what still waits in Redis is not there yet. What a server took back
 * is in order here: see {@link verify}.
 */
export async function findGaps(pool: pg.Pool, question: VerifyQuestion = {}): Promise<Finding[]> {
  const { findings } = await verify(pool, question)
  return kinds.flatMap((kind) => findings.filter((finding) => finding.kind === kind))
}
