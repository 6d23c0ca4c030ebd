/** A rate that may be exceeded for a while: it fills with time, up to `burst`, and each request takes one out. */
import type { Clock } from '../../actors/ports.ts'

export class TokenBucket {
  readonly #clock: Clock
  readonly #perMs: number
  readonly #burst: number
  #tokens: number
  #at: number

  constructor(clock: Clock, perSecond: number, burst: number) {
    this.#clock = clock
    this.#perMs = perSecond / 1000
    this.#burst = Math.max(1, burst)
    this.#tokens = this.#burst
    this.#at = clock.now()
  }

  /** @returns 0: taken; else the milliseconds until there is one to take again */
  take(): number {
    const now = this.#clock.now()
    this.#tokens = Math.min(this.#burst, this.#tokens + (now - this.#at) * this.#perMs)
    this.#at = now
    if (this.#tokens < 1) return Math.max(1, Math.ceil((1 - this.#tokens) / this.#perMs))
    this.#tokens--
    return 0
  }
}
