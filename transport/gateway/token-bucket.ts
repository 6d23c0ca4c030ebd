/** A rate that may be exceeded for a while: it fills with time, up to `burst`, and each request takes one out. */
import type { Clock } from '../../actors/ports.ts'

/** The same for all buckets of a kind. */
export interface Rate {
  readonly clock: Clock
  readonly perSecond: number
  readonly burst: number
}

/** Sums of fractions are not exact: this much too early counts as on time. */
const TOLERANCE_MS = 0.01

export class TokenBucket {
  readonly #rate: Rate
  /** When it will be, or was, full: says all of it in one number, as each connection has one. */
  #fullAt: number

  constructor(rate: Rate) {
    this.#rate = rate
    this.#fullAt = rate.clock.now()
  }

  /** @returns 0: taken; else the milliseconds until there is one to take again */
  take(): number {
    const { clock, perSecond, burst } = this.#rate
    const now = clock.now()
    const fillMs = 1000 / perSecond
    const fullAt = Math.max(now, this.#fullAt)
    const waitMs = fullAt - now - (Math.max(1, burst) - 1) * fillMs
    if (waitMs > TOLERANCE_MS) return Math.max(1, Math.ceil(waitMs - TOLERANCE_MS))
    this.#fullAt = fullAt + fillMs
    return 0
  }
}
