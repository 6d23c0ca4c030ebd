/**
 * Refuses writes before Redis is full: while PostgreSQL is away, what it does not hold yet grows in Redis, and a Redis that has no memory left
 * refuses everybody. Looks once a second, and ten times as often near a mark, so that no commit has to ask (docs/adr/0012-write-gate.md).
 */
import { messageOf } from '../actors/errors.ts'
import type { Clock, Logger } from '../actors/ports.ts'
import type { RedisPressure } from '../persistence/redis-pressure.ts'

export interface WriteGateOptions {
  readonly read: () => Promise<RedisPressure>
  /** Bytes of the outboxes; 0: no limit. */
  readonly maxOutboxBytes: number
  /** Percent of what Redis may use; 0: no limit. */
  readonly maxRedisMemoryPercent: number
  readonly clock: Clock
  readonly log: Logger
}

export interface WriteHealth extends RedisPressure {
  /** `degraded`: writes go on, but not for much longer if this goes on; `refused`: they are answered `unavailable`. */
  readonly status: 'ok' | 'degraded' | 'refused'
  /** Which mark is near or reached. */
  readonly reason?: string
}

const LOOK_MS = 1_000
const NEAR_LOOK_MS = 100
/** Parts of a mark: from where it is looked at closely, told of, and from where writes are taken again. */
const NEAR = 0.5
const TOLD = 0.75
const OPEN_AGAIN = 0.95
/** With no more than this in the outboxes there is nothing to wait for: just below a mark is low enough. */
const NOTHING_WAITS_BYTES = 1024 * 1024

export class WriteGate {
  readonly #options: WriteGateOptions
  #timer: { cancel(): void } | null = null
  #isStopped = false
  #pressure: RedisPressure = { outboxBytes: 0, usedBytes: 0, limitBytes: 0 }
  #mark: { readonly part: number; readonly reason: string } = { part: 0, reason: '' }
  #refusal: string | null = null

  constructor(options: WriteGateOptions) {
    this.#options = options
  }

  /** Why no writes are taken now; `null`: they are. */
  get refusal(): string | null {
    return this.#refusal
  }

  health(): WriteHealth {
    const { part, reason } = this.#mark
    const status = this.#refusal !== null ? 'refused' : part >= TOLD ? 'degraded' : 'ok'
    return { status, ...this.#pressure, ...(status === 'ok' ? {} : { reason: this.#refusal ?? reason }) }
  }

  /** Looks for the first time; resolves when it has. */
  start(): Promise<void> {
    return this.#look()
  }

  stop(): void {
    this.#isStopped = true
    this.#timer?.cancel()
  }

  async #look(): Promise<void> {
    const { read, clock, log } = this.#options
    try {
      this.#weigh(await read())
    } catch (error) {
      // A Redis that does not answer refuses by itself.
      log.debug({ reason: messageOf(error) }, 'how full Redis is could not be read')
    }
    if (this.#isStopped) return
    this.#timer = clock.setTimeout(() => void this.#look(), this.#mark.part < NEAR ? LOOK_MS : NEAR_LOOK_MS)
  }

  #weigh(pressure: RedisPressure): void {
    const { maxOutboxBytes, maxRedisMemoryPercent, log } = this.#options
    const { outboxBytes, usedBytes, limitBytes } = pressure
    const memoryMark = (limitBytes * maxRedisMemoryPercent) / 100
    const marks = [
      {
        part: maxOutboxBytes === 0 ? 0 : outboxBytes / maxOutboxBytes,
        reason: `${megabytes(outboxBytes)} of transitions wait in Redis for PostgreSQL (MAX_OUTBOX_BYTES: ${megabytes(maxOutboxBytes)})`,
      },
      {
        part: memoryMark === 0 ? 0 : usedBytes / memoryMark,
        reason: `Redis uses ${megabytes(usedBytes)} of ${megabytes(limitBytes)} (MAX_REDIS_MEMORY_PERCENT: ${maxRedisMemoryPercent}), ${megabytes(outboxBytes)} of it for transitions that wait for PostgreSQL`,
      },
    ]
    this.#pressure = pressure
    this.#mark = marks.reduce((most, mark) => (mark.part > most.part ? mark : most))
    const { part, reason } = this.#mark
    const mark = outboxBytes > NOTHING_WAITS_BYTES ? OPEN_AGAIN : 1
    const isRefused = this.#refusal === null ? part >= 1 : part >= mark
    if (isRefused && this.#refusal === null) log.error({ reason }, 'writes are refused until Redis has room')
    if (!isRefused && this.#refusal !== null) log.info({ reason }, 'writes are taken again')
    this.#refusal = isRefused ? reason : null
  }
}

function megabytes(bytes: number): string {
  return `${(bytes / 1024 / 1024).toFixed(bytes < 10 * 1024 * 1024 ? 1 : 0)} MB`
}
