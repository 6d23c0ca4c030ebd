/** `npm start`: servers if none are given, then the cluster, until it is told to stop. */
import { messageOf } from '../../actors/errors.ts'
import { checkPostgres } from '../../persistence/probe-postgres.ts'
import { checkRedis } from '../../persistence/probe-redis.ts'
import { freePort } from '../embedded/free-port.ts'
import { startEmbeddedServers } from '../embedded/servers.ts'
import type { EmbeddedServers } from '../embedded/servers.ts'
import { createLogger } from '../logging.ts'
import { createGatekeeper } from '../authentication.ts'
import { isThisMachine } from '../option-table.ts'
import { parseOptions, takesTokens } from '../options.ts'
import type { Options } from '../options.ts'
import type { ClusterOptions } from '../processes/messages.ts'
import { checkListen } from '../processes/listen.ts'
import { Primary } from '../processes/primary.ts'
import { readCertificate } from '../processes/web-server.ts'

const EXIT_FAILED = 1
const EXIT_USAGE = 2

function say(line: string): void {
  process.stdout.write(`${line}\n`)
}

function fail(reason: string, code = EXIT_FAILED): never {
  process.stderr.write(`troupe: ${reason}\n`)
  process.exit(code)
}

function readOptions(): { options: Options; files: string[] } {
  try {
    const { options, files, help } = parseOptions()
    if (help !== null) {
      say(help)
      process.exit(0)
    }
    if (!isThisMachine(options.host) && !takesTokens(options)) {
      fail(
        `the host ${options.host} (HOST, --host) is reachable from other machines, and no authentication is configured: give AUTH_SECRET or AUTH_JWKS (docs/guide/security.md), or use 127.0.0.1`,
        EXIT_USAGE,
      )
    }
    return { options, files }
  } catch (error) {
    return fail(messageOf(error), EXIT_USAGE)
  }
}

async function findServers(options: Options): Promise<{ servers: EmbeddedServers; cluster: ClusterOptions }> {
  // Before anything is made that would be of no use.
  readCertificate(options)
  createGatekeeper(options, null, createLogger(options.logLevel, 'primary'))
  if (options.port !== 0) await checkListen(options.port, options.host)
  await Promise.all([
    options.redisUrl === null ? null : checkRedis(options.redisUrl),
    options.databaseUrl === null ? null : checkPostgres(options.databaseUrl),
  ])
  const needsOwn = options.redisUrl === null || options.databaseUrl === null
  const servers: EmbeddedServers = !needsOwn
    ? { stop: async () => undefined }
    : await startEmbeddedServers({
        dataDir: options.dataDir,
        redis: options.redisUrl === null,
        postgres: options.databaseUrl === null,
        log: say,
      })
  const redisUrl = options.redisUrl ?? servers.redisUrl ?? ''
  const databaseUrl = options.databaseUrl ?? servers.databaseUrl ?? ''
  // All workers share one port, also those that are started later: "any free one" is chosen here, once.
  const port = options.port === 0 ? await freePort(null) : options.port
  return { servers, cluster: { ...options, port, redisUrl, databaseUrl } }
}

async function main(): Promise<void> {
  const { options, files } = readOptions()
  const log = createLogger(options.logLevel, 'primary')
  const finding = findServers(options)
  let primary: Primary | null = null

  let isStopping = false
  const stop = async (code: number): Promise<void> => {
    if (isStopping) return
    isStopping = true
    if (code === 0 && primary !== null)
      say('Stopping: clients are seen off, and the audit writes what waits.')
    await primary?.stop()
    // Also those that were just being started.
    const found = await finding.catch(() => null)
    await found?.servers.stop()
    process.exit(code)
  }
  const failWith = (reason: string): void => {
    // What ends because it was told to is no failure.
    if (!isStopping) process.stderr.write(`troupe: ${reason}\n`)
    void stop(EXIT_FAILED)
  }
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => void stop(0))
  process.on('SIGHUP', () => {
    if (isStopping || primary === null) return
    log.info({}, 'the workers are replaced by new ones')
    primary.replaceWorkers().then(
      (isDone) => {
        if (isDone) log.info({}, 'the workers have been replaced')
      },
      (error: unknown) => {
        log.error(
          { reason: messageOf(error) },
          'a worker could not be replaced: the ones that there are go on',
        )
      },
    )
  })

  try {
    const { cluster } = await finding
    if (isStopping) return
    primary = new Primary({ options: cluster, files, log, onFatal: failWith })
    await primary.start()
    greet(cluster)
  } catch (error) {
    failWith(messageOf(error))
  }
}

function greet(options: ClusterOptions): void {
  const { host, port, workers, audit, tlsCert } = options
  const url = `${tlsCert === null ? 'ws' : 'wss'}://${host.includes(':') ? `[${host}]` : host}:${port}/ws`
  const request = JSON.stringify({
    jsonrpc: '2.0',
    id: 1,
    method: 'createSession',
    params: { machine: 'document', id: 'hello', input: { greeting: 'Hello' }, ifExists: 'return' },
  })
  say(
    `Troupe is ready at ${url} (${workers} ${workers === 1 ? 'worker' : 'workers'}, audit ${audit ? 'on' : 'off'}, pid ${process.pid}).`,
  )
  const hasTokens = takesTokens(options)
  say(
    hasTokens
      ? 'Clients authenticate by a token (JWT). Try it in another terminal, with one in TOKEN:'
      : 'No authentication is configured, so it serves this machine only. Try it in another terminal:',
  )
  say(
    hasTokens
      ? `  npx wscat -H "Authorization: Bearer $TOKEN" -c ${url} -x '${request}'`
      : `  npx wscat -c ${url} -x '${request}'`,
  )
  if (!isThisMachine(host) && tlsCert === null)
    say('It is reachable from other machines without TLS: tokens can be read on the way (TLS_CERT, TLS_KEY).')
}

await main()
