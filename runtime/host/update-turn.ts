/**
 * One turn of a session's mailbox: several events, applied one after another and committed together.
 *
 * compute → commit → act. Nothing is answered before the store has compared the position that the answer rests on
 * (CM7); on `stale` everything is done again on the record that came back.
 */
import { TroupeError } from '../../actors/errors.ts'
import type { CommitEntry, StoreOutcome } from '../../actors/ports.ts'
import type { SessionId, SessionRecord } from '../../actors/session.ts'
import { afterCommit, committedRecord, newestAfter } from './after-commit.ts'
import { compute, updateEntry } from './attempt.ts'
import type { Attempt, Verdict } from './attempt.ts'
import type { HostParts } from './host-parts.ts'
import { takeInternalTurn } from './internal-turn.ts'
import { notFound, notSeen, unexpected } from './outcome-errors.ts'
import { Patience, submitInTurn } from './patience.ts'
import type { UpdateItem } from './requests.ts'
import type { WarmSession } from './warm-sessions.ts'

/** Events of clients to one session, as many as wait, in one commit. Settles each item. @throws StoreFailure */
export async function takeUpdateTurn(
  parts: HostParts,
  id: SessionId,
  items: readonly UpdateItem[],
): Promise<void> {
  const patience = new Patience(parts.clock)
  let open = items
  let known: WarmSession | null = parts.warm.get(id)
  while (open.length > 0) {
    if (known !== null && parts.versions.migrationOf(known.record) !== null) {
      await takeInternalTurn(parts, id, () => null)
      known = parts.warm.get(id)
    }
    const attempt = known === null ? null : compute(parts, known, open)
    const entry = updateEntry(parts, id, attempt, open, patience.reserves)
    const outcome = await submitInTurn(parts, entry, patience)
    switch (outcome.kind) {
      case 'committed':
      case 'duplicate':
        if (attempt === null || entry.kind !== 'commit') throw unexpected(id, outcome)
        settleCommitted(parts, attempt, entry, open, outcome)
        open = open.slice(attempt.verdicts.length)
        if (open.length > 0) known = parts.warm.get(id)
        break
      case 'current':
        if (attempt === null) throw unexpected(id, outcome)
        settle(attempt.verdicts, open, () => attempt.base, [])
        if (attempt.live !== null) parts.warm.set({ record: attempt.base, live: attempt.live })
        open = open.slice(attempt.verdicts.length)
        break
      case 'stale':
        if (known !== null) patience.lose()
        known = { record: outcome.record, live: null }
        parts.warm.set(known)
        break
      case 'known':
        open = settleKnown(parts, id, open, outcome)
        known = outcome.record === null ? null : { record: outcome.record, live: null }
        break
      case 'fenced':
        // It was migrated elsewhere: what it is now is to be seen.
        parts.warm.delete(id)
        patience.lose()
        known = null
        break
      case 'gone':
        parts.warm.delete(id)
        throw unexpected(id, outcome)
      case 'early':
      case 'refused':
        throw unexpected(id, outcome)
    }
  }
}

function settleCommitted(
  parts: HostParts,
  attempt: Attempt,
  entry: CommitEntry,
  items: readonly UpdateItem[],
  outcome: Extract<StoreOutcome, { kind: 'committed' | 'duplicate' }>,
): void {
  const { base, steps, live } = attempt
  const last = steps.at(-1)
  if (last === undefined) throw unexpected(entry.id, outcome)
  const record = committedRecord(parts, entry, base, last.plan, outcome)
  const origins = new Set<object>()
  for (const { item } of steps) if (item.caller.origin !== null) origins.add(item.caller.origin)
  const versions = versionsFrom(outcome.firstVersion, steps.length)
  afterCommit(parts, outcome, {
    entry,
    runsBefore: base.runs,
    record,
    live,
    effects: steps.flatMap(({ plan }) => plan.effects),
    origins,
    answer: () => settle(attempt.verdicts, items, recordFor(parts, attempt, outcome, record), versions),
  })
}

/**
 * What the sender of an event gets to see, by how many steps of the turn had been taken with it: the newest that is known; where
 * a rule may forbid what others have made of the session, the one that its own event led to.
 */
function recordFor(
  { versions }: HostParts,
  { base, steps }: Attempt,
  outcome: Extract<StoreOutcome, { kind: 'committed' | 'duplicate' }>,
  record: SessionRecord,
): (taken: number) => SessionRecord {
  if (versions.kernelOf(base).definition.authorize === undefined) {
    const newest = newestAfter(outcome, record)
    return () => newest
  }
  return (taken) => {
    const plan = steps[taken - 1]?.plan
    if (plan === undefined) return base
    const { state, internals } = plan
    return { ...record, version: outcome.firstVersion + taken - 1, state, internals }
  }
}

function versionsFrom(first: number, count: number): number[] {
  return Array.from({ length: count }, (_, index) => first + index)
}

function settle(
  verdicts: readonly Verdict[],
  items: readonly UpdateItem[],
  recordAt: (taken: number) => SessionRecord,
  versions: readonly number[],
): void {
  let step = 0
  verdicts.forEach((verdict, index) => {
    const item = items[index]
    if (verdict.kind === 'refused') item?.reject(verdict.error)
    else if (verdict.kind === 'unchanged') item?.resolve({ outcome: 'unchanged', record: recordAt(step) })
    else {
      const applied = versions[step++] ?? 0
      item?.resolve({ outcome: 'committed', applied, record: recordAt(step) })
    }
  })
}

/** Answers the events whose keys were committed before. @returns the others */
function settleKnown(
  parts: HostParts,
  id: SessionId,
  items: readonly UpdateItem[],
  { hits, record }: Extract<StoreOutcome, { kind: 'known' }>,
): UpdateItem[] {
  const keyed = items.filter(({ key }) => key !== null)
  for (const { index, reused, version } of hits) {
    const item = keyed[index]
    if (reused) {
      item?.reject(
        new TroupeError('key_reused', `key ${JSON.stringify(item.request.key)} was used for another event`),
      )
    } else if (record === null) {
      item?.reject(notFound(id))
    } else if (item !== undefined) {
      const error = notSeen(parts, record, item, 'update', { outcome: 'duplicate', applied: version })
      if (error === null) item.resolve({ outcome: 'duplicate', applied: version, record })
      else item.reject(error)
    }
  }
  const answered = new Set(hits.map(({ index }) => keyed[index]))
  return items.filter((item) => !answered.has(item))
}
