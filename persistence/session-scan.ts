/** All sessions that a Redis holds, for commands that look through them. */
import { Redis } from 'ioredis'
import { parseSessionId } from '../actors/session.ts'
import type { SessionRecord } from '../actors/session.ts'
import { parseRecord } from '../actors/record-text.ts'
import { Keys } from './keys.ts'

/** Records that are read in one round trip. */
const AT_ONCE = 500

/**
 * Reads them one after another, without tombstones; those that come or change meanwhile may be missed or be given twice.
 * Writes nothing.
 * @throws Error of Redis, or for a record that is of another format
 */
export async function* scanSessions(url: string, prefix: string): AsyncGenerator<SessionRecord> {
  const redis = new Redis(url, { lazyConnect: true, retryStrategy: () => null })
  redis.on('error', () => undefined)
  try {
    await redis.connect()
    for (const base of new Keys(prefix).bases) {
      const start = `${base}session:`
      for await (const names of redis.scanStream({ match: `${start}*`, count: AT_ONCE })) {
        const keys = names as string[]
        const texts = keys.length === 0 ? [] : await redis.mget(...keys)
        for (const [index, text] of texts.entries()) {
          const id = parseSessionId((keys[index] ?? '').slice(start.length))
          if (id === null || text === null || isTombstone(text)) continue
          const record = parseRecord(id, text)
          if (record === null)
            throw new Error(`the record of session ${id} is of a format that this version does not know`)
          yield record
        }
      }
    }
  } finally {
    redis.disconnect()
  }
}

function isTombstone(text: string): boolean {
  return !text.includes('\n')
}
