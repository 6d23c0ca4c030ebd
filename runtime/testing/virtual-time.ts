/**
 * Time that passes when a test says so. The server's clock says which day it is and when something is due; the processes' clocks
 * say how long they have waited. Mostly both go on together. Where nothing is under way the server's may go on alone, so that a
 * month costs nothing; where something is due the processes' go on alone until it is done, so that it is done at its very time.
 */
import type { Clock } from '../../actors/ports.ts'

interface Timer {
  readonly atMs: number
  readonly owner: ProcessClock
  readonly callback: () => void
}

/** The clocks of a test: that of the server, and those of its processes. */
export class VirtualTime {
  /** Of the server, in ms since 1970. */
  #nowMs: number
  /** Of the processes, in ms since the beginning. */
  #ranMs = 0
  /** In the order in which they were set: of those at the same time the first set comes first. */
  readonly #timers = new Set<Timer>()
  #works = 0
  #workedAtMs = 0

  constructor(start: Date) {
    this.#nowMs = start.getTime()
  }

  get nowMs(): number {
    return this.#nowMs
  }

  get ranMs(): number {
    return this.#ranMs
  }

  /** How often some process has done something that may have consequences. */
  get works(): number {
    return this.#works
  }

  /** For how long no process has, by their clocks. */
  get idleMs(): number {
    return this.#ranMs - this.#workedAtMs
  }

  noteWork(): void {
    this.#works++
    this.#workedAtMs = Math.max(this.#workedAtMs, this.#ranMs)
  }

  /** Processes have come or gone: for so long the others may do something about it. */
  noteChange(forMs: number): void {
    this.noteWork()
    this.#workedAtMs = this.#ranMs + forMs
  }

  /** Until the next timer of a process, by their clocks; `null`: there is none. */
  get untilTimerMs(): number | null {
    const next = this.#next()
    return next === null ? null : Math.max(0, next.atMs - this.#ranMs)
  }

  pass(ms: number): void {
    this.#nowMs += ms
    this.#ranMs += ms
  }

  passForServer(ms: number): void {
    this.#nowMs += ms
  }

  passForProcesses(ms: number): void {
    this.#ranMs += ms
  }

  /** Calls back the next timer. */
  fire(): void {
    const next = this.#next()
    if (next === null) return
    this.#timers.delete(next)
    next.callback()
  }

  set(owner: ProcessClock, callback: () => void, ms: number): { cancel(): void } {
    const timer = { atMs: this.#ranMs + ms, owner, callback }
    this.#timers.add(timer)
    return { cancel: () => void this.#timers.delete(timer) }
  }

  cancelAll(owner: ProcessClock): void {
    for (const timer of this.#timers) if (timer.owner === owner) this.#timers.delete(timer)
  }

  #next(): Timer | null {
    let next: Timer | null = null
    for (const timer of this.#timers) if (next === null || timer.atMs < next.atMs) next = timer
    return next
  }
}

/** The clock of one process; it stops with it. */
export class ProcessClock implements Clock {
  readonly #time: VirtualTime
  #isStopped = false

  constructor(time: VirtualTime) {
    this.#time = time
  }

  now(): number {
    return this.#time.ranMs
  }

  setTimeout(callback: () => void, ms: number): { cancel(): void } {
    return this.#isStopped ? { cancel: () => undefined } : this.#time.set(this, callback, ms)
  }

  stop(): void {
    this.#isStopped = true
    this.#time.cancelAll(this)
  }
}
