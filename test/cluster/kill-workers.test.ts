import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { databaseUrl, redisUrl } from '../support/servers.ts'
import { Cluster } from './cluster.ts'
import { duration } from './duration.ts'
import { Writers } from './writers.ts'

const KILL_EVERY_MS = 1000

describe('processes killed with -9 while 50 clients write', () => {
  it('LC1 CM2 CM4 CM5 AU1 AU2 workers: versions are 1…n, each acknowledged update is there once, nobody hangs', async () => {
    const { kills, acknowledged } = await killWhileWriting('worker.js', duration(8_000, 30_000))
    expect(kills).toBeGreaterThan(4)
    expect(acknowledged).toBeGreaterThan(500)
  })

  it('LC1 AU1 AU2 AU3 the audit process: every transition reaches PostgreSQL once', async () => {
    const { kills, acknowledged } = await killWhileWriting('audit.js', duration(6_000, 30_000))
    expect(kills).toBeGreaterThan(3)
    expect(acknowledged).toBeGreaterThan(500)
  })
})

async function killWhileWriting(
  script: string,
  ms: number,
): Promise<{ kills: number; acknowledged: number }> {
  const cluster = await Cluster.start({ redisUrl: redisUrl(), databaseUrl: databaseUrl() })
  try {
    const writers = new Writers()
    await writers.start(cluster, { clients: 50, sessions: 10 })
    let kills = 0
    for (const until = Date.now() + ms; Date.now() < until;) {
      await sleep(KILL_EVERY_MS)
      if (cluster.killOne(script)) kills++
    }
    await writers.finish(20_000)
    await cluster.whenAuditCaughtUp(40_000)
    await writers.check(cluster)
    console.log(`${script}: ${kills} kills, ${writers.acknowledged} acknowledged updates, all accounted for`)
    return { kills, acknowledged: writers.acknowledged }
  } finally {
    await cluster.stop()
    await cluster.dropDatabase()
  }
}
