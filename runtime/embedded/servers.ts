import { accessSync, constants, existsSync, mkdirSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { lockDataDir } from './data-dir-lock.ts'
import { startPostgres } from './postgres.ts'
import { startRedis } from './redis.ts'
import { superviseServer } from './supervise-server.ts'

export interface EmbeddedServersOptions {
  /** Folder of all their data; made if it does not exist. */
  readonly dataDir: string
  readonly redis: boolean
  readonly postgres: boolean
  /** false: data need not survive a crash of the machine (nor, for Redis, a stop). For tests. Default true. */
  readonly durable?: boolean
  /** Where a fetched Redis is kept. Default `<dataDir>/redis-server`. */
  readonly redisBinaries?: string
  /** One line for the user about what takes time or went wrong. */
  readonly log: (line: string) => void
}

export interface EmbeddedServers {
  readonly redisUrl?: string
  readonly databaseUrl?: string
  /** Stops what was started here or adopted, with data saved. */
  stop(): Promise<void>
}

/**
 * Starts Troupe's own Redis and PostgreSQL, or adopts those that a killed start left running in the same folder. They
 * listen on loopback only, at ports that stay the same from start to start where they can, and are started again
 * if they die.
 *
 * @throws DataDirInUseError if another living process has its servers in this folder.
 * @throws Error that says what to do, if one cannot be started; then none is left running.
 */
export async function startEmbeddedServers(options: EmbeddedServersOptions): Promise<EmbeddedServers> {
  const dataDir = resolve(options.dataDir)
  const { durable = true, redisBinaries = join(dataDir, 'redis-server'), log } = options
  makeDataDir(dataDir)
  const unlock = lockDataDir(dataDir)

  const startRedisHere = () => startRedis({ dataDir, binaries: redisBinaries, durable, log })
  const startPostgresHere = () => startPostgres({ dataDir, durable, log })
  const [redis, postgres] = await Promise.allSettled([
    options.redis ? startRedisHere() : null,
    options.postgres ? startPostgresHere() : null,
  ])
  if (redis.status === 'rejected' || postgres.status === 'rejected') {
    const running = [redis, postgres].map((one) => (one.status === 'fulfilled' ? one.value : null))
    await Promise.allSettled(running.map(async (server) => server?.stop()))
    unlock()
    throw redis.status === 'rejected' ? redis.reason : (postgres as PromiseRejectedResult).reason
  }

  const supervised = [
    redis.value && superviseServer('Redis', redis.value, startRedisHere, log),
    postgres.value && superviseServer('PostgreSQL', postgres.value, startPostgresHere, log),
  ].filter((one) => one !== null)
  return {
    ...(redis.value && { redisUrl: redis.value.url }),
    ...(postgres.value && { databaseUrl: postgres.value.url }),
    stop: async () => {
      const stops = await Promise.allSettled(supervised.map((one) => one.stop()))
      unlock()
      const failed = stops.find((one) => one.status === 'rejected')
      if (failed) throw failed.reason
    },
  }
}

function makeDataDir(dataDir: string): void {
  try {
    mkdirSync(dataDir, { recursive: true })
    for (const folder of [dataDir, join(dataDir, 'redis')])
      if (existsSync(folder)) accessSync(folder, constants.W_OK)
  } catch (error) {
    throw new Error(
      `the data folder ${dataDir} cannot be written (${(error as NodeJS.ErrnoException).code ?? 'unknown reason'}): ` +
        'start as the user of the first start, check the rights of the folder, or choose another one (DATA_DIR)',
      { cause: error },
    )
  }
}
