import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createClient } from '../../transport/client/index.ts'
import WebSocket from 'ws'
import { until } from '../support/hosts.ts'
import { databaseUrl, redisUrl } from '../support/servers.ts'
import type { Fault } from '../support/tcp-proxy.ts'
import { BadClients } from './bad-clients.ts'
import { Cluster } from './cluster.ts'
import { duration } from './duration.ts'
import { GoodClients } from './good-clients.ts'
import { MemoryWatch } from './memory-watch.ts'

const PHASE_MS = duration(1400, 10_000)
const ROUNDS = duration(2, 5)
/** Who is silent is noticed at the third beat: after the phase in which it fell silent. */
const HEARTBEAT_MS = PHASE_MS / 2
const BEATS = 3
/** For the close of one that does not answer it (1 s), and for a machine with other work. */
const SLACK_MS = 4000
const ENV = { HEARTBEAT_MS: String(HEARTBEAT_MS), MAX_EVENT_BYTES: '262144', REQUESTS_PER_SECOND: '100000' }
/** How bad clients are seen from their side: slow consumer, no heartbeat, or just gone. */
const COME_BACK = [4001, 4002, 1006]

const LISTENERS = 5
/** In each group. */
const COUNT = 7

const STALLED: Fault = { kind: 'stall' }
const SWALLOWED: Fault = { kind: 'blackhole', directions: ['up', 'down'] }
/** They ask, and take no answers. */
const UNREAD: Fault = { kind: 'stall', directions: ['down'] }
/** With what a line holds back at most, less comes through than is sent. */
const SLOW: Fault = { kind: 'delay', ms: 2000, jitterMs: 0 }

const LARGE_BYTES = 120_000
/** Answers of that size that each asks for: of those, some are read, and of these none. */
const READ = 100
const READ_AT_ONCE = 5
const ASKED = duration(1200, 6000)
const ASKED_AT_ONCE = 20

let cluster: Cluster
beforeAll(async () => {
  cluster = await Cluster.start({ redisUrl: redisUrl(), databaseUrl: databaseUrl() }, ENV)
  const maker = createClient({ url: cluster.url, WebSocket })
  await maker.createSession('document', { id: 'busy', input: { filler: 'x'.repeat(16_000), at: 0 } })
  await maker.createSession('document', { id: 'large', input: { filler: 'x'.repeat(LARGE_BYTES) } })
  maker.close()
})
afterAll(async () => {
  await cluster.stop()
  await cluster.dropDatabase()
})

/** Resolves once so many WebSockets are open. @returns in how many ms */
async function whenOpen(count: number, timeoutMs: number): Promise<number> {
  const from = performance.now()
  await until(async () => (await cluster.connections()) === count, timeoutMs)
  return Math.round(performance.now() - from)
}

describe('clients behind lines that stall, swallow and crawl', () => {
  it('FD3 others hear as soon as before; they are noticed in time, and can come back', async () => {
    const good = await GoodClients.start(cluster.url, 'busy', LISTENERS)
    const groups = await Promise.all(
      [STALLED, SWALLOWED, SLOW].map((fault) => BadClients.start(cluster.url, fault)),
    )
    const [stalled, swallowed, slow] = groups as [BadClients, BadClients, BadClients]
    const subscribe = (group: BadClients): Promise<void> => group.connect(COUNT, 'subscribe', { id: 'busy' })
    const figures = { without: [] as number[], with: [] as number[] }
    try {
      good.write('y'.repeat(20_000))
      await sleep(500)
      for (let round = 0; round < ROUNDS; round++) {
        for (const group of groups) await group.leave()
        good.take()
        await sleep(PHASE_MS)
        figures.without.push(good.take().p99)
        await Promise.all(groups.map(subscribe))
        for (const group of groups) group.turnBad()
        good.take()
        await sleep(PHASE_MS)
        figures.with.push(good.take().p99)
      }
      good.rest()
      // Crawling is no reason to be closed, and may be taken for silence: some are left, or none.
      const crawled = slow.codes
      await slow.leave()
      const noticedMs = await whenOpen(1 + LISTENERS, BEATS * HEARTBEAT_MS + SLACK_MS)
      stalled.heal()
      swallowed.heal()
      await until(() => stalled.codes.length === COUNT)
      const codes = { crawled, stalled: stalled.codes }
      for (const code of [...crawled, ...stalled.codes, ...swallowed.codes]) expect(COME_BACK).toContain(code)
      // To some of these nothing came, and nothing ever will.
      for (const group of groups) await group.leave()

      await until(() => good.versions.every((version) => version === good.sent + 1))
      await Promise.all(groups.map(subscribe))
      console.log(JSON.stringify({ p99Ms: figures, noticedMs, codes, updates: good.sent }))
      const middle = (of: number[]): number => of.sort((a, b) => a - b)[Math.floor((of.length - 1) / 2)] ?? 0
      expect(middle(figures.with)).toBeLessThan(4 * middle(figures.without) + 50)
    } finally {
      good.close()
      for (const group of groups) await group.stop()
    }
  }, 180_000)

  it('TR3 those that ask on and on without reading cost no more memory than they may, and are closed', async () => {
    const watch = new MemoryWatch(cluster.pids('worker.js'))
    const greedy = await BadClients.start(cluster.url, UNREAD)
    const connect = (): Promise<void> => greedy.connect(COUNT, 'getSession', { id: 'busy' })
    try {
      await whenOpen(0, 10_000)
      // First by clients that read: what it takes to serve them is no leak.
      await connect()
      watch.take()
      for (let asked = 0; asked < READ; asked += READ_AT_ONCE) {
        const due = greedy.messages + COUNT * READ_AT_ONCE
        greedy.ask(READ_AT_ONCE, 'getSession', { id: 'large' })
        await until(() => greedy.messages === due, 20_000)
      }
      const read = watch.take()
      await greedy.leave()
      await connect()
      greedy.turnBad()
      for (let asked = 0; asked < ASKED; asked += ASKED_AT_ONCE) {
        greedy.ask(ASKED_AT_ONCE, 'getSession', { id: 'large' })
        await sleep(10)
      }
      const noticedMs = await whenOpen(0, BEATS * HEARTBEAT_MS + 2 * SLACK_MS)
      const unread = watch.take()
      greedy.heal()
      await until(() => greedy.codes.length === COUNT)
      const askedMiB = Math.round((COUNT * ASKED * LARGE_BYTES) / 1024 / 1024)
      console.log(JSON.stringify({ peakMiB: { read, unread }, askedMiB, noticedMs, codes: greedy.codes }))
      for (const code of greedy.codes) expect(COME_BACK).toContain(code)
      expect(unread).toBeLessThan(read + askedMiB / 8)
    } finally {
      watch.stop()
      await greedy.stop()
    }
  }, 180_000)
})
