import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import WebSocket from 'ws'
import { describe, expect, it } from 'vitest'
import { until } from '../support/hosts.ts'
import { databaseUrl, redisUrl } from '../support/servers.ts'
import { BadNetwork } from './bad-network.ts'
import { Cluster, isAlive } from './cluster.ts'
import { duration } from './duration.ts'
import { checkRooms, createRooms, newestOf, ROOMS, RoomWriters } from './room-writers.ts'
import { SECRET, tokenOf } from './witnesses.ts'

const SEED = Number(process.env['TROUPE_SEED'] ?? 1)
const DRAIN_MS = 3000
const ENV = { AUTH_SECRET: SECRET, HEARTBEAT_MS: '2000', DRAIN_TIMEOUT_MS: String(DRAIN_MS) }
/** Over the deadline: until the process is gone, on a machine with other work. */
const SLACK_MS = 1500
const FILES = [join(import.meta.dirname, 'rooms-of-owners.ts')]

/** A client whose own line is sound, with a request always under way; `closed`: the code that it is closed with. */
async function directClient(url: string): Promise<{ readonly closed: Promise<number> }> {
  const socket = new WebSocket(url, { headers: { authorization: `Bearer ${tokenOf('ada')}` } })
  const closed = new Promise<number>((resolve) => socket.on('close', resolve))
  await new Promise((resolve, reject) => socket.on('open', resolve).on('error', reject))
  const ask = (): void =>
    socket.send(JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'getSession', params: { id: 'a' } }))
  socket.on('message', () => setTimeout(ask, 20))
  ask()
  return { closed }
}

/** When each of these processes was gone, in ms from now. */
async function leaving(pids: readonly number[]): Promise<number[]> {
  const from = Date.now()
  const one = async (pid: number): Promise<number> => {
    while (isAlive(pid)) await sleep(10)
    return Date.now() - from
  }
  return Promise.all(pids.map(one))
}

describe('SIGTERM while the network is bad on both sides', () => {
  it(`LC2 leaves in time, loses nothing acknowledged, and leaves nobody hanging (seed ${SEED})`, async () => {
    const redis = await BadNetwork.start(redisUrl(), SEED + 10)
    const first = await Cluster.start({ redisUrl: redis.proxy.url, databaseUrl: databaseUrl() }, ENV, FILES)
    const line = await BadNetwork.start(first.url, SEED + 11)
    const clusters = [first]
    const rounds: object[] = []
    try {
      await createRooms(first.url, Object.fromEntries(ROOMS.map((id) => [id, 'ada'])))
      const writers = new RoomWriters(line.proxy.url, 6)
      for (let round = 0; round < duration(1, 10); round++) {
        const cluster = clusters.at(-1) as Cluster
        const direct = await Promise.all([1, 2, 3, 4].map(() => directClient(cluster.url)))
        for (const network of [redis, line]) network.rage(1000)
        await sleep(duration(2000, 4000))
        // All lines may have been down for all of that time.
        await until(() => writers.count > 20, 30_000)
        const left = leaving([...cluster.pids('worker.js'), ...cluster.pids('audit.js')])
        const code = await cluster.stop('SIGTERM')
        const leftMs = await left
        expect(code).toBe(0)
        // Workers first, then the audit.
        expect(Math.max(...leftMs.slice(0, 2)), 'workers').toBeLessThan(DRAIN_MS + SLACK_MS)
        expect(leftMs[2], 'audit').toBeLessThan(2 * DRAIN_MS + SLACK_MS)
        expect(cluster.log()).not.toContain('did not leave in time')
        for (const { closed } of direct) expect(await closed).toBe(4000)
        await Promise.all([redis, line].map((network) => network.calm()))
        // Those that nobody could tell find out by themselves.
        await until(
          () => writers.clients.every(({ status }) => status.getSnapshot().state !== 'open'),
          10_000,
        )
        const rows = await cluster.rows('select 1 from troupe_transitions')
        rounds.push({ leftMs, acknowledged: writers.count, rows: rows.length })

        const names = { KEY_PREFIX: first.prefix, DATABASE_URL: first.databaseUrl }
        const servers = { redisUrl: redis.proxy.url, databaseUrl: databaseUrl() }
        const next = await Cluster.start(servers, { ...ENV, ...names }, FILES)
        clusters.push(next)
        line.proxy.redirect(next.url)
      }
      const last = clusters.at(-1) as Cluster
      // Also what was under way at the signal is answered, and was done once.
      await writers.finish()
      writers.close()
      await last.whenAuditCaughtUp(30_000)
      await checkRooms(last, writers, await newestOf(last.url))
      expect(writers.count).toBeGreaterThan(20)
      console.log(JSON.stringify({ seed: SEED, acknowledged: writers.count, rounds }))
    } finally {
      for (const cluster of clusters) await cluster.stop()
      for (const { proxy } of [redis, line]) await proxy.stop()
      for (const cluster of clusters.reverse()) await cluster.dropDatabase()
    }
  }, 300_000)
})
