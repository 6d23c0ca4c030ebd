/**
 * Timers that fire: each sends its event, and its commit takes it out of the record. The commit script refuses it before its
 * time (TM1), and compares the position, so that a timer that was cancelled or has fired elsewhere is not there any more (TM2, TM3).
 */
import type { SessionDefinition } from '../../actors/define-session.ts'
import { messageOf } from '../../actors/errors.ts'
import type { Live } from '../../actors/plan.ts'
import type { Downtime } from '../../actors/ports.ts'
import type { SessionRecord } from '../../actors/session.ts'
import { dueTimes } from '../../actors/timers.ts'
import { storableText } from '../../actors/storable.ts'
import type { HostParts } from './host-parts.ts'
import { takeLive } from './internal-turn.ts'
import type { ComputeStep, InternalStep } from './internal-turn.ts'
import { checkSize } from './session-size.ts'

/** The soonest timer, if it is due. Those that came due in `downtime` are armed anew where their definition says so. */
export function timerStep(parts: HostParts, downtime: Downtime | null): ComputeStep {
  return (known): InternalStep | null => {
    const { record } = known
    const [soonest] = dueTimes(record.timers)
    if (soonest === undefined) return null
    if (soonest.dueMs > parts.store.now()) {
      parts.onTimers(record)
      return null
    }
    const kernel = parts.versions.kernelOf(record)
    const live = takeLive(parts, known)
    const delays = delaysAfter(downtime, record, live, kernel.definition.overdueTimers)
    if (delays.size > 0)
      return { kind: 'overdue', plan: kernel.rearm(live, delays), event: { type: 'troupe.overdue' } }
    const timer = live.timers.find(({ key }) => key === soonest.key)
    if (timer === undefined) throw new Error(`timer ${soonest.key} of session "${record.id}" has no event`)
    const { event } = timer
    const firesAt = soonest.dueMs
    try {
      const fired = kernel.fire(live, timer.key)
      if (fired === null) throw new Error('the session takes no more events')
      checkSize(parts, fired.plan)
      return { kind: 'timer', plan: fired.plan, event, firesAt }
    } catch (error) {
      // It loses the timer, not the session: there is no sender who could be told.
      const failed = storableText(messageOf(error))
      const { id, machine, version } = record
      parts.log.error({ id, machine, version, event: event.type, reason: failed }, 'a timer failed')
      const plan = kernel.drop(live.root === null ? live : kernel.restore(record), timer.key)
      return { kind: 'timer', plan, event, failed, firesAt }
    }
  }
}

/** New delays of the timers that came due in a downtime, by their keys, in ms. */
function delaysAfter(
  downtime: Downtime | null,
  { timers }: SessionRecord,
  live: Live,
  policy: SessionDefinition['overdueTimers'] = 'deadline',
): Map<number, number> {
  if (downtime === null || policy === 'deadline') return new Map()
  const { fromMs, toMs } = downtime
  const wholes = new Map(live.timers.map(({ key, delayMs }) => [key, delayMs]))
  return new Map(
    dueTimes(timers)
      .filter(({ dueMs }) => dueMs > fromMs && dueMs <= toMs)
      .map(({ key, dueMs }) => [key, policy === 'remaining' ? dueMs - fromMs : (wholes.get(key) ?? 0)]),
  )
}
