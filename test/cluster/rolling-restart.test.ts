import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { planDeparture } from '../../transport/gateway/departure.ts'
import { databaseUrl, redisUrl } from '../support/servers.ts'
import { checkAcknowledged } from './acknowledged.ts'
import type { Acknowledged } from './acknowledged.ts'
import { Cluster } from './cluster.ts'
import { Crowd } from './crowd/crowd.ts'
import { largestAnnounced, largestBucket, percentile } from './crowd/figures.ts'
import type { CrowdReport } from './crowd/messages.ts'
import { duration } from './duration.ts'

const CLIENTS = duration(300, 2000)
const WORKERS = 2
const DRAIN_MS = 10_000
const BUCKET_MS = 100
/**
 * Of the mean over the announced time. Sent away all at once, seven times the mean would come within one bucket; in waves without
 * jitter, four times.
 */
const MAX_RATIO = 2

describe('workers replaced under many clients', () => {
  it(`LC2 FD1 CM5 AU1 SIGHUP under ${CLIENTS} clients: nothing acknowledged is lost, all are back and current, and they come spread`, async () => {
    const cluster = await Cluster.start(
      { redisUrl: redisUrl(), databaseUrl: databaseUrl() },
      { LOG_LEVEL: 'info', WORKERS: String(WORKERS), DRAIN_TIMEOUT_MS: String(DRAIN_MS) },
    )
    let crowd: Crowd | null = null
    try {
      crowd = await Crowd.start({
        url: cluster.url,
        clients: CLIENTS,
        sessions: 100,
        writers: 50,
        pauseMs: 1000,
      })
      const before = cluster.pids('worker.js')
      await sleep(duration(2000, 10_000))
      const from = Date.now()
      cluster.signal('SIGHUP')
      await expect
        .poll(() => cluster.log().includes('the workers have been replaced'), { timeout: 40_000 })
        .toBe(true)
      const to = Date.now()
      expect(cluster.pids('worker.js')).toHaveLength(WORKERS)
      expect(cluster.pids('worker.js').filter((pid) => before.includes(pid))).toEqual([])
      await sleep(duration(500, 5000))
      const report = await crowd.finish()

      expect(report.behind, 'without connection, or not current').toEqual([])
      expect(report.failures).toEqual([])
      // Each is told to go once, and moves once: to a worker that stays.
      expect(report.toldAt).toHaveLength(CLIENTS)
      await cluster.whenAuditCaughtUp(30_000)
      await checkAcknowledged(cluster, bySession(report))

      const { jitterMs, waves, waveMs } = planDeparture(CLIENTS / WORKERS, DRAIN_MS)
      const windowMs = WORKERS * ((waves - 1) * waveMs + jitterMs)
      const back = report.connectedAt.filter((at) => at >= from)
      const mean = (back.length / windowMs) * BUCKET_MS
      const ratio = largestBucket(back, BUCKET_MS) / mean
      tell(report, { from, to }, { windowMs, reconnects: back.length, mean, ratio })
      // Where the machine is busy, all that is due meanwhile comes at once; what is announced shows the server's part alone.
      const announced = largestAnnounced(report.toldAt, BUCKET_MS) / mean
      expect(announced, 'most reconnects announced for 100 ms, by their mean').toBeLessThan(
        MAX_RATIO * (1 + report.lateMs.p99 / BUCKET_MS),
      )
      expect(ratio, 'most reconnects within 100 ms, by their mean').toBeLessThan(
        (MAX_RATIO + 1) * (1 + report.lateMs.max / BUCKET_MS),
      )
    } finally {
      crowd?.stop()
      await cluster.stop()
      await cluster.dropDatabase()
    }
  })
})

function bySession({ acknowledged }: CrowdReport): Map<string, Acknowledged[]> {
  const sessions = new Map<string, Acknowledged[]>()
  for (const update of acknowledged)
    sessions.set(update.session, [...(sessions.get(update.session) ?? []), update])
  return sessions
}

function tell(
  { acknowledged, withoutMs, closeCodes, toldAt, lateMs }: CrowdReport,
  { from, to }: { from: number; to: number },
  spread: { windowMs: number; reconnects: number; mean: number; ratio: number },
): void {
  const latency = (since: number, until: number): string => {
    const some = acknowledged.filter(({ sentAt }) => sentAt >= since && sentAt < until)
    const ms = some.map(({ latencyMs }) => latencyMs)
    return `median ${percentile(ms, 0.5).toFixed(1)}, p99 ${percentile(ms, 0.99).toFixed(1)}, max ${Math.max(0, ...ms).toFixed(1)} ms of ${ms.length}`
  }
  const firstTold = Math.min(...toldAt.map(({ at }) => at))
  const cut = withoutMs.filter((ms) => ms > 0).length
  console.log(`${CLIENTS} clients, ${acknowledged.length} acknowledged updates, workers replaced in ${to - from} ms
  reconnects: ${spread.reconnects} within ${spread.windowMs} ms, ${spread.mean.toFixed(1)} per ${BUCKET_MS} ms, at most ${spread.ratio.toFixed(2)} times as many
  without connection: median ${percentile(withoutMs, 0.5)}, p99 ${percentile(withoutMs, 0.99)}, max ${Math.max(...withoutMs)} ms; ${cut} clients at all
  updates before: ${latency(0, from)}
  updates while new workers start: ${latency(from, firstTold)}
  updates while clients move: ${latency(firstTold, to)}
  the crowd's own timers were late by ${lateMs.p99.toFixed(0)} ms (p99), ${lateMs.max.toFixed(0)} ms (max)
  close codes: ${JSON.stringify(closeCodes)}`)
}
