/** How old the oldest transition is that has not come to PostgreSQL yet; over a connection that is opened when it is asked for. */
import type { Redis } from 'ioredis'
import { PARTITIONS } from '../../actors/partitions.ts'
import type { Logger } from '../../actors/ports.ts'
import type { Keys } from '../keys.ts'
import { connectRedis, whenReady } from '../redis.ts'
import { Outbox } from './outbox.ts'

const READY_MS = 1_000
const ALL = Array.from({ length: PARTITIONS }, (_, partition) => partition)

export class OutboxAge {
  readonly #connect: () => Redis
  readonly #keys: Keys
  #opened: { readonly redis: Redis; readonly outbox: Outbox } | null = null

  constructor(redisUrl: string, keys: Keys, log: Logger) {
    this.#connect = () => connectRedis(redisUrl, 'troupe-list', log)
    this.#keys = keys
  }

  /** In ms; 0: all have come. @throws Error where Redis does not answer */
  async oldestMs(): Promise<number> {
    if (this.#opened === null) {
      const redis = this.#connect()
      this.#opened = { redis, outbox: new Outbox(redis, this.#keys) }
    }
    const { redis, outbox } = this.#opened
    await whenReady(redis, READY_MS)
    const depths = await outbox.peek(ALL)
    return Math.max(0, ...depths.map(({ oldestMs }) => Math.ceil(oldestMs)))
  }

  close(): void {
    this.#opened?.redis.disconnect()
  }
}
