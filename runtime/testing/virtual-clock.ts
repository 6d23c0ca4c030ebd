/** Time that passes when a test says so. */
import type { Clock } from '../../actors/ports.ts'

interface Alarm {
  readonly atMs: number
  readonly callback: () => void
}

export class VirtualClock implements Clock {
  #now = 0
  #alarms = new Set<Alarm>()

  now(): number {
    return this.#now
  }

  setTimeout(callback: () => void, ms: number): { cancel(): void } {
    const alarm = { atMs: this.#now + Math.max(0, Math.ceil(ms)), callback }
    this.#alarms.add(alarm)
    return { cancel: () => void this.#alarms.delete(alarm) }
  }

  /** When the next alarm rings; `Infinity`: never. */
  get nextMs(): number {
    let next = Infinity
    for (const { atMs } of this.#alarms) next = Math.min(next, atMs)
    return next
  }

  /** Moves on to a time, if it is later, and rings what is due by then in the order in which it is. */
  moveTo(ms: number): void {
    this.#now = Math.max(this.#now, ms)
    const due = [...this.#alarms].filter(({ atMs }) => atMs <= this.#now).sort((a, b) => a.atMs - b.atMs)
    for (const alarm of due) if (this.#alarms.delete(alarm)) alarm.callback()
  }
}

/** The clock of one process: nothing rings any more once it has ended. */
export class ProcessClock implements Clock {
  readonly #clock: Clock
  readonly #pending = new Set<{ cancel(): void }>()
  #isStopped = false

  constructor(clock: Clock) {
    this.#clock = clock
  }

  now(): number {
    return this.#clock.now()
  }

  setTimeout(callback: () => void, ms: number): { cancel(): void } {
    if (this.#isStopped) return { cancel: () => undefined }
    const alarm = this.#clock.setTimeout(() => {
      this.#pending.delete(alarm)
      callback()
    }, ms)
    this.#pending.add(alarm)
    return {
      cancel: () => {
        this.#pending.delete(alarm)
        alarm.cancel()
      },
    }
  }

  stop(): void {
    this.#isStopped = true
    for (const alarm of this.#pending) alarm.cancel()
    this.#pending.clear()
  }
}
