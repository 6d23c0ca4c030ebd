/** How data is laid out under a prefix, agreed on by all processes: changing it would orphan stored sessions. */
import type { Redis } from 'ioredis'
import { PARTITIONS, partitionTags } from '../actors/partitions.ts'
import { RECORD_FORMAT } from '../actors/record-text.ts'
import type { Keys } from './keys.ts'

const LAYOUT = JSON.stringify({
  recordFormat: RECORD_FORMAT,
  partitions: PARTITIONS,
  hash: 'crc16',
  tags: partitionTags.join(' '),
})

/** Writes the layout at the first start of a prefix. @throws Error if another one is in use there */
export async function agreeOnLayout(redis: Redis, keys: Keys): Promise<void> {
  const existing = await redis.set(keys.layout, LAYOUT, 'NX', 'GET')
  if (existing === null || existing === LAYOUT) return
  throw new Error(
    `the data under ${keys.layout} was written with another layout (${existing.slice(0, 200)}); ` +
      'start this version with another KEY_PREFIX, or against another Redis',
  )
}
