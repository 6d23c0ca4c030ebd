/** What a record holds of a session besides what XState does: timers, promise actors that run, mail that it has had. */
import type { Live } from './plan.ts'
import { nextRuns } from './runs.ts'
import type { Outcome } from './stepper.ts'
import { nextTimers } from './timers.ts'

export type Pending = Pick<Live, 'timers' | 'runs' | 'nextKey' | 'taken'>

export const NOTHING_PENDING: Pending = { timers: [], runs: [], nextKey: 1, taken: {} }

/** After a step of a session that goes on. */
export function nextPending(before: Pending, outcome: Outcome): Pending {
  const { timers, runs, nextKey, taken } = before
  // Most machines have neither.
  if (timers.length + runs.length + outcome.requests.length + outcome.made.length === 0)
    return nextKey === NOTHING_PENDING.nextKey ? nothingPending(before) : { timers, runs, nextKey, taken }
  const timed = nextTimers(before, outcome)
  return { ...timed, ...nextRuns({ runs, nextKey: timed.nextKey }, outcome), taken }
}

/** What remains of a session that has ended: it must not take for new what it has had. */
export function nothingPending({ taken }: Pending): Pending {
  return taken === NOTHING_PENDING.taken ? NOTHING_PENDING : { ...NOTHING_PENDING, taken }
}
