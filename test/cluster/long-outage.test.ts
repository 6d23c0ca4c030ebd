import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { expect, it } from 'vitest'
import { PARTITIONS } from '../../actors/partitions.ts'
import { Keys } from '../../persistence/keys.ts'
import { startPostgres } from '../../runtime/embedded/postgres.ts'
import { redisUrl } from '../support/servers.ts'
import { Cluster } from './cluster.ts'
import { duration } from './duration.ts'
import { Writers } from './writers.ts'

/** Parts of the measured rate: others use the machine too. */
const AS_FAST = 0.6

it('AU1 AU3 PostgreSQL is away for ten minutes: sessions go on as fast as before, and the backlog drains', async () => {
  const dataDir = mkdtempSync(join(tmpdir(), 'troupe-long-outage-'))
  const start = () => startPostgres({ dataDir, durable: false, log: () => undefined })
  let postgres = await start()
  const cluster = await Cluster.start({ redisUrl: redisUrl(), databaseUrl: postgres.url })
  const redis = new Redis(redisUrl())
  try {
    const writers = new Writers()
    await writers.start(cluster, { clients: 10, sessions: 20, pauseMs: 25 })
    /** Acknowledged updates per second. */
    const rateOver = async (ms: number): Promise<number> => {
      const [before, from] = [writers.acknowledged, performance.now()]
      await sleep(ms)
      return Math.round((writers.acknowledged - before) / ((performance.now() - from) / 1000))
    }
    await sleep(1_000)
    const rateBefore = await rateOver(duration(3_000, 60_000))
    await postgres.stop()
    const rateMeanwhile = await rateOver(duration(6_000, 600_000))
    const { ok, audit } = await cluster.health()
    expect({ ok, audit: audit?.status }).toEqual({ ok: true, audit: 'degraded' })
    expect(audit?.reason).toContain('PostgreSQL')
    expect(rateMeanwhile).toBeGreaterThan(AS_FAST * rateBefore)

    await writers.finish(20_000)
    const outbox = await outboxOf(redis, cluster.prefix)
    expect(outbox.entries).toBeGreaterThan(100)
    const from = performance.now()
    postgres = await start()
    const back = performance.now()
    await cluster.whenAuditCaughtUp(300_000)
    // It is told four times, half a second apart, before it counts as caught up.
    const drainedMs = performance.now() - back - 2_000
    await writers.check(cluster)
    expect((await cluster.rows('select 1 from troupe_rejects')).length).toBe(0)
    console.log(
      `PostgreSQL away: ${rateBefore} updates/s before, ${rateMeanwhile} meanwhile; ${outbox.entries} transitions waited ` +
        `(${Math.round(outbox.bytes / outbox.entries)} bytes each); PostgreSQL was back after ${Math.round(back - from)} ms, ` +
        `and all were written ${Math.round(drainedMs)} ms later (${Math.round((outbox.entries * 1000) / drainedMs)} rows/s)`,
    )
  } finally {
    redis.disconnect()
    await cluster.stop()
    await postgres.stop()
    rmSync(dataDir, { recursive: true, force: true })
  }
}, 1_500_000)

async function outboxOf(redis: Redis, prefix: string): Promise<{ entries: number; bytes: number }> {
  const keys = new Keys(prefix)
  let [entries, bytes] = [0, 0]
  for (let partition = 0; partition < PARTITIONS; partition++) {
    entries += await redis.xlen(keys.outbox(partition))
    bytes += Number((await redis.memory('USAGE', keys.outbox(partition), 'SAMPLES', 0)) ?? 0)
  }
  return { entries, bytes }
}
