/** A session as a replay holds it between two rows: what Redis held of it then. */
import type { Kernel } from '../../actors/kernel.ts'
import type { Live, Plan } from '../../actors/plan.ts'
import type { SessionRecord } from '../../actors/session.ts'
import { dueTimes, encodeTimers } from '../../actors/timers.ts'
import type { RecordedTransition } from '../../persistence/audit/recorded.ts'

export interface ReplayedState {
  readonly record: SessionRecord
  readonly kernel: Kernel
  /** `null`: used up; the record restores it. */
  live: Live | null
}

/** The session's actors, to compute a step on. Those that move on in place are used up by it. */
export function takeLive(state: ReplayedState): Live {
  const live = state.live ?? state.kernel.restore(state.record)
  state.live = live.root === null ? live : null
  return live
}

/** What a plan made of a session, with the timers due as the commit of that row decided. */
export function stateAfter(
  row: RecordedTransition,
  kernel: Kernel,
  plan: Plan,
  timersBefore: string,
): ReplayedState {
  const { name, version: machineVersion } = kernel.definition
  const { sessionId, epoch, version, commitId, timeMs } = row
  const record: SessionRecord = {
    id: sessionId as SessionRecord['id'],
    epoch,
    version,
    commitId,
    machine: name,
    machineVersion,
    createdAt: timeMs,
    updatedAt: timeMs,
    expiresAt: null,
    ttlMs: null,
    doneTtlMs: null,
    timers: decideTimes(encodeTimers(plan.live.timers, timersBefore), timeMs),
    runs: '-',
    writers: '-',
    state: plan.state,
    internals: plan.internals,
  }
  return { record, kernel, live: plan.live }
}

/** As the commit script does. */
function decideTimes(word: string, timeMs: number): string {
  return word.replace(/:\+(\d+)/g, (_, delayMs: string) => `:${timeMs + Number(delayMs)}`)
}

/**
 * The word of timers that were armed anew after a downtime. How long that was the audit does not say, so that times of those
 * that keep what remained are right only among themselves.
 */
export function timesAfterDowntime({ record, kernel }: ReplayedState, live: Live, timeMs: number): string {
  const dues = dueTimes(record.timers)
  const firstMs = dues[0]?.dueMs ?? timeMs
  const wholes = new Map(live.timers.map(({ key, delayMs }) => [key, delayMs]))
  const isWhole = kernel.definition.overdueTimers === 'restart'
  const anew = dues.map(({ key, dueMs }) => {
    if (dueMs > timeMs) return { key, dueMs }
    return { key, dueMs: timeMs + (isWhole ? (wholes.get(key) ?? 0) : dueMs - firstMs) }
  })
  return anew.length === 0 ? '-' : anew.map(({ key, dueMs }) => `;${key}:${dueMs}`).join('')
}
