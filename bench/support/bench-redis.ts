/** The bench's own look at Redis: which process it is, what waits for the audit, and cleaning up. */
import { Redis } from 'ioredis'
import { PARTITIONS } from '../../actors/partitions.ts'
import { Keys } from '../../persistence/keys.ts'

export class BenchRedis {
  readonly #redis: Redis

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

  /** Commits under a prefix that PostgreSQL does not hold yet. */
  async backlog(prefix: string): Promise<number> {
    const keys = new Keys(prefix)
    const pipeline = this.#redis.pipeline()
    for (let partition = 0; partition < PARTITIONS; partition++) pipeline.xlen(keys.outbox(partition))
    const lengths = (await pipeline.exec()) ?? []
    return lengths.reduce((sum, [, length]) => sum + Number(length ?? 0), 0)
  }

  /** Deletes all keys of a prefix, in the background of the server. */
  async clear(prefix: string): Promise<void> {
    let cursor = '0'
    do {
      const [next, found] = await this.#redis.scan(cursor, 'MATCH', `${prefix}:*`, 'COUNT', 1000)
      cursor = next
      if (found.length > 0) await this.#redis.unlink(...found)
    } while (cursor !== '0')
  }

  async close(): Promise<void> {
    await this.#redis.quit()
  }
}
