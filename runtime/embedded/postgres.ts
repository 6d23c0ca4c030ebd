import { randomBytes } from 'node:crypto'
import { existsSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs'
import { setPriority } from 'node:os'
import { join, relative } from 'node:path'
import { lastLine, runCommand } from './command.ts'
import type { EmbeddedServer } from './embedded-server.ts'
import { freePort } from './free-port.ts'
import { isAlive, nameProcess, waitForEnd, type ProcessName } from './live-process.ts'
import { DATABASE, initializePostgres, resetPassword, SERVER_ENV, SUPERUSER } from './postgres-data.ts'
import { findPostgresBinaries, type PostgresBinaries } from './postgres-binaries.ts'
import { recall, remember } from './remembered.ts'
import { chooseServerUser, type ServerUser } from './unprivileged.ts'

/** Recovery after a crash replays the log, which can take its time. */
const START_TIMEOUT_S = 300
const STOP_TIMEOUT_S = 60
/** As the audit process has it. */
const NICENESS = 5
const MAX_LOG_BYTES = 8 * 1024 * 1024

interface Cluster {
  readonly data: string
  readonly binaries: PostgresBinaries
  readonly user: ServerUser
}

/**
 * Starts PostgreSQL with its data in `<dataDir>/postgres`, or adopts the one that runs there already.
 * The data folder's lock must be held.
 *
 * @param options.durable false: fsync off, for tests.
 * @throws Error that says what to do, if it cannot be started.
 */
export async function startPostgres(options: {
  dataDir: string
  durable: boolean
  log: (line: string) => void
}): Promise<EmbeddedServer> {
  const data = join(options.dataDir, 'postgres')
  const binaries = await findPostgresBinaries()
  const cluster: Cluster = { data, binaries, user: await chooseServerUser(data, [binaries.root]) }
  const memory = join(options.dataDir, 'postgres.json')

  const known = recall(memory, parseMemory)
  let password = known?.password ?? null
  if (existsSync(join(data, 'PG_VERSION'))) {
    refuseForeignData(data, binaries.majorVersion)
    await takeOver(cluster)
    if (password !== null) {
      const port = await runningPort(cluster)
      if (port !== null) return describe(cluster, port, password, true)
    }
  }
  password ??= randomBytes(24).toString('hex')
  const port = await freePort(known?.port ?? null)
  remember(memory, { port, password })
  if (!existsSync(join(data, 'PG_VERSION'))) {
    options.log(`creating a PostgreSQL ${binaries.majorVersion} database in ${data}`)
    await initializePostgres(cluster, password, options.durable)
  } else if (known === null) {
    await stopCluster(cluster)
    await resetPassword(cluster, password)
  }
  const started = await startOnSomePort(cluster, port, options.durable)
  if (started !== port) remember(memory, { port: started, password })
  const server = describe(cluster, started, password, false)
  // What it does is for the audit, which gives way to those who serve; its connections inherit this.
  setPriority(server.process.pid, NICENESS)
  return server
}

function parseMemory(value: unknown): { port: number; password: string } | null {
  const { port, password } = value as { port?: unknown; password?: unknown }
  return typeof port === 'number' && typeof password === 'string' ? { port, password } : null
}

function describe(cluster: Cluster, port: number, password: string, adopted: boolean): EmbeddedServer {
  const pid = Number(readFileSync(join(cluster.data, 'postmaster.pid'), 'utf8').split('\n')[0])
  const server = nameProcess(pid)
  return {
    url: `postgres://${SUPERUSER}:${password}@127.0.0.1:${String(port)}/${DATABASE}`,
    process: server,
    adopted,
    stop: () => stopServer(server),
  }
}

/** By its pid, and not by its folder, so that it also stops when that was removed. */
async function stopServer(server: ProcessName): Promise<void> {
  // Fast: open transactions are rolled back. Immediate: nothing is lost either, the next start replays the log.
  for (const signal of ['SIGINT', 'SIGQUIT'] as const) {
    if (!isAlive(server)) return
    process.kill(server.pid, signal)
    if (await waitForEnd(server, STOP_TIMEOUT_S * 1000)) return
  }
  throw new Error(`PostgreSQL (process ${String(server.pid)}) does not stop: end it by hand`)
}

function refuseForeignData(data: string, major: string): void {
  const uid = process.getuid?.() ?? 0
  const owner = statSync(data).uid
  if (uid !== 0 && owner !== uid) {
    throw new Error(
      `${data} belongs to another user (uid ${String(owner)}; perhaps the first start was root's): ` +
        'start as that user or as root, or give this start another folder (DATA_DIR)',
    )
  }
  const version = readFileSync(join(data, 'PG_VERSION'), 'utf8').trim()
  if (version !== major) {
    throw new Error(
      `${data} was written by PostgreSQL ${version} and this Troupe carries PostgreSQL ${major}: ` +
        'dump it with the earlier Troupe, or move the folder away to begin anew',
    )
  }
}

/** Makes a data folder usable that was copied, or given to root with the whole project. */
async function takeOver({ data, user: { identity } }: Cluster): Promise<void> {
  if (identity !== null && statSync(data).uid === 0) {
    await runCommand('chown', ['-R', `${String(identity.uid)}:${String(identity.gid)}`, data], {
      timeoutMs: 60_000,
    })
  }
  // A copy brings the pid file of the original, which may be running.
  const pidFile = join(data, 'postmaster.pid')
  if (!existsSync(pidFile)) return
  const [pid, home] = readFileSync(pidFile, 'utf8').split('\n')
  if (!worksIn(Number(pid), home ?? '', data)) rmSync(pidFile)
}

/** Whether the server of this pid works in `data`; the folder it was started in is second best, for it may have moved. */
function worksIn(pid: number, startedIn: string, data: string): boolean {
  try {
    const [actual, ours] = [statSync(`/proc/${String(pid)}/cwd`), statSync(data)]
    return actual.ino === ours.ino && actual.dev === ours.dev
  } catch {
    return startedIn === data
  }
}

/** The port on which this cluster's server accepts connections, or `null` if it does not run. */
async function runningPort(cluster: Cluster): Promise<number | null> {
  const status = await control(cluster, ['status'], 30)
  if (status.code !== 0) return null
  // Lines of postmaster.pid: pid, data folder, start time, port, …, state.
  const lines = readFileSync(join(cluster.data, 'postmaster.pid'), 'utf8').split('\n')
  if (lines[7]?.trim() === 'ready') return Number(lines[3])
  // It is starting or stopping: let it end, and start it in order.
  await stopCluster(cluster)
  return null
}

async function startOnSomePort(cluster: Cluster, firstPort: number, durable: boolean): Promise<number> {
  const log = join(cluster.data, 'server.log')
  let port = firstPort
  for (let attempt = 1; ; attempt++) {
    if ((statSync(log, { throwIfNoEntry: false })?.size ?? 0) > MAX_LOG_BYTES)
      renameSync(log, `${log}.previous`)
    const before = statSync(log, { throwIfNoEntry: false })?.size ?? 0
    const settings = [
      `-p ${String(port)}`,
      ...serverSettings(durable).map((setting) => `-c ${setting}`),
    ].join(' ')
    const start = await control(cluster, ['-l', log, '-o', settings, '-w', 'start'], START_TIMEOUT_S)
    if (start.code === 0) return port
    const said = existsSync(log) ? readFileSync(log, 'utf8').slice(before) : ''
    if (attempt < 5 && said.includes('could not bind')) {
      port = await freePort(null)
      continue
    }
    const fatal = /(?:FATAL|PANIC):\s+(.*)/.exec(said)?.[1] ?? lastLine(start.stderr)
    throw new Error(
      `PostgreSQL did not start: ${fatal} (its log: ${relative(process.cwd(), log)}). ` +
        'Remove what is in its way, or set DATABASE_URL to a PostgreSQL of yours',
    )
  }
}

function serverSettings(durable: boolean): string[] {
  return [
    'listen_addresses=127.0.0.1',
    // A path of a Unix socket may have 107 characters only; folders of projects can be deeper.
    'unix_socket_directories=',
    'max_connections=200',
    'timezone=UTC',
    'log_timezone=UTC',
    ...(durable ? [] : ['fsync=off', 'full_page_writes=off', 'synchronous_commit=off']),
  ]
}

/** Stops whatever pg_ctl finds at work in the folder. */
async function stopCluster(cluster: Cluster): Promise<void> {
  const notRunning = 3
  if ((await control(cluster, ['status'], 30)).code === notRunning) return
  const stop = await control(cluster, ['-m', 'fast', '-w', 'stop'], STOP_TIMEOUT_S)
  if (stop.code !== 0 && (await control(cluster, ['status'], 30)).code !== notRunning)
    throw new Error(`PostgreSQL in ${cluster.data} does not stop: ${lastLine(stop.stderr)}`)
}

function control(cluster: Cluster, args: string[], timeoutS: number) {
  return cluster.user.run(
    cluster.binaries.pgCtl,
    ['-s', '-D', cluster.data, '-t', String(timeoutS), ...args],
    {
      env: SERVER_ENV,
      timeoutMs: (timeoutS + 10) * 1000,
    },
  )
}
