/** What follows a commit on the process that made it, in this order: subscribers, the sender, actions, timers, the audit. */
import { messageOf } from '../../actors/errors.ts'
import type { Effect, Live, Plan } from '../../actors/plan.ts'
import type { CommitEntry, StoreOutcome } from '../../actors/ports.ts'
import { comparePositions } from '../../actors/session.ts'
import type { SessionRecord } from '../../actors/session.ts'
import { runEffects } from './effects.ts'
import type { HostParts } from './host-parts.ts'

type Done = Extract<StoreOutcome, { kind: 'committed' | 'duplicate' }>

/** The record that a commit has written. */
export function committedRecord(
  parts: HostParts,
  entry: CommitEntry,
  base: SessionRecord,
  plan: Plan,
  outcome: Done,
): SessionRecord {
  // A resend found the commit done: what only the script knows stands in the record, unless that has gone on since.
  const told = outcome.kind === 'committed' ? outcome : outcome.record
  // Member by member: to copy objects and change the copies costs as much as to make a transition.
  return {
    id: base.id,
    epoch: outcome.epoch,
    version: outcome.version,
    commitId: `${parts.store.node}-${entry.number}`,
    machine: base.machine,
    machineVersion: entry.machineVersion,
    createdAt: base.createdAt,
    updatedAt: outcome.kind === 'committed' ? outcome.time : (outcome.record?.updatedAt ?? base.updatedAt),
    expiresAt: told === null ? base.expiresAt : told.expiresAt,
    ttlMs: base.ttlMs,
    doneTtlMs: base.doneTtlMs,
    timers: told?.timers ?? '-',
    runs: entry.runs,
    writers: told?.writers ?? '-',
    state: plan.state,
    internals: plan.internals,
  }
}

/** The newest that is known after a commit: somebody may have been there since, if it was found done. */
export function newestAfter(outcome: Done, record: SessionRecord): SessionRecord {
  const found = outcome.kind === 'duplicate' ? outcome.record : null
  return found !== null && comparePositions(found, record) > 0 ? found : record
}

export interface AfterCommit {
  readonly entry: CommitEntry
  /** Which process ran which promise actors before it. */
  readonly runsBefore: string
  readonly record: SessionRecord
  readonly live: Live | null
  readonly effects: readonly Effect[]
  /** Connections whose reply carries it. */
  readonly origins: ReadonlySet<object>
  /** Answers the senders. */
  readonly answer: () => void
}

/** Does it, in that order. */
export function afterCommit(
  parts: HostParts,
  outcome: Done,
  { entry, runsBefore, record, live, effects, origins, answer }: AfterCommit,
): void {
  const { id, base, events } = entry
  // After a resend it is not known when the timers are due, or whether it is still the newest.
  if (outcome.kind === 'committed') parts.warm.set({ record, live })
  else parts.warm.delete(id)
  const emitted = entry.emitted.map(({ transition, event }) => ({
    version: outcome.firstVersion + transition,
    event,
  }))
  parts.sink.publish(
    {
      kind: 'updated',
      id,
      node: parts.store.node,
      baseVersion: base?.version ?? 0,
      record,
      events,
      emitted,
    },
    origins,
  )
  answer()
  runEffects(effects, record, parts.log)
  if (record.timers !== '-') parts.onTimers(record)
  if (live?.snapshot.status === 'error') {
    const { machine, version } = record
    const reason = messageOf(live.snapshot.error)
    parts.log.error(
      { id, machine, version, events, reason },
      'a session has ended with an error of its machine',
    )
  }
  parts.onRuns(record, live, runsBefore, outcome.kind === 'committed')
  if (entry.transitions.some(({ mail }) => mail.length > 0)) parts.onMail(id)
  parts.onCommitted(id)
}
