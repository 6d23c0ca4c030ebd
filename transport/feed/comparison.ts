/**
 * Pub/sub loses messages silently, the last one too, after which no gap ever shows. So every process compares where
 * its subscribed sessions stand with the store, again and again: one call per partition, spread over the interval.
 */
import { PARTITIONS } from '../../actors/partitions.ts'
import { messageOf } from '../../actors/errors.ts'
import type { Clock, Logger } from '../../actors/ports.ts'
import type { Position, SessionId } from '../../actors/session.ts'

export interface ComparisonOptions {
  readonly clock: Clock
  readonly logger: Logger
  /** Every subscribed session is compared once in this time. */
  readonly intervalMs: number
  /** Subscribed sessions of a partition. */
  readonly idsOf: (partition: number) => SessionId[]
  readonly positions: (ids: readonly SessionId[]) => Promise<(Position | null)[]>
  /** What the store says; `null`: gone. */
  readonly onPosition: (id: SessionId, position: Position | null) => void
}

/** Ids in one call. */
const CHUNK = 500

export class Comparison {
  readonly #options: ComparisonOptions
  /** Partitions being asked about: a slow store is not asked twice. */
  readonly #busy = new Set<number>()
  #next = 0
  #timer: { cancel(): void } | null = null
  #stopped = false

  constructor(options: ComparisonOptions) {
    this.#options = options
  }

  start(): void {
    this.#timer = this.#options.clock.setTimeout(() => {
      void this.#compare(this.#next)
      this.#next = (this.#next + 1) % PARTITIONS
      this.start()
    }, this.#options.intervalMs / PARTITIONS)
  }

  stop(): void {
    this.#stopped = true
    this.#timer?.cancel()
  }

  /** Compares everything now, a few partitions at a time. Never rejects. */
  async compareAll(): Promise<void> {
    let next = 0
    const one = async (): Promise<void> => {
      while (next < PARTITIONS && !this.#stopped) await this.#compare(next++)
    }
    await Promise.all([one(), one(), one(), one()])
  }

  async #compare(partition: number): Promise<void> {
    if (this.#busy.has(partition)) return
    const ids = this.#options.idsOf(partition)
    if (ids.length === 0) return
    this.#busy.add(partition)
    try {
      for (let from = 0; from < ids.length && !this.#stopped; from += CHUNK) {
        const chunk = ids.slice(from, from + CHUNK)
        const positions = await this.#options.positions(chunk)
        if (this.#stopped) return
        for (const [index, id] of chunk.entries()) this.#options.onPosition(id, positions[index] ?? null)
      }
    } catch (error) {
      // The next round asks again.
      this.#options.logger.debug({ partition, reason: messageOf(error) }, 'positions could not be compared')
    } finally {
      this.#busy.delete(partition)
    }
  }
}
