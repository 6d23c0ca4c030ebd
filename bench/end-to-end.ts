/**
 * How many acknowledged updates per second, and at which latency, against a server written by hand?
 *
 * `npm run bench:end-to-end -- --quick`, or with `--redis-url --database-url --rounds --seconds --clients --sessions
 * --workers`; with `--rate` only latency, at so many requests per second. Without addresses it starts a Redis and a PostgreSQL
 * of its own under `.troupe/bench`.
 */
import { parseArgs } from 'node:util'
import {
  MANY_OTHERS,
  describeMeasurement,
  describeSummary,
  perSecond,
  summarize,
} from './end-to-end/describe.ts'
import type { Round } from './end-to-end/describe.ts'
import { describeExpectations, judge } from './end-to-end/expectations.ts'
import { measure } from './end-to-end/measure.ts'
import type { Bench, Measurement } from './end-to-end/measure.ts'
import { variants } from './end-to-end/variants.ts'
import { defaultConfig } from './load/plan.ts'
import type { LoadConfig } from './load/plan.ts'
import { describeLoad } from './load/report.ts'
import { commonFlags, withBackends } from './support/backends.ts'
import { BenchPostgres } from './support/bench-postgres.ts'
import type { BenchRedis } from './support/bench-redis.ts'
import { describeMachine, writeResults } from './support/results.ts'

const { values: flags } = parseArgs({
  options: {
    ...commonFlags,
    seconds: { type: 'string' },
    clients: { type: 'string', default: '64' },
    sessions: { type: 'string', default: '1024' },
    rate: { type: 'string' },
  },
})

type Scenario = Omit<LoadConfig, 'url' | 'run'>

const seconds = Number(flags.seconds ?? (flags.quick ? 3 : 10))
const rounds = Number(flags.rounds ?? (flags.quick ? 1 : 3))
const clients = Number(flags.clients)
if (flags.rate !== undefined && !(Number(flags.rate) > 0))
  throw new Error('--rate: must be requests per second, above 0')
const ownSessions: Scenario = {
  ...defaultConfig,
  clients,
  sessions: Number(flags.sessions),
  warmUpMs: flags.quick ? 1500 : 3000,
  measureMs: seconds * 1000,
}
const sharedSessions: Scenario = { ...ownSessions, sessions: Math.ceil(clients / 4), subscribe: true }
/** What clients of a shared session do besides changing it. */
const mixed: Scenario = { ...ownSessions, mix: { getSession: 4, updateSession: 4, broadcastToSession: 2 } }

await withBackends(flags, async ({ redisUrl, databaseUrl, redis }) => {
  const postgres = await BenchPostgres.connect(databaseUrl)
  try {
    await compare(redisUrl, databaseUrl, redis, postgres)
  } finally {
    await postgres.close()
  }
})

async function compare(
  redisUrl: string,
  databaseUrl: string,
  redis: BenchRedis,
  postgres: BenchPostgres,
): Promise<void> {
  const [redisServer, postgresServer] = await Promise.all([redis.server(), postgres.server()])
  const started = Date.now().toString(36)
  let names = 0
  const bench: Bench = {
    backends: { redisUrl, databaseUrl },
    redis,
    postgres,
    redisPid: redisServer.pid,
    postgresPid: postgresServer.pid,
    workers: Number(flags.workers),
    nextName: () => `${started}-${++names}`,
  }
  printHeader(redisServer, postgresServer.version)
  const servers = { redis: redisServer, postgres: postgresServer.version, workers: bench.workers }
  if (flags.rate !== undefined) {
    const measurements = await pace(bench, Number(flags.rate))
    console.log(`\nwritten to ${await writeResults('paced', { servers, measurements })}`)
    return
  }

  console.log(
    `\n1. Updates only, closed loop: ${clients} clients, each with sessions of its own (${ownSessions.sessions})`,
  )
  const own = await alternate(bench, ownSessions)
  console.log(`\n2. Updates only, closed loop: ${clients} clients, four to a session, all subscribed`)
  const shared = await alternate(bench, sharedSessions)

  console.log('\n3. Paced at half of the maximum, 4 getSession : 4 updateSession : 2 broadcastToSession')
  const maximum = await measure(bench, 'troupe + audit', mixed)
  const rate = maximum.load.requestsPerSecond / 2
  console.log(
    `  maximum of troupe + audit with this mix: ${perSecond(maximum.load.requestsPerSecond)} requests/s`,
  )
  const paced = await pace(bench, rate)

  const last = paced.at(-1)
  const expectations = last === undefined ? [] : judge(own, last)
  console.log(`\n4. Expected\n${describeExpectations(expectations)}`)
  const others = Math.max(...[...own.flat(), ...paced].map(({ cpu }) => cpu.others))
  if (others >= MANY_OTHERS) {
    console.log(`  Undecided all the same: other programs used up to ${others.toFixed(2)} cores meanwhile.`)
  }
  if (rounds < 3) {
    console.log(
      '  Undecided all the same: in single rounds the same server measured twice differs by a tenth.',
    )
  }

  const results = {
    expectations,
    servers,
    own: { summary: summarize(own), rounds: own },
    shared: { summary: summarize(shared), rounds: shared },
    paced: { maximum, rate, measurements: paced },
  }
  console.log(`\nwritten to ${await writeResults('end-to-end', results)}`)
}

/** @param rate requests per second, whatever the servers do */
async function pace(bench: Bench, rate: number): Promise<Measurement[]> {
  const measurements: Measurement[] = []
  for (const variant of variants) {
    const measurement = await measure(bench, variant, { ...mixed, rate, measureMs: 2 * mixed.measureMs })
    console.log(`${describeMeasurement(measurement)}\n${describeLoad(measurement.load)}`)
    measurements.push(measurement)
  }
  return measurements
}

/** Rounds in which each variant has its turn, another one first each time, so that drift of the machine meets all. */
async function alternate(bench: Bench, scenario: Scenario): Promise<Round[]> {
  const all: Round[] = []
  for (let round = 0; round < rounds; round++) {
    const measurements: Measurement[] = []
    for (let turn = 0; turn < variants.length; turn++) {
      const variant = variants[(round + turn) % variants.length]
      if (variant === undefined) continue
      const measurement = await measure(bench, variant, scenario)
      console.log(describeMeasurement(measurement))
      measurements.push(measurement)
    }
    all.push(measurements)
  }
  console.log(describeSummary(all))
  return all
}

function printHeader(redis: { version: string; appendOnly: boolean }, postgresVersion: string): void {
  const { cpu, cores, node } = describeMachine()
  console.log(`\
Acknowledged updates per second and latency, beside a server written by hand
  ${cpu}, ${cores} cores; Node ${node}; Redis ${redis.version}${redis.appendOnly ? ', append-only' : ''}; PostgreSQL ${postgresVersion}; ${flags.workers} workers
  Measured: from a client's request over WebSocket to its reply, with the update in Redis and in the outbox; ${rounds} round(s)
  of ${seconds} s after warm-up, each variant with a fresh server; afterwards every session is read back.
  The baseline is bench/baseline: cluster, ws, XState, one Lua script per update. It has the same machine, payload,
  Redis and client, and none of the guarantees: no command keys, no commit numbers, no tombstones, no audit behind its outbox.
  NOT measured: a network (all is loopback), more than this machine (client, servers, Redis and PostgreSQL share its cores, so
  what the client uses the servers lack), Redis rewriting its append-only file (done between measurements), TLS,
  authentication, large contexts, Redis Cluster, hours of running.
  Closed-loop latencies are those of an overloaded server; judge latency by part 3 only, where each request is timed from
  when it was due, which includes up to about 1 ms by which the driver's own timer is late (its row says how much).`)
}
