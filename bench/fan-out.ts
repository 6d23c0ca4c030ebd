/**
 * How many deliveries per second from one session to 1,000 subscribers, and how late, against a hand-written fan-out?
 *
 * `npm run bench:fan-out -- --quick`, or with `--redis-url --database-url --rounds --seconds --subscribers
 * --workers --window`. Without addresses it starts a Redis and a PostgreSQL of its own under `.troupe/bench`.
 */
import { parseArgs } from 'node:util'
import { startCrowd } from './crowd/crowded-server.ts'
import type { CrowdedServer } from './crowd/crowded-server.ts'
import { crowdVariants } from './crowd/variants.ts'
import type { CrowdVariant } from './crowd/variants.ts'
import type { UpdatesPlan, UpdatesReport } from './crowd/plan.ts'
import { table } from './load/report.ts'
import { cpuBetween, noSample, sampleCpu } from './support/cpu.ts'
import type { CpuUse } from './support/cpu.ts'
import { commonFlags, withBackends } from './support/backends.ts'
import type { Backends } from './support/backends.ts'
import { describeMachine, median, writeResults } from './support/results.ts'

const { values: flags } = parseArgs({
  options: {
    ...commonFlags,
    seconds: { type: 'string' },
    subscribers: { type: 'string', default: '1000' },
    window: { type: 'string', default: '4' },
  },
})

const MIN_RATIO = 0.9
const seconds = Number(flags.seconds ?? (flags.quick ? 3 : 8))
const rounds = Number(flags.rounds ?? (flags.quick ? 1 : 5))
const subscribers = Number(flags.subscribers)
const times = { warmUpMs: flags.quick ? 1500 : 3000, measureMs: seconds * 1000 }

interface Measured {
  readonly report: UpdatesReport
  readonly cpu: CpuUse
}
type OfEach<T> = Record<CrowdVariant, T>
interface Round {
  readonly full: OfEach<Measured>
  /** Updates per second, the same for both. */
  readonly rate: number
  readonly paced: OfEach<Measured>
}

await withBackends(flags, async (backends) => {
  const server = await backends.redis.server()
  printHeader(server.version)
  const all: Round[] = []
  for (let round = 0; round < rounds; round++) all.push(await runRound(round, server.pid, backends))
  const summary = describe(all)
  console.log(`written to ${await writeResults('fan-out', { flags, summary, rounds: all })}`)
})

async function runRound(round: number, redisPid: number, backends: Backends): Promise<Round> {
  const order = round % 2 === 0 ? crowdVariants : [...crowdVariants].reverse()
  const crowds = {} as OfEach<CrowdedServer>
  try {
    for (const variant of order) {
      crowds[variant] = await startCrowd({
        ...backends,
        variant,
        workers: Number(flags.workers),
        subscribers,
        sessions: 1,
      })
      await crowds[variant].crowd.connect()
    }
    const measureAll = async (pace: UpdatesPlan['pace']): Promise<OfEach<Measured>> => {
      const measured = {} as OfEach<Measured>
      for (const variant of order) {
        measured[variant] = await measure(crowds[variant], { ...times, pace }, redisPid)
        console.log(describeMeasured(variant, pace, measured[variant]))
      }
      return measured
    }
    const full = await measureAll({ kind: 'window', value: Number(flags.window) })
    const slowest = Math.min(...crowdVariants.map((variant) => full[variant].report.updatesPerSecond))
    const rate = slowest / 2
    return { full, rate, paced: await measureAll({ kind: 'rate', value: rate }) }
  } finally {
    for (const { stop } of Object.values(crowds)) await stop()
  }
}

async function measure(
  { server, crowd }: CrowdedServer,
  plan: UpdatesPlan,
  redisPid: number,
): Promise<Measured> {
  let before = noSample
  let after = noSample
  const report = await crowd.update(plan, (event) => {
    if (event === 'measuring') before = sampleCpu()
    else after = sampleCpu()
  })
  const cpu = cpuBetween(before, after, report.elapsedMs, { rootPid: server.pid, redisPid, postgresPid: 0 })
  return { report, cpu }
}

/** CPU time of the servers for one delivery, in µs: says more than deliveries where others share the machine. */
function cpuPerDelivery({ report, cpu }: Measured): number {
  return (cpu.servers.reduce((sum, cores) => sum + cores, 0) / report.deliveriesPerSecond) * 1e6
}

function describeMeasured(variant: CrowdVariant, pace: UpdatesPlan['pace'], measured: Measured): string {
  const { report, cpu } = measured
  const { latency } = report
  return (
    `  ${variant.padEnd(9)} ${pace.kind === 'rate' ? 'paced' : 'full '} ${Math.round(report.deliveriesPerSecond)} deliveries/s` +
    ` (${report.updatesPerSecond.toFixed(1)} updates/s, ${Math.round(report.bytesPerDelivery)} bytes each)` +
    (pace.kind === 'rate'
      ? `  p50 ${latency.p50.toFixed(1)} p99 ${latency.p99.toFixed(1)} max ${latency.max.toFixed(1)} ms`
      : '') +
    `  cores: servers ${cpu.servers
      .filter((cores) => cores >= 0.005)
      .map((cores) => cores.toFixed(2))
      .join(' + ')}` +
    `, Redis ${cpu.redis.toFixed(2)}, crowd ${report.crowdCores.toFixed(2)}, others ${cpu.others.toFixed(2)}` +
    `; ${cpuPerDelivery(measured).toFixed(2)} µs of servers each` +
    (report.missing === 0 ? '' : `\n    TROUBLE: ${report.missing} deliveries did NOT come`)
  )
}

function describe(all: readonly Round[]): object {
  const figures = [
    {
      what: 'deliveries/s',
      of: (round: Round, variant: CrowdVariant) => round.full[variant].report.deliveriesPerSecond,
      more: true,
    },
    {
      what: 'CPU µs of servers per delivery',
      of: (round: Round, variant: CrowdVariant) => cpuPerDelivery(round.full[variant]),
      more: false,
    },
    {
      what: 'paced: p50 ms',
      of: (round: Round, variant: CrowdVariant) => round.paced[variant].report.latency.p50,
      more: false,
    },
    {
      what: 'paced: p99 ms',
      of: (round: Round, variant: CrowdVariant) => round.paced[variant].report.latency.p99,
      more: false,
    },
    {
      what: 'paced: CPU µs of servers per delivery',
      of: (round: Round, variant: CrowdVariant) => cpuPerDelivery(round.paced[variant]),
      more: false,
    },
  ]
  const summary = figures.map(({ what, of, more }) => {
    const ratios = all.map((round) =>
      more ? of(round, 'troupe') / of(round, 'baseline') : of(round, 'baseline') / of(round, 'troupe'),
    )
    return {
      what,
      baseline: median(all.map((round) => of(round, 'baseline'))),
      troupe: median(all.map((round) => of(round, 'troupe'))),
      ratio: median(ratios),
      ratios,
    }
  })
  console.log(
    table(
      ['medians', 'baseline', 'troupe', 'ratio', 'by round'],
      summary.map(({ what, baseline, troupe, ratio, ratios }) => [
        what,
        baseline.toFixed(2),
        troupe.toFixed(2),
        ratio.toFixed(2),
        ratios.map((each) => each.toFixed(2)).join(' '),
      ]),
    ),
  )
  for (const what of ['deliveries/s', 'paced: p99 ms']) {
    const ratio = summary.find((each) => each.what === what)?.ratio ?? 0
    console.log(
      `  ${ratio >= MIN_RATIO ? 'met' : 'NOT MET'}: ${what}, at least ${MIN_RATIO} of the baseline: ${ratio.toFixed(2)}`,
    )
  }
  return summary
}

function printHeader(redisVersion: string): void {
  const { cpu, cores, node } = describeMachine()
  console.log(`\
Deliveries from one session to ${subscribers} subscribers, beside a fan-out written by hand
  ${cpu}, ${cores} cores; Node ${node}; Redis ${redisVersion}; ${flags.workers} workers, half of the subscribers on each
  Measured: one writer changes the session over WebSocket; each subscriber gets each update, whole, in a frame of the same
  size. Full: the next update is sent when the one before is acknowledged and all but ${flags.window} have arrived everywhere.
  Paced: at half of what the slower one can do, latency from the sending of an update to its arrival at each subscriber.
  ${rounds} round(s) of ${seconds} s after warm-up, each with fresh servers; a ratio above 1 is in favour of Troupe.
  The baseline is bench/baseline/fan-out: it keeps no session and stores nothing, so each update costs it one publication,
  where ours is a transition, a commit with its outbox entry, and a publication.
  NOT measured: a network (all is loopback), more than this machine: subscribers, servers and Redis share its cores, and the
  subscribers, though they only count frames by their heads, use a good part of them, alike for both.`)
}
