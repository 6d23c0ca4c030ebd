/**
 * Does the audit keep up? How fast it writes a full outbox, beside the limit of PostgreSQL in the same run; and how far behind it is
 * while commits come at half of the rate at which they can be made beside it.
 *
 * `npm run bench:audit-throughput`, with `--quick`, or with `--redis-url --database-url --rounds --rows --seconds`.
 */
import { parseArgs } from 'node:util'
import { Redis } from 'ioredis'
import { Pool } from 'pg'
import { PARTITIONS } from '../actors/partitions.ts'
import { Outbox } from '../persistence/audit/outbox.ts'
import { AuditWakeup } from '../persistence/audit/queue.ts'
import { Keys } from '../persistence/keys.ts'
import { RedisSessionStore } from '../persistence/redis-session-store.ts'
import { freePort } from '../runtime/embedded/free-port.ts'
import { insertBare } from './audit/bare-inserts.ts'
import { Histogram } from './load/histogram.ts'
import { table } from './load/report.ts'
import { BasketCommits } from './machines/basket-commits.ts'
import { commonFlags, withBackends, type Backends } from './support/backends.ts'
import { describeMachine, median, writeResults } from './support/results.ts'
import { startServer, type ServerProcess } from './support/server-process.ts'

const { values: flags } = parseArgs({
  options: { ...commonFlags, rows: { type: 'string' }, seconds: { type: 'string' } },
})
const MIN_RATIO = 0.7
const MAX_LAG_MS = 1000
const ROWS = Number(flags.rows ?? (flags.quick ? 60_000 : 200_000))
const SECONDS = Number(flags.seconds ?? (flags.quick ? 5 : 20))
const ROUNDS = Number(flags.rounds ?? (flags.quick ? 1 : 3))
const CONNECTIONS = [1, 2, 4]
const THREADS = [1, 2, 4]
/** Sessions that are committed by one call, and calls under way at once. */
const TOGETHER = 16
const UNDER_WAY = 8
const SAMPLE_MS = 20

const say = (_details: object, message: string): void => console.log(message)
const log = { debug: () => undefined, info: () => undefined, warn: say, error: say }

interface Round {
  /** Rows/s, by connections. */
  readonly bare: readonly number[]
  /** Rows/s, by threads. */
  readonly drained: readonly number[]
  readonly maxRate: number
  readonly rate: number
  readonly lagP50: number
  readonly lagP99: number
}

await withBackends(flags, async (backends) => {
  const machine = describeMachine()
  console.log(`The audit's throughput, beside bare inserts of 500 rows a statement
  ${machine.cpu}, ${machine.cores} cores; Node ${machine.node}; ${ROWS} rows, ${ROUNDS} round(s)
  Bare: rows from memory, no reading, no check, no row for the session. Drained: a full outbox, by the audit process of a server
  whose one worker idles; from 10 to 90 % of the rows. Commits: by the store alone, nothing is computed. Lag: age of the oldest
  transition that PostgreSQL does not hold yet, looked at every ${SAMPLE_MS} ms: no transition waits longer.
  NOT measured: replication, disks other than this one's, rows much larger than a basket's.`)
  const rounds: Round[] = []
  for (let round = 0; round < ROUNDS; round++) rounds.push(await runRound(backends))
  const middle = (pick: (round: Round) => number): number => median(rounds.map(pick))
  const limit = middle(({ bare }) => Math.max(...bare))
  const verdict = (isMet: boolean): string => (isMet ? 'met' : 'NOT MET')
  const figures = [
    ...CONNECTIONS.map(
      (count, at) => [`bare, ${count} connection(s)`, middle(({ bare }) => bare[at] ?? 0)] as const,
    ),
    ...THREADS.map(
      (count, at) => [`audit, ${count} thread(s)`, middle(({ drained }) => drained[at] ?? 0)] as const,
    ),
  ]
  console.log(
    table(
      ['rows/s, medians', '', 'of the limit'],
      figures.map(([name, rate]) => [name, rate.toFixed(0), (rate / limit).toFixed(2)]),
    ),
  )
  const ratio = middle(({ bare, drained }) => Math.max(...drained) / Math.max(...bare))
  const lag = middle(({ lagP99 }) => lagP99)
  console.log(
    `best of the audit / best bare: ${ratio.toFixed(2)} (at least ${MIN_RATIO}): ${verdict(ratio >= MIN_RATIO)}`,
  )
  console.log(
    `lag at half of the maximum (${middle(({ rate }) => rate).toFixed(0)} of ${middle(({ maxRate }) => maxRate).toFixed(0)} commits/s): ` +
      `p50 ${middle(({ lagP50 }) => lagP50).toFixed(0)} ms, p99 ${lag.toFixed(0)} ms (under ${MAX_LAG_MS}): ${verdict(lag < MAX_LAG_MS)}`,
  )
  console.log(`written to ${await writeResults('audit-throughput', { flags, rounds })}`)
})

async function runRound(backends: Backends): Promise<Round> {
  const bare: number[] = []
  for (const connections of CONNECTIONS)
    bare.push(await inDatabase(backends, (url) => insertBare(url, ROWS, connections)))
  const drained: number[] = []
  for (const threads of THREADS)
    drained.push(
      await inDatabase(backends, (url) => withStore(backends, (store) => drain(store, url, threads))),
    )
  const paced = await inDatabase(backends, (url) => withStore(backends, (store) => keepUp(store, url)))
  return { bare, drained, ...paced }
}

interface Store {
  readonly backends: Backends
  readonly prefix: string
  readonly store: RedisSessionStore
}

/** Commits all, then lets the audit loose on it. @returns rows/s */
async function drain(
  { backends, prefix, store }: Store,
  databaseUrl: string,
  threads: number,
): Promise<number> {
  const groups = Array.from({ length: UNDER_WAY }, (_, n) => new BasketCommits(store, `drain-${n}`, TOGETHER))
  await Promise.all(groups.map((group) => group.create()))
  for (let rows = UNDER_WAY * TOGETHER; rows < ROWS; rows += UNDER_WAY * TOGETHER)
    await Promise.all(groups.map((group) => group.update()))
  const all = await backends.redis.backlog(prefix)
  const server = await startAuditing(backends, prefix, databaseUrl, threads)
  try {
    let from: readonly [number, number] | null = null
    for (;;) {
      const left = await backends.redis.backlog(prefix)
      const now = performance.now()
      if (from === null && left <= 0.9 * all) from = [now, left]
      if (from !== null && left <= 0.1 * all) return ((from[1] - left) * 1000) / (now - from[0])
      await new Promise((resolve) => setTimeout(resolve, SAMPLE_MS))
    }
  } finally {
    await server.stop()
  }
}

/** Commits as fast as it goes, then at half of that, with the audit beside it. */
async function keepUp(
  { backends, prefix, store }: Store,
  databaseUrl: string,
): Promise<Pick<Round, 'maxRate' | 'rate' | 'lagP50' | 'lagP99'>> {
  const server = await startAuditing(backends, prefix, databaseUrl, 2)
  const groups = Array.from({ length: UNDER_WAY }, (_, n) => new BasketCommits(store, `paced-${n}`, TOGETHER))
  await Promise.all(groups.map((group) => group.create()))
  // As a worker does behind each commit.
  const wakeup = new AuditWakeup({ redisUrl: backends.redisUrl, prefix, log })
  const redis = new Redis(backends.redisUrl)
  const outbox = new Outbox(redis, new Keys(prefix))
  const partitions = Array.from({ length: PARTITIONS }, (_, partition) => partition)
  const oldestMs = async (): Promise<number> =>
    Math.max(...(await outbox.peek(partitions)).map((depth) => depth.oldestMs))
  try {
    const maxRate = await commitFor(groups, SECONDS / 2, null, wakeup)
    for (const until = Date.now() + 120_000; (await oldestMs()) > 0;)
      if (Date.now() > until) throw new Error('the backlog of the first half does not drain')
    const lag = new Histogram()
    let isOver = false
    const sampling = (async () => {
      while (!isOver) {
        lag.record(await oldestMs())
        await new Promise((resolve) => setTimeout(resolve, SAMPLE_MS))
      }
    })()
    const rate = await commitFor(groups, SECONDS, maxRate / 2, wakeup)
    isOver = true
    await sampling
    const { p50, p99 } = lag.percentiles()
    return { maxRate, rate, lagP50: p50, lagP99: p99 }
  } finally {
    redis.disconnect()
    await wakeup.stop({ deadlineMs: 1000 })
    await server.stop()
  }
}

/** @param rate commits/s that are due, by their time; `null`: as many as can be. @returns commits/s */
async function commitFor(
  groups: readonly BasketCommits[],
  seconds: number,
  rate: number | null,
  wakeup: AuditWakeup,
): Promise<number> {
  const from = performance.now()
  const everyMs = rate === null ? 0 : (1000 * groups.length * TOGETHER) / rate
  let committed = 0
  const commitOn = async (group: BasketCommits, place: number): Promise<void> => {
    for (let turn = 0; ; turn++) {
      const now = performance.now()
      if (now - from > seconds * 1000) return
      const waitMs = from + everyMs * (turn + place / groups.length) - now
      if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs))
      await group.update()
      for (const partition of group.partitions) wakeup.notify(partition)
      committed += TOGETHER
    }
  }
  await Promise.all(groups.map(commitOn))
  return (committed * 1000) / (performance.now() - from)
}

async function startAuditing(
  { redisUrl }: Backends,
  prefix: string,
  databaseUrl: string,
  threads: number,
): Promise<ServerProcess> {
  return startServer([
    'dist/runtime/cli/main.js',
    'bench/machines/basket.ts',
    `--port=${await freePort(null)}`,
    '--workers=1',
    `--redis-url=${redisUrl}`,
    `--database-url=${databaseUrl}`,
    `--key-prefix=${prefix}`,
    `--audit-threads=${threads}`,
    '--host=127.0.0.1',
    '--log-level=warn',
  ])
}

/** Keys of its own, which go with it. */
async function withStore<T>(backends: Backends, use: (store: Store) => Promise<T>): Promise<T> {
  const prefix = `troupe-bench-audit-${Date.now().toString(36)}`
  const store = new RedisSessionStore({
    url: backends.redisUrl,
    keys: new Keys(prefix),
    node: 'bench1',
    commandKeyTtlMs: 120_000,
    log,
  })
  try {
    await store.start()
    return await use({ backends, prefix, store })
  } finally {
    store.stop()
    await backends.redis.clear(prefix)
  }
}

/** A database of its own, which goes with it. */
async function inDatabase<T>({ databaseUrl }: Backends, use: (url: string) => Promise<T>): Promise<T> {
  const name = `troupe_bench_${Date.now().toString(36)}`
  const admin = new Pool({ connectionString: databaseUrl, max: 1 })
  const url = new URL(databaseUrl)
  url.pathname = `/${name}`
  try {
    await admin.query(`create database ${name}`)
    return await use(url.href)
  } finally {
    await admin.query(`drop database if exists ${name} with (force)`)
    await admin.end()
  }
}
