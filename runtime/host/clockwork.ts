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
/** Partitions that are looked at together: waking up for each by itself costs more than the look. */
const AT_ONCE = 8
/** What is due later is left to a later look. */
const HORIZON_MS = 2 * ROUND_MS
/** Of one partition; the rest waits for the next look, so that a flood delays nobody. */
const MAX_AT_ONCE = 1000
/**
 * Without a look at its partition for so long this process fires no timer: there may have been a downtime, which the next look
 * tells.
 */
const BLIND_MS = 5000
/** What failed by an error that lasts, such as a `migrate` that throws: that takes a deployment to change. */
const WAIT_MS = 60_000
/** It has to do with a definition that this process does not know. */
const UNKNOWN_MS = 10_000
/**
 * For so long it leaves the partition to others, who may know it: longer than two processes that do not can hold it by their leases,
 * and not so long that it could not fire its own timers meanwhile.
 */
const YIELD_MS = 4 * ROUND_MS

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

interface Waiting {
  /** When it is tried again, by the process' own clock. */
  readonly untilMs: number
  /** It has to do with a definition that this process does not know. */
  readonly isUnknown: boolean
}

interface Looked {
  readonly atMs: number
  readonly downtime: Downtime | null
  readonly skip: number
}

const NEVER: Looked = { atMs: -Infinity, downtime: null, skip: 0 }

export class Clockwork {
  readonly #options: ClockworkOptions
  readonly #timers = new Map<SessionId, Remembered>()
  /**
   * When this process has last looked at each partition, by its own clock, what it was told, and how much of what is due the next
   * look passes over, because it waits for another try.
   */
  readonly #looks = Array.from({ length: PARTITIONS }, () => NEVER)
  /** What failed by an error that lasts. */
  readonly #waiting = new Map<string, Waiting>()
  /** Until when partitions are left to others, by the process' own clock. */
  readonly #yielded = new Map<number, number>()
  #partition: number
  /** Partitions that are left of the first round, which goes without pauses: until it has looked at a partition, it fires no timer of it. */
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

  /**
   * Leaves a partition to others for a while: it has something for a definition that this process does not know. However often that is
   * found, it is not longer than from the last look.
   */
  yield(partition: number): void {
    this.#yielded.set(partition, (this.#looks[partition] ?? NEVER).atMs + YIELD_MS)
  }

  /** Why this waits for another try: it has `failed`, or has to do with a definition that is `unknown` here. `null`: it does not wait. */
  whyWaiting(due: Due): 'failed' | 'unknown' | null {
    const waiting = this.#waiting.get(nameOf(due))
    if (waiting === undefined || waiting.untilMs <= this.#options.clock.now()) return null
    return waiting.isUnknown ? 'unknown' : 'failed'
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
    const timer = clock.setTimeout(() => void this.#fire(id, dueMs), Math.max(0, inMs) + 1)
    this.#timers.set(id, { dueMs, cancel: () => timer.cancel() })
  }

  /** @returns whether it fired */
  async #fire(id: SessionId, dueMs: number): Promise<boolean> {
    this.#timers.delete(id)
    const { fire, clock } = this.#options
    const { atMs, downtime } = this.#looks[partitionOf(id)] ?? NEVER
    // A look comes first, which finds it again.
    if (clock.now() - atMs > BLIND_MS) return false
    return this.#try({ kind: 'timer', id, dueMs }, () => fire(id, downtime))
  }

  /** @returns whether it was done; what failed is for a later look */
  async #try(due: Due, act: () => Promise<void>): Promise<boolean> {
    const { clock, log } = this.#options
    try {
      await act()
      return true
    } catch (error) {
      const isUnknown = error instanceof TroupeError && error.code === 'unknown_machine_version'
      const lasts = error instanceof TroupeError && !error.retryable
      const waitMs = isUnknown ? UNKNOWN_MS : lasts ? WAIT_MS : 0
      if (isUnknown) this.yield(partitionOf(due.id))
      if (waitMs > 0) this.#waiting.set(nameOf(due), { untilMs: clock.now() + waitMs, isUnknown })
      const { id, kind } = due
      // The server says so itself, and once.
      const isRefused = error instanceof TroupeError && error.code === 'unavailable'
      log[isRefused ? 'debug' : 'warn'](
        { id, kind, reason: messageOf(error), againInMs: waitMs || ROUND_MS },
        'what is due could not be done',
      )
      return false
    }
  }

  /** Of what another process has done meanwhile nothing is heard here. */
  #forgetWaiting(): void {
    const nowMs = this.#options.clock.now()
    for (const [name, { untilMs }] of this.#waiting) if (untilMs <= nowMs) this.#waiting.delete(name)
  }

  #schedule(ms: number): void {
    if (this.#isStopped) return
    this.#sweeping = this.#options.clock.setTimeout(() => void this.#sweep(), ms)
  }

  async #sweep(): Promise<void> {
    const partitions = Array.from({ length: AT_ONCE }, (_, index) => (this.#partition + index) % PARTITIONS)
    const wereFull = await Promise.all(partitions.map((partition) => this.#sweepOne(partition)))
    // Always on to the next: what cannot be worked off here must not hold up the others.
    this.#partition = (this.#partition + AT_ONCE) % PARTITIONS
    if (this.#partition < AT_ONCE) this.#forgetWaiting()
    if (this.#firstRound > 0) this.#firstRound -= AT_ONCE
    const isHurried = wereFull.includes(true) || this.#firstRound > 0
    this.#schedule(isHurried ? 0 : (ROUND_MS * AT_ONCE) / PARTITIONS)
  }

  /** @returns whether more is due there than was found */
  async #sweepOne(partition: number): Promise<boolean> {
    const { store, deliver, clock, log } = this.#options
    try {
      if ((this.#yielded.get(partition) ?? 0) > clock.now()) return false
      const { skip } = this.#looks[partition] ?? NEVER
      const { due, hasMail, downtime } = await store.look(partition, HORIZON_MS, MAX_AT_ONCE, skip)
      const atMs = clock.now()
      this.#looks[partition] = { atMs, downtime, skip: 0 }
      if (hasMail) deliver(partition)
      // Where the last one is not due yet, all that is due was found.
      const isFull = due.length === MAX_AT_ONCE && (due.at(-1)?.dueMs ?? Infinity) <= store.now()
      const wereDone = await Promise.all(due.map((each) => this.#look(each)))
      const undone = wereDone.filter((wasDone) => !wasDone).length
      if (isFull) this.#looks[partition] = { atMs, downtime, skip: skip + undone }
      return isFull
    } catch (error) {
      log.debug({ partition, reason: messageOf(error) }, 'could not sweep')
      return false
    }
  }

  /** @returns whether it was done or is remembered; what is not stays among what is due */
  async #look(due: Due): Promise<boolean> {
    const { kind, id, dueMs } = due
    const { store, expire, takeOver } = this.#options
    const why = this.whyWaiting(due)
    // Whoever knows it is to find it meanwhile.
    if (why === 'unknown') this.yield(partitionOf(id))
    if (why !== null) return false
    if (dueMs > store.now()) {
      if (kind === 'timer') this.#remember(id, dueMs)
      return true
    }
    if (kind === 'lease') return this.#try(due, () => takeOver(id, due.node))
    if (kind === 'expiry') return this.#try(due, () => expire(id))
    // One that is remembered is not to be hurried.
    return this.#timers.has(id) || this.#fire(id, dueMs)
  }
}

/** With its time: what has another one is not what failed. */
function nameOf(due: Due): string {
  return `${due.kind} ${due.id} ${due.kind === 'lease' ? due.node : ''} ${due.dueMs}`
}
