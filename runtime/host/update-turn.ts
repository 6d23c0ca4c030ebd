/**
 * One turn of a session's mailbox: several events, applied one after another and committed together.
 *
 * compute → commit → act. Nothing is answered before the store has compared the position that the answer rests on
 * (CM7); on `stale` everything is done again on the record that came back.
 */
import { TroupeError } from '../../actors/errors.ts'
import type { StoreOutcome } from '../../actors/ports.ts'
import { comparePositions } from '../../actors/session.ts'
import type { SessionId, SessionRecord } from '../../actors/session.ts'
import { sleep } from '../clock.ts'
import { compute, emittedBy, entryOf, typesOf } from './attempt.ts'
import type { Attempt, Verdict } from './attempt.ts'
import { runEffects } from './effects.ts'
import type { HostParts } from './host-parts.ts'
import { notFound, unexpected } from './outcome-errors.ts'
import { Patience } from './patience.ts'
import type { UpdateItem } from './requests.ts'
import type { WarmSession } from './warm-sessions.ts'

export async function takeUpdateTurn(
  parts: HostParts,
  id: SessionId,
  items: readonly UpdateItem[],
): Promise<void> {
  const patience = new Patience(parts.clock)
  let open = items
  let known: WarmSession | null = parts.warm.get(id)
  while (open.length > 0) {
    const attempt = known === null ? null : compute(parts, known, open)
    const entry = entryOf(parts, id, attempt, open, patience.reserves)
    const outcome = await parts.committer.submit(entry)
    switch (outcome.kind) {
      case 'committed':
      case 'duplicate':
        if (attempt === null || entry.kind !== 'commit') throw unexpected(id, outcome)
        settleCommitted(parts, attempt, entry.number, open, outcome)
        open = open.slice(attempt.verdicts.length)
        known = parts.warm.get(id)
        break
      case 'current':
        if (attempt === null) throw unexpected(id, outcome)
        settle(attempt.verdicts, open, attempt.base, [])
        open = open.slice(attempt.verdicts.length)
        break
      case 'stale':
        if (known !== null) patience.lose()
        known = { record: outcome.record, snapshot: null }
        parts.warm.set(known)
        break
      case 'known':
        open = settleKnown(id, open, outcome)
        known = outcome.record === null ? null : { record: outcome.record, snapshot: null }
        break
      case 'wait':
        patience.check()
        await sleep(parts.clock, outcome.ms)
        break
      case 'gone':
      case 'fenced':
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
  number: number,
  items: readonly UpdateItem[],
  outcome: Extract<StoreOutcome, { kind: 'committed' | 'duplicate' }>,
): void {
  const { base, steps } = attempt
  const record = committedRecord(attempt, `${parts.store.node}-${number}`, outcome)
  parts.warm.set({ record, snapshot: attempt.snapshot })
  const origins = new Set<object>()
  for (const { item } of steps) if (item.caller.origin !== null) origins.add(item.caller.origin)
  parts.sink.publish(
    {
      kind: 'updated',
      id: record.id,
      node: parts.store.node,
      baseVersion: base.version,
      record,
      events: typesOf(attempt),
      emitted: emittedBy(attempt).map(({ transition, event }) => ({
        version: outcome.firstVersion + transition,
        event,
      })),
    },
    origins,
  )
  // A resend found the commit done, and somebody may have been there since: answer with the newest that is known.
  const newest =
    outcome.kind === 'duplicate' && outcome.record !== null && comparePositions(outcome.record, record) > 0
      ? outcome.record
      : record
  settle(attempt.verdicts, items, newest, versionsFrom(outcome.firstVersion, steps.length))
  for (const { plan } of steps) if (plan.effects.length > 0) runEffects(plan.effects, record, parts.log)
  parts.onCommitted(record.id)
}

function committedRecord(
  { base, steps }: Attempt,
  commitId: string,
  outcome: Extract<StoreOutcome, { kind: 'committed' | 'duplicate' }>,
): SessionRecord {
  const plan = steps.at(-1)?.plan
  return {
    ...base,
    epoch: outcome.epoch,
    version: outcome.version,
    commitId,
    updatedAt: outcome.kind === 'committed' ? outcome.time : (outcome.record?.updatedAt ?? base.updatedAt),
    expiresAt:
      outcome.kind === 'committed' ? outcome.expiresAt : (outcome.record?.expiresAt ?? base.expiresAt),
    state: plan?.state ?? base.state,
    internals: plan?.internals ?? base.internals,
  }
}

function versionsFrom(first: number, count: number): number[] {
  return Array.from({ length: count }, (_, index) => first + index)
}

function settle(
  verdicts: readonly Verdict[],
  items: readonly UpdateItem[],
  record: SessionRecord,
  versions: readonly number[],
): void {
  let step = 0
  verdicts.forEach((verdict, index) => {
    const item = items[index]
    if (verdict.kind === 'refused') item?.reject(verdict.error)
    else if (verdict.kind === 'unchanged') item?.resolve({ outcome: 'unchanged', record })
    else item?.resolve({ outcome: 'committed', applied: versions[step++] ?? record.version, record })
  })
}

/** Answers the events whose keys were committed before. @returns the others */
function settleKnown(
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
    } else {
      item?.resolve({ outcome: 'duplicate', applied: version, record })
    }
  }
  const answered = new Set(hits.map(({ index }) => keyed[index]))
  return items.filter((item) => !answered.has(item))
}
