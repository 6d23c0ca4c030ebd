/**
 * The turn in which timers of a session fire: each sends its event, and its commit takes it out of the record. The commit
 * script refuses it before its time (TM1), and compares the position, so that a timer that was cancelled or has fired
 * elsewhere is not there any more (TM2, TM3).
 */
import type { Kernel } from '../../actors/kernel.ts'
import type { Plan, Timer } from '../../actors/plan.ts'
import type { CommitEntry } from '../../actors/ports.ts'
import { dueTimes, encodeTimers } from '../../actors/timers.ts'
import { messageOf } from '../../actors/errors.ts'
import type { SessionId, SessionRecord } from '../../actors/session.ts'
import { afterCommit, committedRecord } from './after-commit.ts'
import { auditOfTimer } from './audit-text.ts'
import type { HostParts } from './host-parts.ts'
import { unexpected } from './outcome-errors.ts'
import { Patience, submitInTurn } from './patience.ts'
import type { WarmSession } from './warm-sessions.ts'

export async function takeTimerTurn(parts: HostParts, id: SessionId): Promise<void> {
  const patience = new Patience(parts.clock)
  let known: WarmSession | null = parts.warm.get(id)
  for (;;) {
    const firing = known === null ? null : compute(parts, known)
    if (firing === 'none' || firing === 'later') {
      if (firing === 'later' && known !== null) parts.onTimers(known.record)
      return
    }
    const reserve = patience.reserves
    const entry =
      firing === null
        ? ({ kind: 'check', id, keys: [], reserve, base: null } as const)
        : { ...firing.entry, reserve, number: parts.nextNumber() }
    const outcome = await submitInTurn(parts, entry, patience)
    switch (outcome.kind) {
      case 'committed':
      case 'duplicate': {
        if (firing === null || entry.kind !== 'commit') throw unexpected(id, outcome)
        const record = committedRecord(parts, entry, firing.base, firing.plan, outcome)
        const { live, effects } = firing.plan
        afterCommit(parts, outcome, {
          entry,
          record,
          live,
          effects,
          origins: new Set(),
          answer: () => undefined,
        })
        known = parts.warm.get(id)
        break
      }
      case 'stale':
        if (known !== null) patience.lose()
        known = { record: outcome.record, live: null }
        parts.warm.set(known)
        break
      case 'early':
        // Our idea of Redis' clock was ahead; the record is as it was.
        if (known !== null) parts.onTimers(known.record)
        return
      case 'gone':
        parts.warm.delete(id)
        return
      case 'fenced':
        parts.warm.delete(id)
        throw unexpected(id, outcome)
      default:
        throw unexpected(id, outcome)
    }
  }
}

interface Firing {
  readonly base: SessionRecord
  readonly plan: Plan
  readonly entry: Omit<CommitEntry, 'reserve' | 'number'>
}

/** The soonest timer if it is due; `later`: it is not; `none`: nothing is armed. */
function compute(parts: HostParts, known: WarmSession): Firing | 'none' | 'later' {
  const { record } = known
  const [soonest] = dueTimes(record.timers)
  if (soonest === undefined) return 'none'
  if (soonest.dueMs > parts.store.now()) return 'later'
  const kernel = parts.registry.kernelOf(record)
  const live = known.live ?? kernel.restore(record)
  known.live = live.root === null ? live : null
  const timer = live.timers.find(({ key }) => key === soonest.key)
  if (timer === undefined) throw new Error(`timer ${soonest.key} of session "${record.id}" has no event`)
  const { plan, failed } = fire(parts, kernel, record, live, timer)
  const { machine, machineVersion, ttlMs, doneTtlMs } = record
  const about = { machine, machineVersion, node: parts.store.node, principal: null }
  const audit = auditOfTimer(about, JSON.stringify(timer.event), plan.from, failed)
  return {
    base: record,
    plan,
    entry: {
      kind: 'commit',
      id: record.id,
      keys: [],
      base: record,
      machine,
      machineVersion,
      ttlMs,
      doneTtlMs,
      done: plan.status !== 'active',
      transitions: [{ kind: 'timer', audit, state: plan.state, key: null }],
      internals: plan.internals,
      timers: encodeTimers(plan.live.timers, record.timers),
      firesAt: soonest.dueMs,
      events: JSON.stringify([timer.event.type]),
      emitted: plan.emitted.map((event) => ({ transition: 0, event })),
    },
  }
}

/** A machine that throws at the event loses the timer, not the session: there is no sender who could be told. */
function fire(
  parts: HostParts,
  kernel: Kernel,
  record: SessionRecord,
  live: NonNullable<WarmSession['live']>,
  timer: Timer,
): { plan: Plan; failed?: string } {
  try {
    const fired = kernel.fire(live, timer.key)
    if (fired !== null) return fired
    throw new Error('the session takes no more events')
  } catch (error) {
    const failed = messageOf(error)
    const { id, machine, version } = record
    parts.log.error({ id, machine, version, event: timer.event.type, reason: failed }, 'a timer failed')
    return { plan: kernel.drop(live.root === null ? live : kernel.restore(record), timer.key), failed }
  }
}
