/**
 * All workers replaced by new ones under their clients.
 *
 * All new ones are started first, one after another; then the old ones take no more connections, and leave one after another. So each
 * client moves once, and to a worker that stays, with the same share for each; were they replaced in pairs, the first new worker would get the clients
 * of all the old ones after it, and many of them twice. And if one cannot start, no old one is touched. For the while there are twice as many.
 */
import { messageOf } from '../../actors/errors.ts'
import type { Logger } from '../../actors/ports.ts'
import type { Supervised } from './supervised.ts'

export interface RollingRestartParts {
  readonly old: readonly Supervised[]
  /** Makes the worker of this place, which is started here. */
  readonly make: (index: number) => Supervised
  /** The new ones are all ready, and serve from here on. */
  readonly onTakeOver: (successors: readonly Supervised[]) => void
  readonly log: Logger
}

/** A definition file may wait for something that never comes. */
const START_MS = 60_000

export class RollingRestart {
  readonly #parts: RollingRestartParts
  readonly #successors: Supervised[] = []
  #isStopped = false

  constructor(parts: RollingRestartParts) {
    this.#parts = parts
  }

  /** All that run because of it, and those that are still to leave. */
  get processes(): readonly Supervised[] {
    return [...this.#parts.old, ...this.#successors]
  }

  /** Goes no further; whoever calls it stops the processes. */
  stop(): void {
    this.#isStopped = true
  }

  /** @returns whether it was done to the end. @throws Error with the reason why one could not be started; the old ones go on then */
  async run(): Promise<boolean> {
    const { old, make, onTakeOver, log } = this.#parts
    try {
      for (const index of old.keys()) {
        if (this.#isStopped) return false
        const next = make(index)
        this.#successors.push(next)
        await this.#start(next)
      }
    } catch (error) {
      if (this.#isStopped) return false
      await Promise.all(this.#successors.map((one) => one.stop()))
      throw error
    }
    if (this.#isStopped) return false
    onTakeOver(this.#successors)
    for (const one of old) one.send({ type: 'stepBack' })
    for (const one of old) {
      if (this.#isStopped) return false
      log.info({ name: one.name, pid: one.pid }, 'an old worker leaves')
      await one.stop()
    }
    return true
  }

  async #start(next: Supervised): Promise<void> {
    let isLate = false
    const timer = setTimeout(() => {
      isLate = true
      void next.stop()
    }, START_MS)
    try {
      await next.start()
    } catch (error) {
      const reason = isLate ? `it was not ready within ${START_MS / 1000} s` : messageOf(error)
      throw new Error(`${next.name}: ${reason}`, { cause: error })
    } finally {
      clearTimeout(timer)
    }
  }
}
