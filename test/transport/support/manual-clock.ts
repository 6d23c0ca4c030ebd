import type { Clock } from '../../../actors/ports.ts'

/** Time that passes when a test says so. */
export class ManualClock implements Clock {
  #now = 0
  #next = 0
  readonly #timers = new Map<number, { at: number; callback: () => void }>()

  now(): number {
    return this.#now
  }

  setTimeout(callback: () => void, ms: number): { cancel(): void } {
    const key = this.#next++
    this.#timers.set(key, { at: this.#now + ms, callback })
    return { cancel: () => void this.#timers.delete(key) }
  }

  get pending(): number {
    return this.#timers.size
  }

  /** Lets `ms` pass; promises that a timer resolves run before the next timer. */
  async pass(ms: number): Promise<void> {
    const end = this.#now + ms
    await settled()
    for (;;) {
      let due: [number, { at: number; callback: () => void }] | null = null
      for (const entry of this.#timers)
        if (entry[1].at <= end && (due === null || entry[1].at < due[1].at)) due = entry
      if (due === null) break
      this.#timers.delete(due[0])
      this.#now = Math.max(this.#now, due[1].at)
      due[1].callback()
      await settled()
    }
    this.#now = end
  }
}

/** All promises that can run have run. */
export function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
