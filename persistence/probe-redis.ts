/** Whether a Redis can carry sessions, asked before anything is started on it. */
import { Redis } from 'ioredis'
import { addressOf } from './server-address.ts'

const CONNECT_TIMEOUT_MS = 3000
const LOADING_TIMEOUT_MS = 60_000
const OLDEST_MAJOR = 7

export interface RedisFacts {
  /** As the server names itself: `Redis 7.0.15`, `Valkey 8.1.1`. */
  readonly name: string
}

/**
 * @param url as in the option `redisUrl`.
 * @throws Error with one line that says what is wrong and what to do: not reachable, wrong password, too old, may
 *   evict keys, read-only, or short of rights.
 */
export async function checkRedis(url: string): Promise<RedisFacts> {
  const at = `Redis at ${addressOf(url)}`
  const redis = new Redis(url, {
    lazyConnect: true,
    connectTimeout: CONNECT_TIMEOUT_MS,
    commandTimeout: CONNECT_TIMEOUT_MS,
    // The first failure is the answer; and with a ready check, a refused password would look like a lost connection.
    retryStrategy: () => null,
    enableReadyCheck: false,
  })
  let failure: Error | null = null
  redis.on('error', (error: Error) => {
    failure ??= error
  })
  try {
    await redis.connect()
    const info = await readInfo(redis, at)
    await redis.eval('return 1', 0)
    const facts = judge(info, at)
    // A refused SELECT of the URL's database is only told as an event; commands then go to database 0.
    if (failure !== null) throw failure as Error
    return facts
  } catch (error) {
    if (error instanceof UnfitServer) throw new Error(error.message)
    throw new Error(explain((failure ?? error) as Error & { code?: string }, at), { cause: error })
  } finally {
    redis.disconnect()
  }
}

/** A finding of ours, as opposed to an error of the connection. */
class UnfitServer extends Error {}

async function readInfo(redis: Redis, at: string): Promise<Map<string, string>> {
  const deadline = Date.now() + LOADING_TIMEOUT_MS
  for (;;) {
    const info = new Map<string, string>()
    for (const line of (await redis.info()).split('\r\n')) {
      const colon = line.indexOf(':')
      if (colon > 0) info.set(line.slice(0, colon), line.slice(colon + 1))
    }
    if (info.get('loading') !== '1') return info
    if (Date.now() > deadline)
      throw new UnfitServer(`${at} is still loading its data: start again when it is ready.`)
    await new Promise((resolve) => setTimeout(resolve, 500))
  }
}

function judge(info: Map<string, string>, at: string): RedisFacts {
  const valkey = info.get('valkey_version')
  const version = valkey ?? info.get('redis_version') ?? '0'
  const name = `${valkey === undefined ? 'Redis' : 'Valkey'} ${version}`
  if (Number.parseInt(version) < OLDEST_MAJOR) {
    throw new UnfitServer(
      `${at} is version ${version}, and 7.0 is the oldest that works: upgrade it, or take another.`,
    )
  }
  const policy = info.get('maxmemory_policy')
  if (policy !== undefined && policy !== 'noeviction') {
    throw new UnfitServer(
      `${at} may evict keys when its memory is full (maxmemory-policy ${policy}), which would lose sessions: ` +
        'set it to noeviction (redis-cli config set maxmemory-policy noeviction, and in redis.conf).',
    )
  }
  if (info.get('role') === 'slave') {
    throw new UnfitServer(
      `${at} is a replica of ${info.get('master_host') ?? 'another'}:${info.get('master_port') ?? ''} and read-only: ` +
        'take the master.',
    )
  }
  return { name }
}

function explain(error: Error & { code?: string }, at: string): string {
  const { message, code = '' } = error
  if (message.startsWith('NOAUTH')) {
    return `${at} wants a password: put it into the Redis URL (redis://user:password@host:port).`
  }
  if (/^WRONGPASS|invalid password|without any password/.test(message)) {
    return `${at} refuses the password: check user and password in the Redis URL (redis://user:password@host:port).`
  }
  if (message.startsWith('NOPERM')) {
    return `${at} refuses a command to this user (${message}): Troupe needs scripts, keys, channels and INFO.`
  }
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') {
    return `${at} cannot be found (no such host): check the Redis URL.`
  }
  if (/DB index/i.test(message)) {
    return `${at}: the server has no database of that number: change the number at the end of REDIS_URL.`
  }
  if (/Protocol error|RESP type|Connection is closed/i.test(message)) {
    return `${at} does not speak Redis' protocol: check the port in the Redis URL, and whether it wants rediss:// (TLS).`
  }
  const timedOut = /ETIMEDOUT|timed out/i.test(`${code} ${message}`)
  const reason = timedOut ? 'no answer in time' : code || message
  return `${at} cannot be reached (${reason}): start it, or check host and port in the Redis URL.`
}
