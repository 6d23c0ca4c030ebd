import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { faultPoints, wakeupPoints } from '../../persistence/audit/fault-points.ts'
import type { EmbeddedServer } from '../../runtime/embedded/embedded-server.ts'
import { startRedis } from '../../runtime/embedded/redis.ts'
import { databaseUrl } from '../support/servers.ts'
import { AuditInFaults, type Fault, type Moment } from './audit-in-faults.ts'
import { duration } from './duration.ts'

const BINARIES = join(import.meta.dirname, '..', '..', '.troupe', 'redis-server')

/** Every point, and the one between statement and answer both before and after PostgreSQL has committed. */
const moments: readonly Moment[] = [
  ...faultPoints.flatMap((point): Moment[] =>
    point === 'insert-sent'
      ? [
          { point, statement: 'open' },
          { point, statement: 'committed' },
        ]
      : [{ point }],
  ),
  ...wakeupPoints.map((point) => ({ point })),
]

const faults: readonly (readonly [string, readonly Fault[]])[] = [
  ['AU1 AU2 AU3 LC1 the process is killed with -9', ['kill']],
  ['AU1 AU2 AU3 a thread ends, or throws what nobody catches', ['exit', 'throw']],
  ['AU1 AU2 AU3 a thread is out of memory', ['memory']],
  ['AU1 AU2 AU3 the connections to PostgreSQL are lost', ['connections']],
  ['AU1 AU2 AU3 Redis is killed with -9 and started again', ['redis']],
]
/** In `npm test`: -9 at each point, and at each point one of the others in turn. */
const some: typeof faults = [
  ['AU1 AU2 AU3 LC1 the process is killed with -9', ['kill']],
  [
    'AU1 AU2 AU3 a thread ends or is out of memory, PostgreSQL is lost, Redis is killed, in turn',
    ['exit', 'connections', 'memory', 'redis', 'throw'],
  ],
]

/** With a Redis of its own, since that may be what is harmed. */
async function withAudit(use: (audit: AuditInFaults) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'troupe-faults-'))
  const settings = { dataDir: folder, binaries: BINARIES, durable: true, log: () => undefined }
  // With `everysec` Redis itself may lose what it answered while the disk was busy.
  const start = (): Promise<EmbeddedServer> => startRedis({ ...settings, appendfsync: 'always' })
  let redis = await start()
  try {
    const audit = await AuditInFaults.start(redis.url, databaseUrl(), async () => {
      process.kill(redis.process.pid, 'SIGKILL')
      redis = await start()
    })
    await use(audit).finally(() => audit.stop())
  } finally {
    await redis.stop()
    rmSync(folder, { recursive: true, force: true })
  }
}

const THREAD_ENDS: ReadonlySet<Fault> = new Set(['exit', 'throw', 'memory'])

describe(
  'the audit writes every row once, whatever is harmed at whichever point',
  { timeout: 400_000 },
  () => {
    it.each(duration(0, 1) === 1 ? faults : some)('%s', async (_title, kinds) =>
      withAudit(async (audit) => {
        const { pid } = audit
        for (const [index, moment] of moments.entries())
          await audit.strike(moment, kinds[index % kinds.length] as Fault)
        await audit.check()
        expect(audit.struck).toHaveLength(moments.length)
        const deadly = moments.filter((_, index) => THREAD_ENDS.has(kinds[index % kinds.length] as Fault))
        expect(audit.deaths).toBeGreaterThanOrEqual(deadly.length)
        // Warnings of other kinds would come in its place: it is told one of them in ten seconds.
        if (kinds.every((kind) => kind === 'memory')) expect(audit.warnings.join()).toContain('memory limit')
        // Only its killing ended it.
        if (kinds.includes('kill')) expect(audit.pid).not.toBe(pid)
        else expect(audit.pid).toBe(pid)
      }),
    )
  },
)

it(
  'AU1 AU2 AU3 the audit writes every row once, whatever is harmed in whichever order',
  async () =>
    withAudit(async (audit) => {
      const kinds = faults.flatMap(([, some]) => some)
      const until = Date.now() + duration(0, 180_000)
      let random = Number(process.env['TROUPE_SEED'] ?? 1)
      const draw = <T>(from: readonly T[]): T => {
        random = (random * 1_103_515_245 + 12_345) % 2_147_483_648
        return from[Math.floor((random / 2_147_483_648) * from.length)] as T
      }
      do await audit.strike(draw(moments), draw(kinds))
      while (Date.now() < until)
      await audit.check()
      console.log(`${audit.struck.length} faults at points of the audit, all rows there once`)
    }),
  400_000,
)
