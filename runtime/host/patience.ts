/** How one turn bears losing: when it asks for the next turn, and when it gives up. */
import { TroupeError } from '../../actors/errors.ts'
import type { Clock } from '../../actors/ports.ts'

/** Losing often is normal under contention, so time decides and not a count. */
const CONTENTION_MS = 2000
const LOSSES_BEFORE_RESERVING = 2

export class Patience {
  readonly #clock: Clock
  readonly #deadline: number
  #losses = 0

  constructor(clock: Clock) {
    this.#clock = clock
    this.#deadline = clock.now() + CONTENTION_MS
  }

  /** Others were faster. @throws TroupeError `contention` */
  lose(): void {
    this.#losses++
    this.check()
  }

  /** @throws TroupeError `contention` */
  check(): void {
    if (this.#clock.now() < this.#deadline) return
    throw new TroupeError('contention', 'too many writers at this session; send the request again')
  }

  get reserves(): boolean {
    return this.#losses >= LOSSES_BEFORE_RESERVING
  }
}
