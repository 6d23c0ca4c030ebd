/**
 * Brings about what is due: expiries of sessions, their timers, mail that another process left behind. What a process arms for the next seconds it remembers
 * itself; all else is found by the sweep of the partition, which looks ahead. Both may come: the commit script decides.
 */
import { TroupeError, messageOf } from '../../actors/errors.ts'
import { PARTITIONS, partitionOf } from '../../actors/partitions.ts'
import type { Clock, Downtime, Due, Logger, SessionStore } from '../../actors/ports.ts'
import type { SessionId, SessionRecord } from '../../actors/session.ts'
import { dueTimes } from '../../actors/timers.ts'

/** All partitions are looked at within this time. */
const ROUND_MS = 1000
/** What is due later is left to a later look. */
const HORIZON_MS = 2 * ROUND_MS
/** Of one partition at a time; the rest waits for the next look, so that a flood delays nobody. */
const MAX_AT_ONCE = 1000
/**
 * Without a look at its partition for so long this process fires no timer: there may have been a downtime, which the next look
 * tells.
 */
const BLIND_MS = 5000
/** An error may be passing; the sweep comes again anyway. */
const RETRY_MS = 1000
/** This process does not know the session's definition: that takes a deployment to change. */
const UNKNOWN_MS = 60_000
/** For so long it leaves the partition to others, who may know it: longer than the lease by which it looks after it. */
const YIELD_MS = 3 * ROUND_MS

export interface ClockworkOptions {
  readonly store: Pick<SessionStore, 'look' | 'now'>
  readonly expire: (id: SessionId) => Promise<void>
  /** @param downtime the last one of the session's partition */
  readonly fire: (id: SessionId, downtime: Downtime | null) => Promise<void>
  /** Mail waits in the partition. */
  readonly deliver: (partition: number) => void
  /** Takes over promise actors whose lease is over. */
  readonly takeOver: (id: SessionId, node: string) => Promise<void>
  readonly clock: Clock
  readonly log: Logger
  /** Where its rounds begin. Default: anywhere, so that processes do not all look at the same one. */
  readonly firstPartition?: number | undefined
}

interface Remembered {
  readonly dueMs: number
  readonly cancel: () => void
}

const NEVER = { atMs: -Infinity, downtime: null }

export class Clockwork {
  readonly #options: ClockworkOptions
  readonly #timers = new Map<SessionId, Remembered>()
  /** When this process has last looked at each partition, by its own clock, and what it was told. */
  readonly #looks = Array.from({ length: PARTITIONS }, () => ({
    atMs: -Infinity,
    downtime: null as Downtime | null,
  }))
  /** Until when partitions are left to others, by the process' own clock. */
  readonly #yielded = new Map<number, number>()
  #partition: number
  /** Partitions of the first round, which goes without pauses: no timer fires before. */
  #firstRound = PARTITIONS
  #sweeping: { cancel(): void } | null = null
  #isStopped = false

  constructor(options: ClockworkOptions) {
    this.#options = options
    this.#partition = options.firstPartition ?? Math.floor(Math.random() * PARTITIONS)
  }

  start(): void {
    this.#schedule(0)
  }

  stop(): void {
    this.#isStopped = true
    this.#sweeping?.cancel()
    for (const { cancel } of this.#timers.values()) cancel()
    this.#timers.clear()
  }

  /** Leaves a partition to others for a while: it has something for a definition that this process does not know. */
  yield(partition: number): void {
    this.#yielded.set(partition, this.#options.clock.now() + YIELD_MS)
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
    const { store, fire, clock, log } = this.#options
    const { atMs, downtime } = this.#looks[partitionOf(id)] ?? NEVER
    // The next look finds it again.
    if (clock.now() - atMs > BLIND_MS) return
    try {
      await fire(id, downtime)
    } catch (error) {
      const isUnknown = isUnknownVersion(error)
      if (isUnknown) this.yield(partitionOf(id))
      const waitMs = isUnknown ? UNKNOWN_MS : RETRY_MS
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
    const { store, deliver, clock, log } = this.#options
    let isFull = false
    try {
      if ((this.#yielded.get(this.#partition) ?? 0) > clock.now()) return
      const { due, hasMail, downtime } = await store.look(this.#partition, HORIZON_MS, MAX_AT_ONCE)
      this.#looks[this.#partition] = { atMs: clock.now(), downtime }
      if (hasMail) deliver(this.#partition)
      // Where the last one is not due yet, all that is due was found.
      isFull = due.length === MAX_AT_ONCE && (due.at(-1)?.dueMs ?? Infinity) <= store.now()
      await Promise.all(due.map((each) => this.#look(each)))
    } catch (error) {
      log.debug({ partition: this.#partition, reason: messageOf(error) }, 'could not sweep')
      isFull = false
    } finally {
      // Always on to the next: what cannot be worked off here must not hold up the others.
      this.#partition = (this.#partition + 1) % PARTITIONS
      if (this.#firstRound > 0) this.#firstRound--
      this.#schedule(isFull || this.#firstRound > 0 ? 0 : ROUND_MS / PARTITIONS)
    }
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
      if (isUnknownVersion(error)) this.yield(partitionOf(id))
      log.warn({ id, kind, reason: messageOf(error) }, 'what is due could not be done; it is tried again')
    }
  }
}

function isUnknownVersion(error: unknown): boolean {
  return error instanceof TroupeError && error.code === 'unknown_machine_version'
}
