/** Redis and PostgreSQL for a bench: those it was given, or its own, which stop with it. */
import { startEmbeddedServers } from '../../runtime/embedded/servers.ts'
import { stopAtEnd } from './ending.ts'

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

/** What the bench starts keeps its data under `.troupe/bench`, durable as in a plain start. */
export async function withServers(wanted: Wanted, use: (servers: Servers) => Promise<void>): Promise<void> {
  const { redisUrl, databaseUrl } = wanted
  if (redisUrl !== undefined && databaseUrl !== undefined) return use({ redisUrl, databaseUrl })
  const starting = startEmbeddedServers({
    dataDir: '.troupe/bench',
    // A Redis that was fetched for a plain start serves here too.
    redisBinaries: '.troupe/redis-server',
    redis: redisUrl === undefined,
    postgres: databaseUrl === undefined,
    log: (line) => console.log(line),
  })
  let stopping: Promise<void> | null = null
  const stop = (): Promise<void> =>
    (stopping ??= starting.then(
      (started) => started.stop(),
      () => undefined,
    ))
  const stopped = stopAtEnd(stop)
  try {
    const embedded = await starting
    const redis = redisUrl ?? embedded.redisUrl
    const database = databaseUrl === undefined ? embedded.databaseUrl : databaseUrl
    if (redis === undefined || database === undefined)
      throw new Error('no Redis or no PostgreSQL was started')
    await use({ redisUrl: redis, databaseUrl: database })
  } finally {
    await stop()
    stopped()
  }
}
