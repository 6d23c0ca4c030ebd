/** The hand-written alternative, its two scripts: create, and compare-and-set with outbox and publication. */
import { Redis } from 'ioredis'
import type { Result } from 'ioredis'

// A record is `<version>\n<epoch>\n<view>\n<internals>`; the view goes to clients as it is.
const CREATE = `
if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then
  redis.call('XADD', KEYS[2], '*', 'k', 'created', 'i', ARGV[3], 'r', ARGV[1])
  return 1
end
return 0`

// Returns 1, the record that is there instead, or nil if there is none.
const UPDATE = `
local current = redis.call('GET', KEYS[1])
if not current then return nil end
if string.match(current, '^%d+') ~= ARGV[1] then return current end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
redis.call('XADD', KEYS[2], '*', 'k', 'event', 'i', ARGV[4], 'm', ARGV[5], 'r', ARGV[2])
redis.call('SPUBLISH', KEYS[1], ARGV[6] .. '\\n' .. ARGV[2])
return 1`

declare module 'ioredis' {
  interface RedisCommander<Context> {
    baselineCreate(
      session: string,
      outbox: string,
      record: string,
      ttlMs: number,
      id: string,
    ): Result<number, Context>
    baselineUpdate(
      session: string,
      outbox: string,
      version: string,
      record: string,
      ttlMs: number,
      id: string,
      event: string,
      origin: string,
    ): Result<1 | string | null, Context>
  }
}

/** Commands of one tick go out together; each update is still a script call of its own. */
export function connectBaseline(redisUrl: string): Redis {
  return new Redis(redisUrl, {
    enableAutoPipelining: true,
    scripts: {
      baselineCreate: { lua: CREATE, numberOfKeys: 2 },
      baselineUpdate: { lua: UPDATE, numberOfKeys: 2 },
    },
  })
}
