/** Lets virtual time go on, from one due moment to the next, and waits after each until the processes have nothing left to do. */
import type { Due } from '../../actors/ports.ts'
import type { MemoryServer } from '../../persistence/memory-server.ts'
import type { VirtualTime } from './virtual-time.ts'

/** What is due is found by the sweep within a second, in two halves at most. */
const DUE_WITHIN_MS = 1100
/** Whoever waits for less still does something; what waits for longer has an entry among what is due. */
const IDLE_MS = 3000
/** Turns of the event loop without anything done, after which nothing is under way. */
const QUIET_TURNS = 2

/** A process that looks after the sessions. */
interface Worker {
  readonly node: string
  /** Why it waits before it tries again what is due; `null`: it does not wait. */
  whyWaiting(due: Due): 'failed' | 'unknown' | null
}

export class TimeKeeper {
  readonly #time: VirtualTime
  readonly #server: MemoryServer
  readonly #living: () => readonly Worker[]
  /** One at a time lets time go on. */
  #queue: Promise<unknown> = Promise.resolve()

  /** @param living the processes that look after the sessions */
  constructor(time: VirtualTime, server: MemoryServer, living: () => readonly Worker[]) {
    this.#time = time
    this.#server = server
    this.#living = living
  }

  /** Resolves once no process has anything to do now, timers and what user code waits for aside. */
  async settle(): Promise<void> {
    let seen = this.#time.works
    let quiet = 0
    while (quiet < QUIET_TURNS) {
      await new Promise<void>((resolve) => setImmediate(resolve))
      if (this.#time.works === seen) quiet++
      else quiet = 0
      seen = this.#time.works
    }
  }

  /** Lets `ms` pass and does what is due by then, each at its time. */
  advance(ms: number): Promise<void> {
    return this.#alone(async () => {
      const untilMs = this.#time.nowMs + ms
      await this.#doWhatIsDue()
      while (this.#time.nowMs < untilMs) {
        await this.#passTo(Math.min(untilMs, this.#nextDueMs()))
        await this.#doWhatIsDue()
      }
    })
  }

  /** Lets as much time pass as something under way needs to be over. */
  async wait<T>(underWay: Promise<T>): Promise<T> {
    let isOver = false
    const over = (): void => void (isOver = true)
    underWay.then(over, over)
    await this.settle()
    while (!isOver)
      await this.#alone(async () => {
        if (!isOver) await this.#step()
      })
    await this.settle()
    return underWay
  }

  /** To the next timer of a process. */
  async #step(): Promise<void> {
    this.#time.pass(this.#time.untilTimerMs ?? 0)
    this.#time.fire()
    await this.settle()
  }

  async #passTo(untilMs: number): Promise<void> {
    while (this.#time.nowMs < untilMs) {
      const leftMs = untilMs - this.#time.nowMs
      const waitMs = this.#time.untilTimerMs
      if (this.#isIdle()) {
        this.#time.passForServer(leftMs)
        this.#server.pretendCare(
          leftMs,
          this.#living().map(({ node }) => node),
        )
      } else if (waitMs === null || waitMs > leftMs) this.#time.pass(leftMs)
      else {
        await this.#step()
        // It may have armed something that is due sooner.
        untilMs = Math.min(untilMs, Math.max(this.#nextDueMs(), this.#time.nowMs))
      }
    }
  }

  /** While the server's clock stands: what is still not done then is done as time goes on. */
  async #doWhatIsDue(): Promise<void> {
    await this.settle()
    const untilMs = this.#time.ranMs + DUE_WITHIN_MS
    for (;;) {
      const waitMs = this.#time.untilTimerMs
      if (waitMs === null || this.#time.ranMs + waitMs > untilMs) return
      if (waitMs > 0 && !this.#isAnythingDue()) return
      this.#time.passForProcesses(waitMs)
      this.#time.fire()
      await this.settle()
    }
  }

  /** Nothing happens before the next due moment. Who runs promise actors renews its leases, which are no such moments. */
  #isIdle(): boolean {
    if (this.#time.idleMs < IDLE_MS || this.#server.hasAnyMail || this.#isAnythingDue()) return false
    for (const due of this.#server.dues()) if (due.kind === 'lease' && !this.#isHopeless(due)) return false
    return true
  }

  #isAnythingDue(): boolean {
    for (const due of this.#server.dues())
      if (due.dueMs <= this.#time.nowMs && !this.#isHopeless(due)) return true
    return false
  }

  /** Nobody can do it: who looks after it has failed, and keeps it from the others; or nobody knows its definition. */
  #isHopeless(due: Due): boolean {
    const reasons = this.#living().map((worker) => worker.whyWaiting(due))
    return reasons.includes('failed') || reasons.every((why) => why === 'unknown')
  }

  /** Of those that are still to come; `Infinity`: there is none. */
  #nextDueMs(): number {
    let next = Infinity
    for (const { dueMs } of this.#server.dues()) if (dueMs > this.#time.nowMs && dueMs < next) next = dueMs
    return next
  }

  #alone(act: () => Promise<void>): Promise<void> {
    const done = this.#queue.then(act)
    this.#queue = done.catch(() => undefined)
    return done
  }
}
