/** Finding the audit that a command is to be asked of, and letting go of it. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { openDatabase } from '../../persistence/audit/database.ts'
import type { Database } from '../../persistence/audit/database.ts'
import { currentVersion, schemaVersion } from '../../persistence/audit/migrations.ts'
import { checkPostgres } from '../../persistence/probe-postgres.ts'
import { runningPostgresUrl } from '../embedded/running-postgres.ts'
import { runningRedisUrl } from '../embedded/redis.ts'
import { startEmbeddedServers } from '../embedded/servers.ts'
import type { Options } from '../options.ts'
import { Unusable } from './audit-command.ts'

/** A question may take its time, but not for ever. */
const STATEMENT_MS = 3_600_000

export interface FoundDatabase {
  readonly database: Database
  readonly redisUrl: string | null
  stop(): Promise<void>
}

/**
 * The PostgreSQL of DATABASE_URL, or else that of `npm start`: the one that runs, or its data served for as long as the
 * command takes. Its schema is left as it is: to change it is the affair of the audit process, which others may wait for.
 * @throws Error with one line that says what to do
 */
export async function findDatabase(options: Options): Promise<FoundDatabase> {
  const { databaseUrl, dataDir } = options
  const redisUrl = options.redisUrl ?? (await runningRedisUrl(dataDir).catch(() => null))
  const known = databaseUrl ?? runningPostgresUrl(dataDir)
  if (known !== null) return open(known, redisUrl, async () => undefined)
  if (!existsSync(join(dataDir, 'postgres', 'PG_VERSION')))
    throw new Unusable(
      `there is no audit: give DATABASE_URL (--database-url), or the folder of npm start's data (--data-dir, now ${dataDir})`,
    )
  const log = (line: string): void => void process.stderr.write(`${line}\n`)
  const servers = await startEmbeddedServers({ dataDir, redis: false, postgres: true, log })
  return open(servers.databaseUrl ?? '', redisUrl, () => servers.stop())
}

async function open(
  databaseUrl: string,
  redisUrl: string | null,
  stop: () => Promise<void>,
): Promise<FoundDatabase> {
  try {
    await checkPostgres(databaseUrl)
    const database = openDatabase({ databaseUrl, max: 2, statementMs: STATEMENT_MS })
    const end = async (): Promise<void> => {
      await database.end().catch(() => undefined)
      await stop()
    }
    try {
      checkVersion(await currentVersion(database))
      return { database, redisUrl, stop: end }
    } catch (error) {
      await database.end()
      throw error
    }
  } catch (error) {
    await stop()
    throw error
  }
}

/** A newer schema than this version's has all that this version asks for: steps only add. @throws Unusable */
function checkVersion(version: number): void {
  if (version === 0)
    throw new Unusable('this database holds no audit: is DATABASE_URL the one that Troupe writes to?')
  if (version < schemaVersion)
    throw new Unusable(
      `the schema of this audit is older (step ${version}) than this version of Troupe (step ${schemaVersion}): its audit process (npm start) brings it up to date`,
    )
}
