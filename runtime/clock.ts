import { performance } from 'node:perf_hooks'
import type { Clock } from '../actors/ports.ts'

/** The machine's own clock. */
export const systemClock: Clock = {
  now: () => performance.now(),
  setTimeout(callback, ms) {
    const timer = setTimeout(callback, ms)
    return { cancel: () => clearTimeout(timer) }
  },
}

/** Resolves after `ms` on that clock. */
export function sleep(clock: Clock, ms: number): Promise<void> {
  return new Promise((resolve) => clock.setTimeout(resolve, ms))
}

/** For what a process does last and can leave undone: telling others what they would find by themselves, ending connections. */
const FAREWELL_MS = 250

/** Resolves with the farewell, or when the deadline and a moment more are over: a server that hangs must not keep who leaves. */
export async function farewell(clock: Clock, deadline: number, work: Promise<unknown>): Promise<void> {
  let timer: { cancel(): void } | undefined
  const late = new Promise<void>((resolve) => {
    timer = clock.setTimeout(resolve, Math.max(FAREWELL_MS, deadline - clock.now()))
  })
  await Promise.race([work, late]).finally(() => timer?.cancel())
}
