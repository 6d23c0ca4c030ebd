import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import WebSocket from 'ws'
import { describe, expect, it } from 'vitest'
import { createClient, type Client } from '../../transport/client/index.ts'
import { databaseUrl, redisUrl } from '../support/servers.ts'
import { BadNetwork } from './bad-network.ts'
import { Cluster } from './cluster.ts'
import { duration } from './duration.ts'
import { SECRET, Stranger, tokenOf, Watcher } from './witnesses.ts'

const SEED = Number(process.env['TROUPE_SEED'] ?? 1)
const ENV = { AUTH_SECRET: SECRET, HEARTBEAT_MS: '2000' }
const IDS = ['a', 'b', 'c', 'd']
const CONVERGE_MS = 15_000

/** Sends each frame twice, as one whose first try is thought to be lost. */
class Doubling extends WebSocket {
  override send(data: string): void {
    super.send(data)
    super.send(data)
  }
}

class Writers {
  readonly clients: Client[]
  readonly acknowledged = new Map<string, { key: string; version: number }[]>(IDS.map((id) => [id, []]))
  /** Versions that each listener was told, in order. */
  readonly told: { id: string; versions: number[] }[] = []
  readonly errors: string[] = []
  readonly #loops: Promise<void>[]
  isRunning = true

  constructor(url: string, count: number) {
    this.clients = Array.from({ length: count }, (_, n) =>
      createClient({
        url,
        WebSocket: n === 0 ? Doubling : WebSocket,
        token: tokenOf('ada'),
        delta: n % 2 === 1,
        ...{ connectTimeoutMs: 2000, silenceMs: 2000, probeTimeoutMs: 1500, requestTimeoutMs: 90_000 },
        backoff: { minMs: 50, maxMs: 1000 },
      }),
    )
    for (const client of this.clients)
      for (const id of IDS) {
        const versions: number[] = []
        this.told.push({ id, versions })
        client.session(id).subscribe((notice) => {
          if (notice.kind === 'updated') versions.push(notice.session.version)
        })
      }
    this.#loops = this.clients.map((client, by) => this.#write(client, by))
  }

  async finish(): Promise<void> {
    this.isRunning = false
    await Promise.all(this.#loops)
  }

  async #write(client: Client, by: number): Promise<void> {
    for (let n = 0; this.isRunning; n++) {
      const id = IDS[(by + n) % IDS.length] as string
      const key = `c${by}-${n}`
      const event = { type: 'NOTE', by: `c${by}`, n }
      const sent = client.updateSession(id, event as never, { key })
      await sent.then(
        ({ applied }) => this.acknowledged.get(id)?.push({ key, version: Number(applied) }),
        (error: unknown) => this.errors.push(`${key}: ${String(error)}`),
      )
      await sleep(5)
    }
  }
}

async function start(seed: number) {
  const redis = await BadNetwork.start(redisUrl(), seed)
  const servers = { redisUrl: redis.proxy.url, databaseUrl: databaseUrl() }
  const cluster = await Cluster.start(servers, ENV, [join(import.meta.dirname, 'rooms-of-owners.ts')])
  const line = await BadNetwork.start(cluster.url, seed + 1)
  // Here frames from the server come once, so that one that it sends twice is seen.
  const watched = await BadNetwork.start(cluster.url, seed + 2, 'up')
  for (const [id, owner] of [...IDS.map((id) => [id, 'ada']), ['own', 'stranger']] as [string, string][]) {
    const maker = createClient({ url: cluster.url, WebSocket, token: tokenOf(owner) })
    await maker.createSession('room' as never, { id, input: { owner } as never })
    maker.close()
  }
  return { cluster, networks: [redis, line, watched], line, watched }
}

interface Row {
  readonly version: string
  readonly command_key: string | null
}

/** Each session has the versions 1…n in both stores, and each acknowledged update where it was said to be. */
async function check(cluster: Cluster, writers: Writers, newest: Map<string, number>): Promise<void> {
  expect(writers.errors).toEqual([])
  for (const id of IDS) {
    const acknowledged = writers.acknowledged.get(id) ?? []
    expect(newest.get(id), `version of ${id}`).toBe(acknowledged.length + 1)
    const rows = await cluster.rows<Row>(
      'select version, command_key from troupe_transitions where session_id = $1 order by epoch, version',
      [id],
    )
    expect(rows.map(({ version }) => Number(version))).toEqual(
      Array.from({ length: acknowledged.length + 1 }, (_, n) => n + 1),
    )
    const wrong = acknowledged.filter(({ key, version }) => rows[version - 1]?.command_key !== key)
    expect(wrong).toEqual([])
  }
}

async function newestOf(url: string): Promise<Map<string, number>> {
  const reader = createClient({ url, WebSocket, token: tokenOf('ada') })
  const views = await Promise.all(IDS.map((id) => reader.getSession(id)))
  reader.close()
  return new Map(IDS.map((id, n) => [id, views[n]?.version ?? 0]))
}

describe('a network that delays, cuts, half-opens, swallows, stalls and doubles on both sides', () => {
  it(`FD1 FD2 TR1 TR2 CM2 CM4 AU1 nothing is lost, repeated or shown to others (seed ${SEED})`, async () => {
    const { cluster, networks, line, watched } = await start(SEED)
    try {
      const workers = cluster.pids('worker.js')
      const writers = new Writers(line.proxy.url, 6)
      const watchers = [1, 2, 3].map(() => new Watcher(watched.proxy.url, 'ada', IDS).start())
      const stranger = new Stranger(watched.proxy.url, IDS).start()
      await sleep(500)
      for (const network of networks) network.rage(1500)
      await sleep(duration(10_000, 120_000))
      await Promise.all(networks.map((network) => network.calm()))
      const healedAt = Date.now()
      await writers.finish()
      const newest = await newestOf(cluster.url)
      const behind = (): unknown[] => [
        ...writers.told.filter(({ id, versions }) => versions.at(-1) !== newest.get(id)),
        ...watchers.filter(({ seen }) => IDS.some((id) => seen.get(id)?.version !== newest.get(id))),
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
      for (const client of writers.clients) client.close()
      await cluster.whenAuditCaughtUp(60_000)
      await check(cluster, writers, newest)
      const acknowledged = [...writers.acknowledged.values()].reduce((sum, { length }) => sum + length, 0)
      expect(acknowledged).toBeGreaterThan(50)
      console.log(
        JSON.stringify({
          seed: SEED,
          acknowledged,
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
