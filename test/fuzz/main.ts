/** `npm run fuzz -- --seed 1 --count 100000`: hostile input at a cluster of its own, some minutes. */
import { parseArgs } from 'node:util'
import { withServers } from '../../bench/support/servers.ts'
import { Cluster } from '../cluster/cluster.ts'
import { MEMORY_BOUND_MB, fuzz } from './fuzz.ts'

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: String(Date.now() % 2 ** 31) },
    count: { type: 'string', default: '100000' },
    'redis-url': { type: 'string' },
    'database-url': { type: 'string' },
  },
})
const [seed, count] = [Number(values.seed), Number(values.count)]
if (!Number.isSafeInteger(seed) || !Number.isSafeInteger(count) || count < 1) {
  process.stderr.write('fuzz: --seed and --count are whole numbers\n')
  process.exit(2)
}

const say = (line: string): void => void process.stdout.write(`${line}\n`)
const given = { redisUrl: values['redis-url'], databaseUrl: values['database-url'] }

await withServers(given, async ({ redisUrl, databaseUrl }) => {
  if (databaseUrl === null) throw new Error('a PostgreSQL is needed')
  say(`seed ${seed}: the same inputs again with --seed ${seed} --count ${count}`)
  const cluster = await Cluster.start({ redisUrl, databaseUrl })
  try {
    const { findings, memoryMb, ...figures } = await fuzz({ cluster, redisUrl, seed, count, say })
    say(
      `${figures.inputs} inputs over ${figures.connections} connections in ${figures.seconds} s; beside them ${figures.acknowledged} ` +
        `acknowledged updates; ${figures.sessions} sessions at the end`,
    )
    say(
      `memory of the workers: ${memoryMb.map(([warm, end]) => `${warm} → ${end} MB`).join(', ')} (bound: +${MEMORY_BOUND_MB} MB)`,
    )
    for (const finding of findings) say(`FOUND ${finding}`)
    say(findings.length === 0 ? 'Nothing was found.' : `${findings.length} findings.`)
    process.exitCode = findings.length === 0 ? 0 : 1
  } finally {
    await cluster.stop()
    await cluster.dropDatabase()
  }
})
