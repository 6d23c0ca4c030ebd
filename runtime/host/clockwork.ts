/**
 * Brings about what is due: expiries of sessions and their timers. What a process arms for the next seconds it remembers
 * itself; all else is found by the sweep of the partition, which looks ahead. Both may come: the commit script decides.
 */
import { TroupeError, messageOf } from '../../actors/errors.ts'
import { PARTITIONS } from '../../actors/partitions.ts'
import type { Clock, Due, Logger, SessionStore } from '../../actors/ports.ts'
import type { SessionId, SessionRecord } from '../../actors/session.ts'
import { dueTimes } from '../../actors/timers.ts'

/** All partitions are looked at within this time. */
const ROUND_MS = 1000
/** What is due later is left to a later look. */
const HORIZON_MS = 2 * ROUND_MS
/** Of one partition at a time; the rest waits for the next look, so that a flood delays nobody. */
const MAX_AT_ONCE = 1000
/** An error may be passing; the sweep comes again anyway. */
const RETRY_MS = 1000
/** No process knows the session's definition: that takes a deployment to change. */
const UNKNOWN_MS = 60_000

export interface ClockworkOptions {
  readonly store: SessionStore
  readonly expire: (id: SessionId) => Promise<void>
  readonly fire: (id: SessionId) => Promise<void>
  /** Takes over promise actors whose lease is over. */
  readonly takeOver: (id: SessionId, node: string) => Promise<void>
  readonly clock: Clock
  readonly log: Logger
}

interface Remembered {
  readonly dueMs: number
  readonly cancel: () => void
}

export class Clockwork {
  readonly #options: ClockworkOptions
  readonly #timers = new Map<SessionId, Remembered>()
  #partition = Math.floor(Math.random() * PARTITIONS)
  #sweeping: { cancel(): void } | null = null
  #isStopped = false

  constructor(options: ClockworkOptions) {
    this.#options = options
  }

  start(): void {
    this.#schedule(ROUND_MS / PARTITIONS)
  }

  stop(): void {
    this.#isStopped = true
    this.#sweeping?.cancel()
    for (const { cancel } of this.#timers.values()) cancel()
    this.#timers.clear()
  }

  /** Remembers the record's next timer, if it is due within the horizon. */
  arm({ id, timers }: SessionRecord): void {
    const [soonest] = dueTimes(timers)
    if (soonest !== undefined) this.#remember(id, soonest.dueMs)
  }

  #remember(id: SessionId, dueMs: number): void {
    const { store, clock } = this.#options
    const inMs = dueMs - store.now()
    if (this.#isStopped || inMs > HORIZON_MS) return
    const known = this.#timers.get(id)
    if (known !== undefined) {
      if (known.dueMs <= dueMs) return
      known.cancel()
    }
    // A millisecond later than by our idea of the time, which is never ahead of Redis'.
    const timer = clock.setTimeout(() => void this.#fire(id), Math.max(0, inMs) + 1)
    this.#timers.set(id, { dueMs, cancel: () => timer.cancel() })
  }

  async #fire(id: SessionId): Promise<void> {
    this.#timers.delete(id)
    const { store, fire, log } = this.#options
    try {
      await fire(id)
    } catch (error) {
      const waitMs =
        error instanceof TroupeError && error.code === 'unknown_machine_version' ? UNKNOWN_MS : RETRY_MS
      log.warn({ id, reason: messageOf(error), againInMs: waitMs }, 'a timer could not fire')
      if (this.#isStopped || this.#timers.has(id)) return
      const timer = this.#options.clock.setTimeout(() => void this.#fire(id), waitMs)
      this.#timers.set(id, { dueMs: store.now() + waitMs, cancel: () => timer.cancel() })
    }
  }

  #schedule(ms: number): void {
    if (this.#isStopped) return
    this.#sweeping = this.#options.clock.setTimeout(() => void this.#sweep(), ms)
  }

  async #sweep(): Promise<void> {
    const { store, log } = this.#options
    let isFull = false
    try {
      const found = await store.due(this.#partition, HORIZON_MS, MAX_AT_ONCE)
      // Where the last one is not due yet, all that is due was found.
      isFull = found.length === MAX_AT_ONCE && (found.at(-1)?.dueMs ?? Infinity) <= store.now()
      await Promise.all(found.map((due) => this.#look(due)))
    } catch (error) {
      log.debug({ partition: this.#partition, reason: messageOf(error) }, 'could not sweep')
      isFull = false
    }
    // Always on to the next: what cannot be worked off here must not hold up the others.
    this.#partition = (this.#partition + 1) % PARTITIONS
    this.#schedule(isFull ? 0 : ROUND_MS / PARTITIONS)
  }

  /** Resolves when it is done, or remembered; one that fails is for a later look. */
  async #look(due: Due): Promise<void> {
    const { kind, id, dueMs } = due
    const { store, expire, takeOver, log } = this.#options
    const isDue = dueMs <= store.now()
    try {
      if (kind === 'timer') {
        // One that waits for its time, or for another try, is not to be hurried.
        if (this.#timers.has(id) && isDue) return
        if (isDue) await this.#fire(id)
        else this.#remember(id, dueMs)
      } else if (isDue) await (kind === 'lease' ? takeOver(id, due.node) : expire(id))
    } catch (error) {
      log.warn({ id, kind, reason: messageOf(error) }, 'what is due could not be done; it is tried again')
    }
  }
}
