/** `npm run migrate -- --check <files>`: tries the migrations of definition files on the sessions that exist. */
import { builtinDefinitions } from '../../actors/lifecycles/builtin.ts'
import { messageOf } from '../../actors/errors.ts'
import { Registry } from '../../actors/registry.ts'
import { checkRedis } from '../../persistence/probe-redis.ts'
import { scanSessions } from '../../persistence/session-scan.ts'
import { loadDefinitions } from '../definitions/load-definitions.ts'
import { runningRedisUrl } from '../embedded/redis.ts'
import { startEmbeddedServers } from '../embedded/servers.ts'
import { checkMigrations, describeReports, stuckIn } from '../migration-check.ts'
import { parseOptions } from '../options.ts'
import type { Options } from '../options.ts'

const EXIT_FAILING = 1
const EXIT_USAGE = 2

const USAGE = `Usage: npm run migrate -- --check <definition files and folders> [options]

Tries on every stored session what the definitions' \`migrate\` would make of it, and names those that could not go on. Nothing is
written; sessions migrate by themselves once all processes know the new version. Looks into the Redis of REDIS_URL (--redis-url), or
else into that of \`npm start\`. Ends with 0 if all sessions could go on, and with 1 if not.`

const say = (line: string): void => void process.stdout.write(`${line}\n`)

function refuse(reason: string): never {
  process.stderr.write(`troupe: ${reason}\n`)
  process.exit(EXIT_USAGE)
}

function readArguments(): { options: Options; files: string[] } {
  const args = process.argv.slice(2)
  const others = args.filter((arg) => arg !== '--check')
  try {
    const { options, files, help } = parseOptions(others)
    if (help !== null) {
      say(USAGE)
      process.exit(0)
    }
    if (others.length === args.length)
      refuse('sessions migrate by themselves; say --check to try it beforehand. --help tells more')
    if (files.length === 0) refuse('name the definition files to try: npm run migrate -- --check ./order.ts')
    return { options, files }
  } catch (error) {
    return refuse(messageOf(error))
  }
}

/** The Redis to look into, and how to let go of it. */
async function findRedis({
  redisUrl,
  dataDir,
}: Options): Promise<{ url: string; stop: () => Promise<void> }> {
  const url = redisUrl ?? (await runningRedisUrl(dataDir))
  if (url !== null) {
    await checkRedis(url)
    return { url, stop: async () => undefined }
  }
  const servers = await startEmbeddedServers({ dataDir, redis: true, postgres: false, log: say })
  return { url: servers.redisUrl ?? '', stop: () => servers.stop() }
}

async function main(): Promise<number> {
  const { options, files } = readArguments()
  const registry = new Registry()
  for (const definition of builtinDefinitions) registry.register(definition)
  await loadDefinitions(files, registry)
  const { url, stop } = await findRedis(options)
  try {
    const reports = await checkMigrations(scanSessions(url, options.keyPrefix), registry, options)
    if (reports.length === 0) say(`There are no sessions with the prefix "${options.keyPrefix}".`)
    else for (const line of describeReports(reports)) say(line)
    return stuckIn(reports) === 0 ? 0 : EXIT_FAILING
  } finally {
    await stop()
  }
}

process.exitCode = await main().catch((error: unknown) => {
  process.stderr.write(`troupe: ${messageOf(error)}\n`)
  return EXIT_FAILING
})
