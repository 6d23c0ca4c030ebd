/** Redis and PostgreSQL for a bench: those it was given, or its own, which stop with it. */
import { startEmbeddedServers } from '../../runtime/embedded/servers.ts'

export interface Servers {
  readonly redisUrl: string
  /** `null` where no PostgreSQL was asked for. */
  readonly databaseUrl: string | null
}

interface Wanted {
  readonly redisUrl: string | undefined
  /** `null`: none is needed. */
  readonly databaseUrl: string | undefined | null
}

const SIGNALS = ['SIGINT', 'SIGTERM'] as const

/** What the bench starts keeps its data under `.troupe/bench`, durable as in a plain start. */
export async function withServers(wanted: Wanted, use: (servers: Servers) => Promise<void>): Promise<void> {
  const { redisUrl, databaseUrl } = wanted
  if (redisUrl !== undefined && databaseUrl !== undefined) return use({ redisUrl, databaseUrl })
  const embedded = await startEmbeddedServers({
    dataDir: '.troupe/bench',
    // A Redis that was fetched for a plain start serves here too.
    redisBinaries: '.troupe/redis-server',
    redis: redisUrl === undefined,
    postgres: databaseUrl === undefined,
    log: (line) => console.log(line),
  })
  const stopAtOnce = (signal: NodeJS.Signals): void => {
    console.log(`${signal}: the servers are stopped`)
    // What was started beside them ends with this process.
    void embedded.stop().finally(() => process.exit(1))
  }
  for (const signal of SIGNALS) process.once(signal, stopAtOnce)
  try {
    const redis = redisUrl ?? embedded.redisUrl
    const database = databaseUrl === undefined ? embedded.databaseUrl : databaseUrl
    if (redis === undefined || database === undefined)
      throw new Error('no Redis or no PostgreSQL was started')
    await use({ redisUrl: redis, databaseUrl: database })
  } finally {
    for (const signal of SIGNALS) process.off(signal, stopAtOnce)
    await embedded.stop()
  }
}
