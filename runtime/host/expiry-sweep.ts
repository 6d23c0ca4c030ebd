/** Ends sessions whose time is over: looks at one partition after the other, all of them every few seconds. */
import { messageOf } from '../../actors/errors.ts'
import { PARTITIONS } from '../../actors/partitions.ts'
import type { Clock, Logger, SessionStore } from '../../actors/ports.ts'
import type { SessionId } from '../../actors/session.ts'

const ROUND_MS = 5000
/** Of one partition at a time; the rest waits for the next look, so that a flood of expiries delays nobody. */
const MAX_AT_ONCE = 100

export interface ExpirySweepOptions {
  readonly store: SessionStore
  readonly expire: (id: SessionId) => Promise<void>
  readonly clock: Clock
  readonly log: Logger
}

/** Every process sweeps; that several do is harmless, because the commit script decides. */
export class ExpirySweep {
  readonly #options: ExpirySweepOptions
  #partition = Math.floor(Math.random() * PARTITIONS)
  #timer: { cancel(): void } | null = null
  #isStopped = false

  constructor(options: ExpirySweepOptions) {
    this.#options = options
  }

  start(): void {
    this.#schedule(ROUND_MS / PARTITIONS)
  }

  stop(): void {
    this.#isStopped = true
    this.#timer?.cancel()
  }

  #schedule(ms: number): void {
    if (this.#isStopped) return
    this.#timer = this.#options.clock.setTimeout(() => void this.#sweep(), ms)
  }

  async #sweep(): Promise<void> {
    const { store, expire, log } = this.#options
    let due = 0
    try {
      const ids = await store.dueExpiries(this.#partition, MAX_AT_ONCE)
      due = ids.length
      await Promise.all(ids.map((id) => expire(id)))
    } catch (error) {
      log.debug({ partition: this.#partition, reason: messageOf(error) }, 'could not sweep')
    }
    if (due < MAX_AT_ONCE) this.#partition = (this.#partition + 1) % PARTITIONS
    this.#schedule(ROUND_MS / PARTITIONS)
  }
}
