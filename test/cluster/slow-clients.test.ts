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

const PHASE_MS = duration(1400, 10_000)
const ROUNDS = duration(2, 5)
/** Who is silent is noticed at the third beat: after the phase in which it fell silent. */
const HEARTBEAT_MS = PHASE_MS / 2
const BEATS = 3
/** For the close of one that does not answer it (1 s), and for a machine with other work. */
const SLACK_MS = 4000
const ENV = {
  HEARTBEAT_MS: String(HEARTBEAT_MS),
}
/** How bad clients are seen from their side: slow consumer, no heartbeat, or just gone. */
const COME_BACK = [4001, 4002, 1006]

const STALLED: Fault = { kind: 'stall' }
const SWALLOWED: Fault = { kind: 'blackhole', directions: ['up', 'down'] }
/** With what a line holds back at most, less comes through than is sent. */
const SLOW: Fault = { kind: 'delay', ms: 2000, jitterMs: 0 }

let cluster: Cluster
beforeAll(async () => {
  cluster = await Cluster.start({ redisUrl: redisUrl(), databaseUrl: databaseUrl() }, ENV)
  const maker = createClient({ url: cluster.url, WebSocket })
  await maker.createSession('document', { id: 'busy', input: { filler: 'x'.repeat(16_000), at: 0 } })
  maker.close()
})
afterAll(async () => {
  await cluster.stop()
  await cluster.dropDatabase()
})

/** Resolves once there are no more than so many connections. @returns in how many ms */
async function whenOnly(count: number, timeoutMs: number): Promise<number> {
  const from = performance.now()
  // Each answer is of one worker.
  const byWorker = new Map<number, number>()
  const open = (): number => [...byWorker.values()].reduce((sum, each) => sum + each, 0)
  while (byWorker.size < 2 || open() > count) {
    if (performance.now() - from > timeoutMs) throw new Error(`open: ${JSON.stringify([...byWorker])}`)
    const { pid, connections } = await cluster.health()
    byWorker.set(pid, connections)
    await sleep(10)
  }
  return Math.round(performance.now() - from)
}

describe('clients behind lines that stall, swallow and crawl', () => {
  it('FD3 others hear as soon as before; they are noticed in time, and can come back', async () => {
    const good = await GoodClients.start(cluster.url, 'busy', 5)
    const groups = await Promise.all(
      [STALLED, SWALLOWED, SLOW].map((fault) => BadClients.start(cluster.url, fault)),
    )
    const [stalled, swallowed] = groups as [BadClients, BadClients]
    const subscribe = (group: BadClients): Promise<void> => group.connect(7, 'subscribe', { id: 'busy' })
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
      const noticedMs = await whenOnly(6 + 7, BEATS * HEARTBEAT_MS + SLACK_MS)
      const codes = groups.map((group) => {
        group.heal()
        return group.codes
      })
      await until(() => stalled.codes.length === 7)
      // To these nothing came, and nothing ever will.
      await swallowed.leave()
      for (const code of groups.flatMap((group) => group.codes)) expect(COME_BACK).toContain(code)

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
})
