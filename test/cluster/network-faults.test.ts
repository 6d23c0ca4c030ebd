import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { databaseUrl, redisUrl } from '../support/servers.ts'
import { BadNetwork } from './bad-network.ts'
import { Cluster } from './cluster.ts'
import { duration } from './duration.ts'
import { KeylessWriter } from './keyless-writer.ts'
import { checkRooms, createRooms, newestOf, ROOMS, RoomWriters } from './room-writers.ts'
import { SECRET, Stranger, Watcher } from './witnesses.ts'

const SEED = Number(process.env['TROUPE_SEED'] ?? 1)
const ENV = { AUTH_SECRET: SECRET, HEARTBEAT_MS: '2000' }
const CONVERGE_MS = 15_000

async function start(seed: number) {
  const redis = await BadNetwork.start(redisUrl(), seed)
  const servers = { redisUrl: redis.proxy.url, databaseUrl: databaseUrl() }
  const cluster = await Cluster.start(servers, ENV, [join(import.meta.dirname, 'rooms-of-owners.ts')])
  const line = await BadNetwork.start(cluster.url, seed + 1)
  // Here frames from the server come once, so that one that it sends twice is seen.
  const watched = await BadNetwork.start(cluster.url, seed + 2, 'up')
  await createRooms(cluster.url, {
    ...Object.fromEntries(ROOMS.map((id) => [id, 'ada'])),
    keyless: 'ada',
    own: 'stranger',
  })
  return { cluster, networks: [redis, line, watched], line, watched }
}

describe('a network that delays, cuts, half-opens, swallows, stalls and doubles on both sides', () => {
  it(`FD1 FD2 TR1 TR2 CM2 CM4 AU1 nothing is lost, repeated or shown to others (seed ${SEED})`, async () => {
    const { cluster, networks, line, watched } = await start(SEED)
    try {
      const workers = cluster.pids('worker.js')
      const writers = new RoomWriters(line.proxy.url, 6)
      const keyless = await KeylessWriter.start(cluster.url, 'keyless')
      const watchers = [1, 2, 3].map(() => new Watcher(watched.proxy.url, 'ada', ROOMS).start())
      const stranger = new Stranger(watched.proxy.url, ROOMS).start()
      await sleep(500)
      for (const network of networks) network.rage(1000)
      await sleep(duration(10_000, 120_000))
      await Promise.all(networks.map((network) => network.calm()))
      const healedAt = Date.now()
      await Promise.all([writers.finish(), keyless.finish()])
      const newest = await newestOf(cluster.url)
      const behind = (): unknown[] => [
        ...writers.told.filter(({ id, versions }) => versions.at(-1) !== newest.get(id)),
        ...watchers.filter(({ seen }) => ROOMS.some((id) => seen.get(id)?.version !== newest.get(id))),
      ]
      while (behind().length > 0 && Date.now() < healedAt + CONVERGE_MS) await sleep(20)
      const convergedMs = Date.now() - healedAt
      expect(behind(), 'behind 15 s after the last fault').toEqual([])
      for (const { versions } of writers.told)
        expect(versions).toEqual([...new Set(versions)].sort((a, b) => a - b))
      expect([...watchers, stranger].flatMap(({ wrong }) => wrong)).toEqual([])
      expect({ own: stranger.own > 3, refused: stranger.refused > 20 }).toEqual({ own: true, refused: true })
      expect(cluster.pids('worker.js')).toEqual(workers)
      for (const witness of [...watchers, stranger]) witness.close()
      writers.close()
      await cluster.whenAuditCaughtUp(60_000)
      await checkRooms(cluster, writers, newest)
      const { applied, unknown, refused } = keyless
      const made = await cluster.rows("select 1 from troupe_transitions where session_id = 'keyless'")
      expect(applied).toEqual([...new Set(applied)].sort((a, b) => a - b))
      expect(made.length - 1, `updates without key, ${unknown} of them unknown`).toSatisfy(
        (of: number) => of >= applied.length && of <= applied.length + unknown,
      )
      expect(writers.count).toBeGreaterThan(50)
      console.log(
        JSON.stringify({
          seed: SEED,
          acknowledged: writers.count,
          keyless: { acknowledged: applied.length, unknown, refused },
          convergedMs,
          refused: stranger.refused,
          faults: networks.map(({ counts }) => counts),
        }),
      )
    } finally {
      await cluster.stop()
      for (const { proxy } of networks) await proxy.stop()
      await cluster.dropDatabase()
    }
  }, 300_000)
})
