/**
 * How much memory does an idle connection with a subscription take in the servers, against plain `ws`?
 *
 * `npm run bench:idle-connections -- --quick`, or with `--redis-url --database-url --rounds --connections --workers`. Without
 * addresses it starts a Redis and a PostgreSQL of its own under `.troupe/bench`.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { startCrowd } from './crowd/crowded-server.ts'
import { crowdVariants } from './crowd/variants.ts'
import { CrowdProcess } from './crowd/launch.ts'
import type { CrowdVariant } from './crowd/variants.ts'
import { WorkerMemory } from './idle/worker-memory.ts'
import type { Memory } from './idle/worker-memory.ts'
import { table } from './load/report.ts'
import { commonFlags, withBackends } from './support/backends.ts'
import type { Backends } from './support/backends.ts'
import { describeMachine, median, writeResults } from './support/results.ts'

const { values: flags } = parseArgs({
  options: {
    ...commonFlags,
    connections: { type: 'string' },
  },
})

const MAX_RATIO = 1.3
/** Connections that come and go before. */
const WARM_UP = 200
/** Timers that began with the connections (lingering, comparing) have run once by then. */
const SETTLE_MS = flags.quick ? 2000 : 10_000
const rounds = Number(flags.rounds ?? (flags.quick ? 1 : 3))
const connections = Number(flags.connections ?? (flags.quick ? 1000 : 5000))
const rows = [
  { name: 'a session each', sessions: connections },
  { name: 'one session', sessions: 1 },
] as const

/** Bytes per connection, workers alone. */
interface PerConnection {
  readonly row: string
  readonly variant: CrowdVariant
  readonly rss: number
  /** JavaScript's heap and what it holds outside, after garbage collection. */
  readonly live: number
}

await withBackends(flags, async (backends) => {
  printHeader((await backends.redis.server()).version)
  const all: PerConnection[] = []
  for (let round = 0; round < rounds; round++) {
    const order = round % 2 === 0 ? crowdVariants : [...crowdVariants].reverse()
    for (const { name, sessions } of rows) {
      for (const variant of order) {
        const one = await measure(backends, variant, name, sessions)
        console.log(
          `  ${variant.padEnd(9)} ${name.padEnd(15)} RSS ${kB(one.rss)} kB, live ${kB(one.live)} kB`,
        )
        all.push(one)
      }
    }
  }
  const summary = describe(all)
  console.log(`written to ${await writeResults('idle-connections', { flags, summary, all })}`)
})

async function measure(
  backends: Backends,
  variant: CrowdVariant,
  row: string,
  sessions: number,
): Promise<PerConnection> {
  const memory = new WorkerMemory()
  const { nodeArgs, env } = memory
  try {
    const { server, crowd, stop } = await startCrowd({
      ...backends,
      variant,
      workers: Number(flags.workers),
      subscribers: connections,
      sessions,
      nodeArgs,
      env,
    })
    try {
      // What the first connections load and compile is not theirs alone.
      await warmUp(server.url, sessions === 1 ? 1 : WARM_UP)
      await sleep(SETTLE_MS)
      const before = await memory.read()
      await crowd.connect()
      await sleep(SETTLE_MS)
      const after = await memory.read()
      const per = (of: (memory: Memory) => number): number => (of(after) - of(before)) / connections
      return {
        row,
        variant,
        rss: per(({ rss }) => rss),
        live: per(({ heapUsed, external }) => heapUsed + external),
      }
    } finally {
      await stop()
    }
  } finally {
    memory.close()
  }
}

async function warmUp(url: string, sessions: number): Promise<void> {
  const run = `warm-up-${Date.now().toString(36)}`
  const crowd = await CrowdProcess.start({ url, run, subscribers: WARM_UP, sessions })
  try {
    await crowd.connect()
  } finally {
    await crowd.stop()
  }
}

function describe(all: readonly PerConnection[]): object[] {
  const summary = rows.flatMap(({ name }) =>
    (['rss', 'live'] as const).map((what) => {
      const of = (variant: CrowdVariant): number[] =>
        all.filter((each) => each.row === name && each.variant === variant).map((each) => each[what])
      const [baseline, troupe] = [of('baseline'), of('troupe')]
      const ratios = troupe.map((each, round) => each / (baseline[round] ?? NaN))
      return {
        row: name,
        what,
        baseline: median(baseline),
        troupe: median(troupe),
        ratio: median(ratios),
        ratios,
      }
    }),
  )
  console.log(
    table(
      ['kB per connection, medians', 'baseline', 'troupe', 'ratio', 'by round', `at most ${MAX_RATIO}`],
      summary.map(({ row, what, baseline, troupe, ratio, ratios }) => [
        `${row}: ${what === 'rss' ? 'RSS' : 'live heap and external'}`,
        kB(baseline),
        kB(troupe),
        ratio.toFixed(2),
        ratios.map((each) => each.toFixed(2)).join(' '),
        ratio <= MAX_RATIO ? 'met' : 'NOT MET',
      ]),
    ),
  )
  return summary
}

function kB(bytes: number): string {
  return (bytes / 1000).toFixed(1)
}

function printHeader(redisVersion: string): void {
  const { cpu, cores, node } = describeMachine()
  console.log(`\
Memory of an idle connection with a subscription, beside plain ws
  ${cpu}, ${cores} cores; Node ${node}; Redis ${redisVersion}; ${flags.workers} workers, ${connections} connections
  Measured: the workers of a fresh server before the connections and ${SETTLE_MS / 1000} s after the last of them, each time after
  garbage collection; the sessions are created before, and ${WARM_UP} connections have come and gone. Judge by live: what cannot be
  freed. RSS counts pages that V8 had before or keeps after, and differs from run to run by more than what is asked. ${rounds} round(s); a ratio below 1 is in favour of Troupe.
  The baseline is bench/baseline/fan-out: ws, a Map of subscriptions and a Redis channel for each session. Troupe also holds
  the newest record of each subscribed session, ready for whoever comes next or fell behind.
  NOT measured: buffers of the system's sockets, Redis' memory, connections that do something.`)
}
