/** How full Redis is, and how much of that waits for PostgreSQL. */
import type { Redis } from 'ioredis'
import { PARTITIONS } from '../actors/partitions.ts'
import type { Keys } from './keys.ts'

export interface RedisPressure {
  /** Memory of all outboxes. */
  readonly outboxBytes: number
  readonly usedBytes: number
  /** What Redis may use: its `maxmemory`, or the memory of its machine where none is set; 0: unknown. */
  readonly limitBytes: number
}

/** One round trip, all but constant in the number of entries: Redis takes some of each stream and reckons. @throws Error of Redis */
export async function readPressure(redis: Redis, keys: Keys): Promise<RedisPressure> {
  const outboxes = Array.from({ length: PARTITIONS }, (_, partition) => keys.outbox(partition))
  const [info, ...sizes] = await Promise.all([
    redis.info('memory'),
    ...outboxes.map((outbox) => redis.memory('USAGE', outbox)),
  ])
  const member = (name: string): number => Number(new RegExp(`^${name}:(\\d+)`, 'm').exec(info)?.[1] ?? 0)
  return {
    outboxBytes: sizes.reduce<number>((sum, size) => sum + Number(size ?? 0), 0),
    usedBytes: member('used_memory'),
    limitBytes: member('maxmemory') || member('total_system_memory'),
  }
}
