/** Notices that a connection has had nothing to do for long. */
import type { Clock } from '../../actors/ports.ts'

export interface IdleOptions {
  readonly clock: Clock
  readonly maxIdleMs: number
  /** It has requests under way or subscriptions. */
  readonly isBusy: () => boolean
  readonly onIdle: () => void
}

export class IdleWatch {
  readonly #options: IdleOptions
  #lastAt: number
  #timer: { cancel(): void }

  constructor(options: IdleOptions) {
    this.#options = options
    this.#lastAt = options.clock.now()
    this.#timer = this.#wait(options.maxIdleMs)
  }

  /** Something happened. */
  touch(): void {
    this.#lastAt = this.#options.clock.now()
  }

  stop(): void {
    this.#timer.cancel()
  }

  #wait(ms: number): { cancel(): void } {
    return this.#options.clock.setTimeout(() => this.#look(), ms)
  }

  #look(): void {
    const { clock, maxIdleMs, isBusy, onIdle } = this.#options
    if (isBusy()) this.touch()
    const leftMs = this.#lastAt + maxIdleMs - clock.now()
    if (leftMs <= 0) onIdle()
    else this.#timer = this.#wait(leftMs)
  }
}
