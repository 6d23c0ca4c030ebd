/**
 * Do 100 subscribers that do not read delay the others of their session? (FD3)
 *
 * `npm run bench:slow-subscribers -- --quick`, or with `--redis-url --database-url --rounds --seconds --subscribers
 * --slow --rate --workers`. Without addresses it starts a Redis and a PostgreSQL of its own under `.troupe/bench`.
 */
import { parseArgs } from 'node:util'
import { startCrowd } from './crowd/crowded-server.ts'
import type { UpdatesReport } from './crowd/plan.ts'
import { table } from './load/report.ts'
import { commonFlags, withBackends } from './support/backends.ts'
import type { Backends } from './support/backends.ts'
import { describeMachine, median, writeResults } from './support/results.ts'

const { values: flags } = parseArgs({
  options: {
    ...commonFlags,
    seconds: { type: 'string' },
    subscribers: { type: 'string', default: '200' },
    slow: { type: 'string', default: '100' },
    rate: { type: 'string', default: '20' },
  },
})

const seconds = Number(flags.seconds ?? (flags.quick ? 4 : 10))
const rounds = Number(flags.rounds ?? (flags.quick ? 1 : 5))
const counts = [0, Number(flags.slow)] as const

interface Round {
  readonly without: UpdatesReport
  readonly beside: UpdatesReport
}

await withBackends(flags, async (backends) => {
  printHeader((await backends.redis.server()).version)
  const all: Round[] = []
  for (let round = 0; round < rounds; round++) all.push(await runRound(round, backends))
  console.log(`written to ${await writeResults('slow-subscribers', { flags, summary: describe(all), all })}`)
})

async function runRound(round: number, backends: Backends): Promise<Round> {
  const reports = new Map<number, UpdatesReport>()
  for (const count of round % 2 === 0 ? counts : [...counts].reverse()) {
    const report = await measure(count, backends)
    reports.set(count, report)
    const { latency, missing } = report
    console.log(
      `  ${String(count).padStart(3)} slow  p50 ${latency.p50.toFixed(1)} p99 ${latency.p99.toFixed(1)} max ${latency.max.toFixed(1)} ms` +
        (missing === 0 ? '' : `\n    TROUBLE: ${missing} deliveries to the others did NOT come`),
    )
  }
  const [without, beside] = counts.map((count) => reports.get(count))
  if (without === undefined || beside === undefined) throw new Error('--slow must be above 0')
  return { without, beside }
}

async function measure(slow: number, backends: Backends): Promise<UpdatesReport> {
  const { crowd, stop } = await startCrowd({
    ...backends,
    variant: 'troupe',
    workers: Number(flags.workers),
    subscribers: Number(flags.subscribers),
    sessions: 1,
  })
  try {
    await crowd.connect()
    await crowd.connectSlow(slow)
    return await crowd.update({
      pace: { kind: 'rate', value: Number(flags.rate) },
      warmUpMs: 2000,
      measureMs: seconds * 1000,
    })
  } finally {
    await stop()
  }
}

function describe(all: readonly Round[]): object[] {
  const summary = (['p50', 'p99'] as const).map((what) => {
    const ratios = all.map(({ without, beside }) => beside.latency[what] / without.latency[what])
    return {
      what,
      without: median(all.map(({ without }) => without.latency[what])),
      beside: median(all.map(({ beside }) => beside.latency[what])),
      ratio: median(ratios),
      ratios,
    }
  })
  console.log(
    table(
      ['ms, medians', 'without', 'beside slow ones', 'ratio', 'by round'],
      summary.map(({ what, without, beside, ratio, ratios }) => [
        what,
        without.toFixed(1),
        beside.toFixed(1),
        ratio.toFixed(2),
        ratios.map((each) => each.toFixed(2)).join(' '),
      ]),
    ),
  )
  return summary
}

function printHeader(redisVersion: string): void {
  const { cpu, cores, node } = describeMachine()
  console.log(`\
Deliveries to ${flags.subscribers} subscribers, without and beside ${flags.slow} of the same session that do not read
  ${cpu}, ${cores} cores; Node ${node}; Redis ${redisVersion}; ${flags.workers} workers
  Measured: ${flags.rate} updates/s, from the sending of an update to its arrival at each subscriber that reads. Before, messages of
  9.6 MB in all fill the system's buffers of those that do not, so that the server holds back what is for them.
  ${rounds} round(s) of ${seconds} s after warm-up, each with fresh servers; a ratio of 1: they delay nobody.
  NOT measured: a network (all is loopback), more than this machine (subscribers, servers and Redis share its cores).`)
}
