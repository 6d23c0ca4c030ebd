/** Connections to Redis, with the settings that the rest of this room relies on. */
import { Redis } from 'ioredis'
import type { RedisOptions } from 'ioredis'
import { StoreFailure } from '../actors/ports.ts'
import type { Logger } from '../actors/ports.ts'
import { refuseStrayReplies } from './stray-replies.ts'

/** A command that has no answer by then is of unknown effect, and asked again. */
const COMMAND_TIMEOUT_MS = 3000
/**
 * A connection on which commands were sent and nothing has come since is opened anew. It may be one whose other side has gone without
 * a word: each command would time out by itself, and the connection stay as it is for a quarter of an hour.
 */
const SILENCE_MS = 4000
const MAX_RECONNECT_DELAY_MS = 500

/**
 * Opens a connection that comes back by itself. Nothing is queued while it is away: a commit that waits unseen would
 * be made long after its caller has left.
 */
export function connectRedis(
  url: string,
  name: string,
  log: Logger,
  options: Pick<RedisOptions, 'enableAutoPipelining'> = {},
): Redis {
  const redis = new Redis(url, {
    connectionName: name,
    enableOfflineQueue: false,
    maxRetriesPerRequest: null,
    commandTimeout: COMMAND_TIMEOUT_MS,
    socketTimeout: SILENCE_MS,
    retryStrategy: (attempt) => Math.min(20 * attempt, MAX_RECONNECT_DELAY_MS),
    // After a failover the old master answers READONLY: reconnect, and send the command again (2).
    reconnectOnError: (error) => (error.message.startsWith('READONLY') ? 2 : false),
    lazyConnect: true,
    ...options,
  })
  refuseStrayReplies(redis)
  // Without a listener ioredis prints every failed attempt.
  redis.on('error', (error: Error) =>
    log.debug({ connection: name, reason: error.message }, 'Redis connection failed'),
  )
  return redis
}

/** Resolves once the connection can be used. @throws StoreFailure after `timeoutMs` */
export async function whenReady(redis: Redis, timeoutMs: number): Promise<void> {
  if (redis.status === 'wait') void redis.connect().catch(() => undefined)
  if (redis.status === 'ready') return
  await new Promise<void>((resolve, reject) => {
    const timer = setTimeout(() => {
      redis.off('ready', ready)
      reject(new StoreFailure('not-applied', `Redis did not answer within ${timeoutMs} ms`))
    }, timeoutMs)
    const ready = (): void => {
      clearTimeout(timer)
      resolve()
    }
    redis.once('ready', ready)
  })
}
