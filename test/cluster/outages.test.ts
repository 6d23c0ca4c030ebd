import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { afterAll, describe, it } from 'vitest'
import type { EmbeddedServer } from '../../runtime/embedded/embedded-server.ts'
import { startPostgres } from '../../runtime/embedded/postgres.ts'
import { startRedis } from '../../runtime/embedded/redis.ts'
import { databaseUrl, redisUrl } from '../support/servers.ts'
import { Cluster } from './cluster.ts'
import { duration } from './duration.ts'
import { ResendingClient } from './resending-client.ts'
import { Writers } from './writers.ts'

/** Where the shared test servers have their Redis, so that it is not fetched again. */
const BINARIES = join(import.meta.dirname, '..', '..', '.troupe', 'redis-server')

const folders: string[] = []
afterAll(() => folders.forEach((folder) => rmSync(folder, { recursive: true, force: true })))

/** For the data of one server. */
function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'troupe-outage-'))
  folders.push(folder)
  return folder
}

// At once: each mostly waits, and has the server that goes away for itself.
describe.concurrent('servers that go away under load', () => {
  it('AU1 AU3 PostgreSQL is stopped: sessions go on, health says so, the backlog drains, no attempt is used up', async ({
    expect,
  }) => {
    const dataDir = newFolder()
    const start = (): Promise<EmbeddedServer> =>
      startPostgres({ dataDir, durable: false, log: () => undefined })
    let postgres = await start()
    const cluster = await Cluster.start({ redisUrl: redisUrl(), databaseUrl: postgres.url })
    try {
      const writers = new Writers()
      await writers.start(cluster, { clients: 20, sessions: 10 })
      await sleep(1000)
      await postgres.stop()
      const atStop = writers.acknowledged
      await sleep(duration(8_000, 60_000))
      const { audit } = await cluster.health()
      expect(audit?.status).toBe('degraded')
      expect(audit?.backlog).toBeGreaterThan(0)
      expect(writers.acknowledged).toBeGreaterThan(atStop + 500)
      postgres = await start()
      await sleep(500)
      await writers.finish(20_000)
      await cluster.whenAuditCaughtUp(60_000)
      await writers.check(cluster)
      expect((await cluster.rows('select 1 from troupe_rejects')).length).toBe(0)
      console.log(
        `PostgreSQL away: ${writers.acknowledged - atStop} updates meanwhile and after, all accounted for`,
      )
    } finally {
      await cluster.stop()
      await postgres.stop()
    }
  })

  it('LC1 Redis hangs while a worker dies: the others stay, and the cluster is whole again afterwards', async ({
    expect,
  }) => {
    const redis = await startRedis({
      dataDir: newFolder(),
      binaries: BINARIES,
      durable: true,
      log: () => undefined,
    })
    const cluster = await Cluster.start({ redisUrl: redis.url, databaseUrl: databaseUrl() })
    try {
      process.kill(redis.process.pid, 'SIGSTOP')
      const [dead, alive] = cluster.pids('worker.js')
      process.kill(dead ?? 0, 'SIGKILL')
      // Longer than it takes to try five times in a row with the pauses between.
      await sleep(duration(33_000, 45_000))
      expect(cluster.pids('worker.js')).toContain(alive)
      process.kill(redis.process.pid, 'SIGCONT')
      // A worker that waits for Redis is there already, and the other has yet to notice that Redis is back. Each answer is
      // of either worker: only several in a row are of both.
      let inARow = 0
      const deadline = Date.now() + 20_000
      while (inARow < 10 && Date.now() < deadline) {
        const isWhole = cluster.pids('worker.js').length === 2 && (await cluster.health()).ok
        inARow = isWhole ? inARow + 1 : 0
        await sleep(100)
      }
      expect(inARow).toBe(10)
    } finally {
      process.kill(redis.process.pid, 'SIGCONT')
      await cluster.stop()
      await cluster.dropDatabase()
      await redis.stop()
    }
  })

  it('LC1 FD1 CM4 Redis is killed with -9 and comes back: nothing acknowledged is lost, subscribers converge', async ({
    expect,
  }) => {
    const dataDir = newFolder()
    const binaries = BINARIES
    // With `everysec` Redis itself may lose what it answered while the disk was busy.
    const start = (): Promise<EmbeddedServer> =>
      startRedis({ dataDir, binaries, durable: true, appendfsync: 'always', log: () => undefined })
    let redis = await start()
    const asked = new Redis(redis.url)
    expect(await asked.config('GET', 'appendfsync')).toEqual(['appendfsync', 'always'])
    asked.disconnect()
    const cluster = await Cluster.start({ redisUrl: redis.url, databaseUrl: databaseUrl() })
    try {
      const writers = new Writers()
      await writers.start(cluster, { clients: 20, sessions: 5 })
      const watcher = new ResendingClient(cluster.url)
      const subscribed = await watcher.request('subscribe', { id: 's0' })
      expect(subscribed.error).toBeUndefined()
      for (let round = 0; round < 2; round++) {
        await sleep(1500)
        process.kill(redis.process.pid, 'SIGKILL')
        await sleep(500)
        redis = await start()
      }
      await sleep(1500)
      await writers.finish(20_000)
      await cluster.whenAuditCaughtUp(30_000)
      const { result } = await new ResendingClient(cluster.url).request('getSession', { id: 's0' })
      const newest = { epoch: result?.['epoch'], version: result?.['version'] }
      const deadline = Date.now() + 15_000
      const last = () => watcher.heard.filter(({ method }) => method === 'sessionUpdated').at(-1)?.params
      while (last()?.['version'] !== newest.version && Date.now() < deadline) await sleep(50)
      expect({ epoch: last()?.['epoch'], version: last()?.['version'] }).toEqual(newest)
      expect(watcher.reconnects).toBe(0)
      watcher.close()
      await writers.check(cluster)
    } finally {
      await cluster.stop()
      await redis.stop()
      await cluster.dropDatabase()
    }
  })
})
