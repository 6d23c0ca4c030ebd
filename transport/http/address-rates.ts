/** A token bucket for each address that sends requests: HTTP has no connection that stays, as a WebSocket does. */
import type { Clock } from '../../actors/ports.ts'
import { TokenBucket, type Rate } from '../gateway/token-bucket.ts'

export interface AddressRateOptions {
  readonly clock: Clock
  /** 0: no limit. */
  readonly maxRequestsPerSecond: number
  readonly maxRequestBurst: number
}

/** Addresses that are remembered at most, so that memory is bounded whoever asks. */
const MAX_ADDRESSES = 50_000

export class AddressRates {
  readonly #options: AddressRateOptions
  readonly #rate: Rate
  /** By then a bucket is full again, and need not be kept. */
  readonly #fillMs: number
  /** Two generations: what was not asked for in one of them is forgotten with the next. */
  #buckets = new Map<string, TokenBucket>()
  #before = new Map<string, TokenBucket>()
  #bornAt: number

  constructor(options: AddressRateOptions) {
    const { clock, maxRequestsPerSecond: perSecond, maxRequestBurst: burst } = options
    this.#options = options
    this.#rate = { clock, perSecond, burst }
    this.#fillMs = (1000 * burst) / perSecond
    this.#bornAt = clock.now()
  }

  /** @returns 0: taken; else the milliseconds until there is one to take again */
  take(address: string): number {
    const { clock, maxRequestsPerSecond } = this.#options
    if (maxRequestsPerSecond === 0) return 0
    this.#forget(clock.now())
    let bucket = this.#buckets.get(address)
    if (bucket === undefined) {
      bucket = this.#before.get(address) ?? new TokenBucket(this.#rate)
      this.#buckets.set(address, bucket)
    }
    return bucket.take()
  }

  /** Addresses that are remembered. */
  get size(): number {
    return this.#buckets.size + this.#before.size
  }

  #forget(now: number): void {
    if (now - this.#bornAt < this.#fillMs && this.#buckets.size < MAX_ADDRESSES / 2) return
    this.#before = this.#buckets
    this.#buckets = new Map()
    this.#bornAt = now
  }
}
