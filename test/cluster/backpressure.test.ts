import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { expect, it } from 'vitest'
import WebSocket from 'ws'
import { startPostgres } from '../../runtime/embedded/postgres.ts'
import { startRedis } from '../../runtime/embedded/redis.ts'
import { send } from '../transport/http/http-client.ts'
import { Cluster } from './cluster.ts'
import type { Reply } from './resending-client.ts'
import { duration } from './duration.ts'
import { Writers } from './writers.ts'

const BINARIES = join(import.meta.dirname, '..', '..', '.troupe', 'redis-server')

/** A cluster with both servers for itself. */
async function withServers(
  env: Record<string, string>,
  use: (parts: {
    cluster: Cluster
    redis: Redis
    stopPostgres: () => Promise<void>
    startPostgres: () => Promise<void>
  }) => Promise<void>,
): Promise<void> {
  const dataDir = mkdtempSync(join(tmpdir(), 'troupe-backpressure-'))
  const start = () => startPostgres({ dataDir, durable: false, log: () => undefined })
  const server = await startRedis({ dataDir, binaries: BINARIES, durable: false, log: () => undefined })
  let postgres = await start()
  const redis = new Redis(server.url)
  try {
    const cluster = await Cluster.start({ redisUrl: server.url, databaseUrl: postgres.url }, env)
    await use({
      cluster,
      redis,
      stopPostgres: () => postgres.stop(),
      startPostgres: async () => void (postgres = await start()),
    }).finally(() => cluster.stop())
  } finally {
    redis.disconnect()
    await postgres.stop()
    await server.stop()
    rmSync(dataDir, { recursive: true, force: true })
  }
}

it(
  'AU1 AU3 beyond MAX_OUTBOX_BYTES writes are unavailable, reads go on, and it opens again when PostgreSQL is back',
  async () =>
    withServers({ MAX_OUTBOX_BYTES: '400000' }, async ({ cluster, stopPostgres, startPostgres }) => {
      const port = Number(new URL(cluster.url).port)
      const writers = new Writers()
      await writers.start(cluster, { clients: 4, sessions: 4, pauseMs: 5 })
      await sleep(500)
      expect((await cluster.health()).writes.status).toBe('ok')
      await stopPostgres()
      const seen = new Set<string>()
      const deadline = Date.now() + 60_000
      // Both workers have closed when two answers in a row, which are of one after the other, say so.
      for (let closed = 0; closed < 4 && Date.now() < deadline; await sleep(50)) {
        const { ok, writes } = await cluster.health()
        expect(ok).toBe(true)
        seen.add(writes.status)
        closed = writes.status === 'refused' ? closed + 1 : 0
      }
      expect([...seen]).toEqual(expect.arrayContaining(['degraded', 'refused']))

      const event = { type: 'MERGE', state: { late: true } }
      const { error } = await ask(cluster.url, 'updateSession', { id: 's0', event })
      expect(error).toMatchObject({ data: { code: 'unavailable', retryable: true } })
      expect(error?.message).toContain('MAX_OUTBOX_BYTES')
      const refused = await send(port, 'POST /sessions/s0/events', { body: event })
      expect(refused).toMatchObject({ status: 503, json: { code: 'unavailable', retryable: true } })
      expect(refused.headers['retry-after']).toBe('1')
      expect((await ask(cluster.url, 'getSession', { id: 's0' })).result).toMatchObject({ id: 's0' })
      expect(await send(port, 'GET /sessions/s0')).toMatchObject({ status: 200 })
      const atMost = (await cluster.health()).writes.outboxBytes
      expect(atMost).toBeLessThan(1_200_000)

      const before = writers.acknowledged
      await startPostgres()
      // The writers have sent their updates again and again meanwhile.
      for (let waited = 0; writers.acknowledged < before + 50 && waited < 600; waited++) await sleep(100)
      expect(writers.acknowledged).toBeGreaterThan(before)
      await writers.finish(20_000)
      await cluster.whenAuditCaughtUp(60_000)
      await writers.check(cluster)
      expect((await cluster.health()).writes.status).toBe('ok')
    }),
  240_000,
)

it(
  'AU1 AU3 a small Redis is not driven out of memory while PostgreSQL is away',
  async () =>
    withServers({}, async ({ cluster, redis, stopPostgres, startPostgres }) => {
      const writers = new Writers()
      await writers.start(cluster, { clients: 20, sessions: 10 })
      await stopPostgres()
      const used = Number(/used_memory:(\d+)/.exec(await redis.info('memory'))?.[1])
      const limit = used + 16 * 1024 * 1024
      await redis.config('SET', 'maxmemory', limit)
      const deadline = Date.now() + 90_000
      let status = ''
      while (status !== 'refused' && Date.now() < deadline) {
        status = (await cluster.health()).writes.status
        await sleep(100)
      }
      expect(status).toBe('refused')
      await sleep(duration(2_000, 30_000))
      const peak = Number(/used_memory_peak:(\d+)/.exec(await redis.info('memory'))?.[1])
      await startPostgres()
      await sleep(1_000)
      await writers.finish(60_000)
      await cluster.whenAuditCaughtUp(60_000)
      await writers.check(cluster)
      // Counted by Redis itself since its start.
      expect(await redis.info('errorstats')).not.toContain('OOM')
      expect(peak).toBeLessThan(limit)
      console.log(
        `small Redis: ${writers.acknowledged} updates; at most ${Math.round((100 * peak) / limit)}% of its memory used`,
      )
    }),
  300_000,
)

/** One request on a connection of its own. */
async function ask(url: string, method: string, params: object): Promise<Reply> {
  const socket = new WebSocket(url)
  try {
    await new Promise((resolve, reject) => socket.on('open', resolve).on('error', reject))
    socket.send(JSON.stringify({ jsonrpc: '2.0', id: 1, method, params }))
    return await new Promise((resolve) =>
      socket.on('message', (data: Buffer) => resolve(JSON.parse(data.toString()) as Reply)),
    )
  } finally {
    socket.terminate()
  }
}
