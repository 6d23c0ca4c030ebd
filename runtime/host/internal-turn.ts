/**
 * A turn of a session that no client asked for: a timer, the result of a promise, a takeover, a migration. Computes on what is known, commits,
 * and on `stale` computes again; what it wanted to do may not be wanted any more by then.
 */
import { migratedFrom } from '../../actors/migration.ts'
import type { Plan } from '../../actors/plan.ts'
import type { CommitEntry, CommittedTransition } from '../../actors/ports.ts'
import { encodeRuns } from '../../actors/runs.ts'
import type { SessionId, SessionRecord } from '../../actors/session.ts'
import { encodeTimers } from '../../actors/timers.ts'
import { afterCommit, committedRecord } from './after-commit.ts'
import { auditOfInternal } from './audit-text.ts'
import type { HostParts } from './host-parts.ts'
import { unexpected } from './outcome-errors.ts'
import { Patience, submitInTurn } from './patience.ts'
import { checkSize } from './session-size.ts'
import type { WarmSession } from './warm-sessions.ts'

/** What one step of the turn is to commit. */
export interface InternalStep {
  readonly kind: CommittedTransition['kind']
  readonly plan: Plan
  /** The event that it was, for the audit and the feed. */
  readonly event: { readonly type: string }
  /** What the machine threw at it. */
  readonly failed?: string
  /** The session that sent it. */
  readonly sender?: string
  /** The time of the timer that it fires. */
  readonly firesAt?: number
  /** Version of the definition that the session goes on with, where it changes. */
  readonly machineVersion?: number
}

/** `null`: there is nothing to do. */
export type ComputeStep = (known: WarmSession) => InternalStep | null

/** One a turn: a machine that keeps arming itself, or others that keep writing to it, must not keep everybody else out. */
const ONE_A_TURN: readonly CommittedTransition['kind'][] = ['timer', 'overdue', 'mail']

/** Repeats until there is nothing to do. @returns whether there is such a session @throws TroupeError, StoreFailure */
export async function takeInternalTurn(
  parts: HostParts,
  id: SessionId,
  compute: ComputeStep,
): Promise<boolean> {
  const patience = new Patience(parts.clock)
  let known: WarmSession | null = parts.warm.get(id)
  let isCurrent = false
  for (;;) {
    const step = known === null ? null : (migrationStep(parts, known) ?? compute(known))
    // That there is nothing to do must not rest on what was warm: another process may have armed what is due (CM7).
    if (known !== null && step === null && isCurrent) return true
    const reserve = patience.reserves
    const entry =
      known === null || step === null
        ? ({ kind: 'check', id, keys: [], reserve, base: known?.record ?? null } as const)
        : { ...stepEntry(parts, known.record, step), reserve, number: parts.nextNumber() }
    const outcome = await submitInTurn(parts, entry, patience)
    switch (outcome.kind) {
      case 'committed':
      case 'duplicate': {
        if (known === null || step === null || entry.kind !== 'commit') throw unexpected(id, outcome)
        const record = committedRecord(parts, entry, known.record, step.plan, outcome)
        const { live, effects } = step.plan
        const answer = (): void => undefined
        afterCommit(parts, outcome, {
          entry,
          runsBefore: known.record.runs,
          record,
          live,
          effects,
          origins: new Set(),
          answer,
        })
        if (ONE_A_TURN.includes(step.kind)) return true
        known = parts.warm.get(id)
        isCurrent = outcome.kind === 'committed'
        break
      }
      case 'stale':
        if (known !== null) patience.lose()
        known = { record: outcome.record, live: null }
        parts.warm.set(known)
        isCurrent = true
        break
      case 'current':
        return true
      case 'early':
        // Our idea of Redis' clock was ahead; the record is as it was.
        if (known !== null) parts.onTimers(known.record)
        return true
      case 'gone':
        parts.warm.delete(id)
        return false
      case 'fenced':
        // It was migrated elsewhere: what it is now is to be seen.
        parts.warm.delete(id)
        patience.lose()
        known = null
        isCurrent = false
        break
      default:
        throw unexpected(id, outcome)
    }
  }
}

function stepEntry(
  parts: HostParts,
  record: SessionRecord,
  { kind, plan, event, failed, sender, firesAt, machineVersion = record.machineVersion }: InternalStep,
): Omit<CommitEntry, 'reserve' | 'number'> {
  const { id, machine, ttlMs, doneTtlMs } = record
  const { node } = parts.store
  const { definition } = parts.versions.kernelOf({ machine, machineVersion })
  const about = { definition, node, principal: null, warn: parts.warnOfRedaction }
  return {
    kind: 'commit',
    id,
    keys: [],
    base: record,
    found: record,
    machine,
    machineVersion,
    ttlMs,
    doneTtlMs,
    done: plan.status !== 'active',
    transitions: [
      {
        kind,
        ...auditOfInternal(about, JSON.stringify(event), plan, { sender, failed }),
        key: null,
        mail: plan.mail,
      },
    ],
    internals: plan.internals,
    timers: encodeTimers(plan.live.timers, record.timers),
    runs: encodeRuns(plan.live.runs, record.runs, node),
    firesAt: firesAt ?? null,
    events: JSON.stringify([event.type]),
    emitted: plan.emitted.map((each) => ({ transition: 0, event: each })),
    history: parts.versions.historyOf({ machine, machineVersion }),
  }
}

/** The session under the version of its definition that it is due for. @throws TroupeError `internal` if it cannot be migrated */
function migrationStep(parts: HostParts, { record }: WarmSession): InternalStep | null {
  const kernel = parts.versions.migrationOf(record)
  if (kernel === null) return null
  const plan = kernel.migrate(record)
  checkSize(parts, plan)
  const { id, machine, machineVersion } = record
  const { version } = kernel.definition
  parts.log.debug({ id, machine, from: machineVersion, to: version }, 'a session is migrated')
  return { kind: 'migrated', plan, event: migratedFrom(record), machineVersion: version }
}

/** The session's actors, to compute a step on. Those that move on in place are used up by it. */
export function takeLive(parts: HostParts, known: WarmSession): NonNullable<WarmSession['live']> {
  const live = known.live ?? parts.versions.kernelOf(known.record).restore(known.record)
  known.live = live.root === null ? live : null
  return live
}
