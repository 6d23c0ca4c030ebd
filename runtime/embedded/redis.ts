import { spawn } from 'node:child_process'
import { mkdirSync, readFileSync, realpathSync, statSync } from 'node:fs'
import { join, relative } from 'node:path'
import type { EmbeddedServer } from './embedded-server.ts'
import { freePort } from './free-port.ts'
import { isAlive, nameProcess, waitForEnd, type ProcessName } from './live-process.ts'
import { callRedis, redisDirectory, redisProcess } from './redis-call.ts'
import { findRedisBinary, type RedisBinary } from './redis-binary.ts'
import { recall, remember } from './remembered.ts'

/** Loading a large append-only file takes about a second per 100 MB. */
const START_TIMEOUT_MS = 300_000
const STOP_TIMEOUT_MS = 60_000

/** What is known of the last start. The port is written down before the launch, the process after it. */
interface Memory {
  readonly port: number
  readonly process: ProcessName | null
}

/** When Redis flushes its log to the disk. */
type Fsync = 'everysec' | 'always'

/**
 * Starts Redis with its data in `<dataDir>/redis`, or adopts the one that runs there already.
 * The data folder's lock must be held.
 *
 * @param options.binaries where a fetched server is kept, see {@link findRedisBinary}.
 * @param options.durable false: nothing is written to disk, for tests.
 * @param options.appendfsync `always`: what was answered is on the disk. With `everysec`, the default, Redis answers before it has
 *   written while an fsync is under way, and loses that if it is killed.
 * @throws Error that says what to do, if it cannot be started.
 */
export async function startRedis(options: {
  dataDir: string
  binaries: string
  durable: boolean
  appendfsync?: Fsync
  log: (line: string) => void
}): Promise<EmbeddedServer> {
  const { dataDir, durable, appendfsync = 'everysec', log } = options
  mkdirSync(join(dataDir, 'redis'), { recursive: true, mode: 0o700 })
  const data = realpathSync(join(dataDir, 'redis'))
  const memory = join(dataDir, 'redis.json')

  const known = recall(memory, parseMemory)
  const running = known && (await findRunning(known, data))
  if (running) return describe(running, known.port, true)

  const binary = await findRedisBinary(options.binaries, log)
  let port = await freePort(known?.port ?? null)
  for (let attempt = 1; ; attempt++) {
    remember(memory, { port, process: null })
    const started = await launch(binary, data, port, durable ? appendfsync : null)
    remember(memory, { port, process: started })
    if (await waitUntilReady(started, data, port, START_TIMEOUT_MS)) return describe(started, port, false)

    const complaint = lastComplaint(data)
    if (attempt === 5 || !complaint.includes('Address already in use')) {
      throw new Error(
        `${binary.name} did not start: ${complaint} (its log: ${relative(process.cwd(), logFile(data))}). ` +
          'Remove what is in its way, or set REDIS_URL to a Redis of yours',
      )
    }
    port = await freePort(null)
  }
}

/** Where the Redis of a start that runs in this data folder answers; `null`: none runs. */
export async function runningRedisUrl(dataDir: string): Promise<string | null> {
  const known = recall(join(dataDir, 'redis.json'), parseMemory)
  if (known === null) return null
  const running = await findRunning(known, realpathSync(join(dataDir, 'redis')))
  return running && describe(running, known.port, true).url
}

function parseMemory(value: unknown): Memory | null {
  const { port, process } = value as Partial<Memory>
  if (typeof port !== 'number') return null
  const named = typeof process?.pid === 'number' && typeof process.startedAt === 'string'
  return { port, process: named ? process : null }
}

/**
 * The Redis of an earlier start that still works in our folder, ready for use, or `null`.
 * @throws Error if it runs but is silent: a second one in the same folder would ruin its file.
 */
async function findRunning(known: Memory, data: string): Promise<ProcessName | null> {
  const directory = await redisDirectory(known.port)
  // Another folder: this one is a copy, or the port went to somebody else.
  if (directory !== null && directory !== data) return null
  const process = known.process ?? (directory === null ? null : nameProcess(await redisProcess(known.port)))
  if (process === null || !isAlive(process)) return null
  if (await waitUntilReady(process, data, known.port, START_TIMEOUT_MS)) return process
  if (!isAlive(process)) return null
  throw new Error(
    `Redis of an earlier start (process ${String(process.pid)}) works in ${data} and does not answer: end it, then start again`,
  )
}

function describe(server: ProcessName, port: number, adopted: boolean): EmbeddedServer {
  return {
    url: `redis://127.0.0.1:${String(port)}`,
    process: server,
    adopted,
    stop: () => stop(server),
  }
}

/** @param fsync `null`: nothing is written */
function launch(binary: RedisBinary, data: string, port: number, fsync: Fsync | null): Promise<ProcessName> {
  const settings: Record<string, string> = {
    bind: '127.0.0.1',
    port: String(port),
    dir: data,
    logfile: logFile(data),
    'protected-mode': 'yes',
    'maxmemory-policy': 'noeviction',
    save: '',
    appendonly: fsync === null ? 'no' : 'yes',
    appendfsync: fsync ?? 'everysec',
    // At thousands of commits a second the 64 MB that it has by default are full, and rewritten, every few seconds.
    'auto-aof-rewrite-min-size': '256mb',
  }
  const args = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value])
  return new Promise((resolve, reject) => {
    // A session of its own: Ctrl-C in the terminal is for us, and we stop Redis after our last commit.
    const child = spawn(binary.command, args, {
      ...(binary.env && { env: binary.env }),
      detached: true,
      stdio: 'ignore',
      ...ownerForRoot(data),
    })
    child.once('error', reject)
    child.once('spawn', () => {
      child.unref()
      resolve(nameProcess(child.pid ?? 0))
    })
  })
}

/** Root serves a folder of somebody else as that user, who could not write root's files later. */
function ownerForRoot(data: string): { uid?: number; gid?: number } {
  if (process.getuid?.() !== 0) return {}
  const { uid, gid } = statSync(data)
  return uid === 0 ? {} : { uid, gid }
}

/** @returns false if the process ended, or did not answer in time. */
async function waitUntilReady(
  server: ProcessName,
  data: string,
  port: number,
  timeoutMs: number,
): Promise<boolean> {
  const deadline = Date.now() + timeoutMs
  while (isAlive(server) && Date.now() < deadline) {
    // While it loads its data it answers CONFIG, but not PING.
    const pong = await callRedis(port, 'PING').catch(() => '')
    if (pong.startsWith('+PONG') && (await redisDirectory(port)) === data) return true
    await new Promise((resolve) => setTimeout(resolve, 25))
  }
  return false
}

async function stop(server: ProcessName): Promise<void> {
  if (!isAlive(server)) return
  process.kill(server.pid, 'SIGTERM')
  if (await waitForEnd(server, STOP_TIMEOUT_MS)) return
  throw new Error(
    `Redis (process ${String(server.pid)}) does not stop within ${String(STOP_TIMEOUT_MS / 1000)} s`,
  )
}

function logFile(data: string): string {
  return join(data, 'server.log')
}

/** The last warning in the log, without pid and time. */
function lastComplaint(data: string): string {
  try {
    const lines = readFileSync(logFile(data), 'utf8').trim().split('\n')
    return (lines.findLast((line) => line.includes(' # ')) ?? lines.at(-1) ?? '').replace(/^.* # /, '')
  } catch {
    return 'it left no log'
  }
}
