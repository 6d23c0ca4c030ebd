/** The bench's own look at Redis: which process it is, what waits for the audit, and cleaning up. */
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { PARTITIONS } from '../../actors/partitions.ts'
import { Keys } from '../../persistence/keys.ts'

export class BenchRedis {
  readonly #redis: Redis
  #rewritesByHand = false

  constructor(url: string) {
    this.#redis = new Redis(url)
  }

  /** Version and process id; the id is 0 if it runs on another machine. */
  async server(): Promise<{ version: string; pid: number; appendOnly: boolean }> {
    const info = await this.#redis.info()
    return {
      version: /redis_version:(\S+)/.exec(info)?.[1] ?? 'unknown',
      pid: Number(/process_id:(\d+)/.exec(info)?.[1] ?? 0),
      appendOnly: /aof_enabled:1/.test(info),
    }
  }

  /**
   * From now on the server makes its append-only file anew when a prefix is cleared, and never in the middle of a measurement: that
   * takes seconds and much of a core, and hits one variant by chance. For a server that is the bench's own.
   */
  async rewriteByHand(): Promise<void> {
    await this.#redis.config('SET', 'auto-aof-rewrite-percentage', '0')
    this.#rewritesByHand = true
  }

  /** Commits under a prefix that PostgreSQL does not hold yet. */
  async backlog(prefix: string): Promise<number> {
    const keys = new Keys(prefix)
    const pipeline = this.#redis.pipeline()
    for (let partition = 0; partition < PARTITIONS; partition++) pipeline.xlen(keys.outbox(partition))
    const lengths = (await pipeline.exec()) ?? []
    return lengths.reduce((sum, [, length]) => sum + Number(length ?? 0), 0)
  }

  /** Deletes all keys of a prefix. */
  async clear(prefix: string): Promise<void> {
    let cursor = '0'
    do {
      const [next, found] = await this.#redis.scan(cursor, 'MATCH', `${prefix}:*`, 'COUNT', 1000)
      cursor = next
      if (found.length > 0) await this.#redis.unlink(...found)
    } while (cursor !== '0')
    if (this.#rewritesByHand) await this.#rewrite()
  }

  async #rewrite(): Promise<void> {
    await this.#redis.bgrewriteaof()
    do await sleep(100)
    while (/aof_rewrite_(in_progress|scheduled):1/.test(await this.#redis.info('persistence')))
  }

  async close(): Promise<void> {
    await this.#redis.quit()
  }
}
