/** Which timers are armed after a step: those before, without the cancelled, and with what the step asked for. */
import type { EventObject } from 'xstate'
import { LONGEST_MS } from './define-session.ts'
import type { Live, Timer } from './plan.ts'
import type { Outcome } from './stepper.ts'

interface Delayed {
  readonly event: EventObject
  readonly id?: string | undefined
  readonly delay?: unknown
  readonly to?: unknown
}

type Timers = Pick<Live, 'timers' | 'nextKey'>

/** @throws Error if a delay is not a number of milliseconds */
export function nextTimers(before: Timers, { requests, pathOf, isKept }: Outcome): Timers {
  let { timers, nextKey } = before
  // Another actor under the id of one that has stopped is not the one that was meant.
  const kept = timers.filter(({ source, target }) => isKept(source) && isKept(target))
  if (kept.length < timers.length) timers = kept
  // Whose actor stopped within the step is armed first and dropped at its end: a path is known only then.
  for (const { self, action } of requests) {
    const source = pathOf(self)
    if (source === null) continue
    if (action.type === 'xstate.cancel') {
      timers = withoutReachable(timers, source, (action.params as { sendId: string }).sendId)
    } else if (action.type === 'xstate.raise' || action.type === 'xstate.sendTo') {
      const { event, id = null, delay, to } = action.params as Delayed
      if (typeof delay !== 'number') continue
      const target = action.type === 'xstate.raise' ? source : pathOf(to as never)
      if (target === null) continue
      const delayMs = wholeDelay(delay, event)
      const isReachable = id !== null
      timers = [
        ...outOfReach(timers, source, id),
        { key: nextKey++, source, target, id, isReachable, event, delayMs },
      ]
    }
  }
  return { timers, nextKey }
}

function withoutReachable(timers: readonly Timer[], source: readonly string[], id: string): readonly Timer[] {
  const index = timers.findIndex(
    (timer) => timer.isReachable && timer.id === id && samePath(timer.source, source),
  )
  return index < 0 ? timers : timers.toSpliced(index, 1)
}

/** To XState an id means the timer that was armed under it last, and nothing once any timer of that id has fired. */
export function outOfReach(
  timers: readonly Timer[],
  source: readonly string[],
  id: string | null,
): readonly Timer[] {
  if (id === null) return timers
  return timers.map((timer) =>
    timer.id === id && samePath(timer.source, source) ? { ...timer, isReachable: false } : timer,
  )
}

function samePath(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((id, index) => id === b[index])
}

function wholeDelay(delay: number, event: EventObject): number {
  if (delay <= 0) return 0
  const whole = Math.ceil(delay)
  if (whole <= LONGEST_MS) return whole
  throw new Error(
    `the delay of ${JSON.stringify(event.type)} is ${delay}: it must be a number of milliseconds, up to 100 years`,
  )
}

/**
 * The word of a record that tells when its timers are due: `;<key>:<time in ms>`…, or `-`. A commit is given `+<delay>` in
 * place of the times that it is to decide on.
 */
export function encodeTimers(timers: readonly Timer[], known: string): string {
  if (timers.length === 0) return '-'
  const dues = new Map(dueTimes(known).map(({ key, dueMs }) => [key, dueMs]))
  return timers.map(({ key, delayMs }) => `;${key}:${dues.get(key) ?? `+${delayMs}`}`).join('')
}

/** The timers of a record, soonest first; times by Redis' clock. */
export function dueTimes(word: string): { key: number; dueMs: number }[] {
  if (word === '-') return []
  return word
    .slice(1)
    .split(';')
    .map((each) => {
      const [key, dueMs] = each.split(':')
      return { key: Number(key), dueMs: Number(dueMs) }
    })
    .sort((a, b) => a.dueMs - b.dueMs || a.key - b.key)
}
