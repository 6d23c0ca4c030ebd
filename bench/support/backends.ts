/** What benches of whole servers begin with: the flags that they have in common, and Redis and PostgreSQL. */
import { BenchRedis } from './bench-redis.ts'
import { withServers } from './servers.ts'

/** For `parseArgs`; each bench adds its own. */
export const commonFlags = {
  quick: { type: 'boolean', default: false },
  'redis-url': { type: 'string' },
  'database-url': { type: 'string' },
  rounds: { type: 'string' },
  workers: { type: 'string', default: '2' },
} as const

export interface Backends {
  readonly redisUrl: string
  readonly databaseUrl: string
  readonly redis: BenchRedis
}

interface Addresses {
  readonly 'redis-url'?: string | undefined
  readonly 'database-url'?: string | undefined
}

/** Those at the addresses, or, where there is none, its own under `.troupe/bench`. */
export async function withBackends(
  flags: Addresses,
  use: (backends: Backends) => Promise<void>,
): Promise<void> {
  const wanted = { redisUrl: flags['redis-url'], databaseUrl: flags['database-url'] }
  await withServers(wanted, async ({ redisUrl, databaseUrl }) => {
    if (databaseUrl === null) throw new Error('a PostgreSQL is needed')
    const redis = new BenchRedis(redisUrl)
    try {
      if (wanted.redisUrl === undefined) await redis.rewriteByHand()
      await use({ redisUrl, databaseUrl, redis })
    } finally {
      await redis.close()
    }
  })
}
