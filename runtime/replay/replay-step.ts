/**
 * One row of the audit, taken by the kernel that computed it once. Nothing is done about the plan: no action runs, no promise
 * starts, no mail leaves, nothing is written.
 */
import type { Kernel, Result } from '../../actors/kernel.ts'
import type { Plan } from '../../actors/plan.ts'
import { dueTimes } from '../../actors/timers.ts'
import type { RecordedTransition } from '../../persistence/audit/recorded.ts'
import { firstDifference } from './difference.ts'
import { stateAfter, takeLive, timesAfterDowntime } from './replayed-state.ts'
import type { ReplayedState } from './replayed-state.ts'

/** What the row says did not happen in the replay; the message is for people. */
export class Unrepeatable extends Error {}

/** Kinds of rows that a kernel can take. */
const inputs = ['created', 'event', 'timer', 'overdue', 'result', 'takeover', 'mail', 'migrated'] as const
export type InputKind = (typeof inputs)[number]

export function isInputKind(kind: string): kind is InputKind {
  return (inputs as readonly string[]).includes(kind)
}

interface RecordedEvent {
  readonly type: string
}

export interface ReplayedRow extends RecordedTransition {
  readonly kind: InputKind
  readonly event: RecordedEvent
}

/**
 * @param kernel of the version that the row is of, or that it is replayed with
 * @param base the session before it; `null`: it is created
 * @param isExpected whether a state is the one that is stored, where the audit does not say what brought it about
 * @throws Unrepeatable, or whatever the kernel throws
 */
export function replayStep(
  row: ReplayedRow,
  kernel: Kernel,
  base: ReplayedState | null,
  isExpected: (state: string) => boolean,
): ReplayedState {
  if (base === null) return stateAfter(row, kernel, kernel.initial(row.input), '-')
  const { timers } = base.record
  const after = (plan: Plan): ReplayedState => stateAfter(row, kernel, plan, timers)
  switch (row.kind) {
    case 'created':
      throw new Unrepeatable('it is created a second time')
    case 'event':
      return after(kernel.transition(takeLive(base), row.event) ?? unchanged(row))
    case 'mail':
      return after(takeMail(row, kernel, base))
    case 'timer':
      return fireTimer(row, kernel, base, isExpected)
    case 'result':
      return after(settle(row, kernel, base))
    case 'overdue': {
      const live = takeLive(base)
      const times = timesAfterDowntime(base, live, row.timeMs)
      return stateAfter(row, kernel, kernel.rearm(live, new Map()), times)
    }
    case 'takeover':
      return after(kernel.retake(takeLive(base), [], 0))
    case 'migrated': {
      // What runs as another version all along was not migrated.
      if (base.kernel === kernel) return after(kernel.rearm(takeLive(base), new Map()))
      return after(kernel.migrate(base.record))
    }
  }
}

function unchanged({ event }: ReplayedRow): never {
  throw new Unrepeatable(`event ${JSON.stringify(event.type)} changes nothing, and made a version then`)
}

function takeMail(row: ReplayedRow, kernel: Kernel, base: ReplayedState): Plan {
  const { event, sender, epoch, version, timeMs } = row
  // Under a number that is newer than all before it, so that it is taken.
  const mail = { from: sender ?? '', number: `${epoch}:${version}:0:0-0`, hops: 0, event }
  const plan = kernel.take(takeLive(base), mail, {}, timeMs)
  if (plan === 'ended') throw new Unrepeatable('the session has ended, and took an event then')
  if (plan === null || plan === 'taken') return unchanged(row)
  return plan
}

/**
 * The audit tells the event of a timer, not which of several it was that send the same: it was the soonest, but after a downtime
 * that is not known for sure, and then it is the first that leads to the stored state.
 */
function fireTimer(
  row: ReplayedRow,
  kernel: Kernel,
  base: ReplayedState,
  isExpected: (state: string) => boolean,
): ReplayedState {
  const live = takeLive(base)
  const order = new Map(dueTimes(base.record.timers).map(({ key }, index) => [key, index]))
  const candidates = live.timers
    .filter(({ event }) => firstDifference(row.event, JSON.parse(JSON.stringify(event)), '') === null)
    .sort((a, b) => (order.get(a.key) ?? 0) - (order.get(b.key) ?? 0))
  const [soonest] = candidates
  // The session lost the timer, and nothing else.
  if (row.failed !== null && soonest !== undefined)
    return stateAfter(row, kernel, kernel.drop(live, soonest.key), base.record.timers)
  let first: ReplayedState | null = null
  let failure: { readonly error: unknown } | null = null
  for (const [index, { key }] of candidates.entries()) {
    try {
      const plan = kernel.fire(index === 0 ? live : takeLive(base), key)?.plan ?? unchanged(row)
      const state = stateAfter(row, kernel, plan, base.record.timers)
      if (isExpected(plan.state)) return state
      first ??= state
    } catch (error) {
      failure ??= { error }
    }
  }
  if (first !== null) return first
  if (failure !== null) throw failure.error
  throw new Unrepeatable(
    `no timer with the event ${JSON.stringify(row.event.type)} is armed, and one fired then`,
  )
}

const SETTLED = /^xstate\.(done|error)\.actor\.(.*)$/s

function settle(row: ReplayedRow, kernel: Kernel, base: ReplayedState): Plan {
  const { type, output, error } = row.event as RecordedEvent & { output?: unknown; error?: unknown }
  const [, how, actor] = SETTLED.exec(type) ?? []
  const live = takeLive(base)
  const run = live.runs.find(({ path }) => path.join('.') === actor)
  if (run === undefined)
    throw new Unrepeatable(`no promise actor ${JSON.stringify(actor)} runs, and one had its result then`)
  const result = how === 'done' ? { output } : ({ error } as Result)
  try {
    const settled = kernel.settle(live, run.key, result)
    if (settled !== null) return settled.plan
  } catch (cause) {
    if (row.failed === null) throw cause
    // The promise is only over, as then.
    return kernel.drop(takeLive(base), run.key)
  }
  throw new Unrepeatable('the session has ended, and took a result then')
}
