/** One measurement: a fresh server, load from a process of its own, what it cost, and whether the audit kept up. */
import { setTimeout as sleep } from 'node:timers/promises'
import { runDriver } from '../load/launch.ts'
import type { LoadConfig } from '../load/plan.ts'
import type { LoadReport } from '../load/report.ts'
import type { BenchPostgres } from '../support/bench-postgres.ts'
import type { BenchRedis } from '../support/bench-redis.ts'
import { cpuBetween, noSample, sampleCpu } from '../support/cpu.ts'
import type { CpuUse } from '../support/cpu.ts'
import { startVariant } from './variants.ts'
import type { Backends, Variant } from './variants.ts'

const DRAIN_MS = 180_000

export interface Bench {
  readonly backends: Backends
  readonly redis: BenchRedis
  readonly postgres: BenchPostgres
  readonly redisPid: number
  readonly postgresPid: number
  readonly workers: number
  /** Makes prefixes and session ids that no other run of the bench has. */
  nextName(): string
}

export interface AuditReport {
  /** Commits that PostgreSQL did not hold yet when the measured time began and ended. */
  readonly backlogAtStart: number
  readonly backlogAtEnd: number
  /** Updates that PostgreSQL took in the measured time, per second. */
  readonly writtenPerSecond: number
  /** From the end of the measured time until the backlog was empty; `null`: it was not, after 3 minutes. */
  readonly drainMs: number | null
  /** Events of this run in PostgreSQL afterwards, and how many were acknowledged. */
  readonly eventsFound: number
  readonly eventsAcknowledged: number
  /** What /healthz said at the end of the measured time. */
  readonly health: unknown
}

export interface Measurement {
  readonly variant: Variant
  readonly load: LoadReport
  readonly cpu: CpuUse
  /** `null` where no audit runs. */
  readonly audit: AuditReport | null
}

export async function measure(
  bench: Bench,
  variant: Variant,
  config: Omit<LoadConfig, 'url' | 'run'>,
): Promise<Measurement> {
  const name = bench.nextName()
  const prefix = `troupe-bench-${name}`
  const isAudited = variant === 'troupe + audit'
  const server = await startVariant(variant, prefix, bench.workers, bench.backends)
  try {
    let before = noSample
    let after = noSample
    let backlogAtStart = Promise.resolve(0)
    let backlogAtEnd = Promise.resolve(0)
    let health: Promise<unknown> = Promise.resolve(null)
    let endedAt = 0
    const load = await runDriver({ ...config, url: server.url, run: name }, (event) => {
      if (event === 'measuring') {
        before = sampleCpu()
        if (isAudited) backlogAtStart = bench.redis.backlog(prefix)
      } else {
        after = sampleCpu()
        endedAt = performance.now()
        if (!isAudited) return
        backlogAtEnd = bench.redis.backlog(prefix)
        health = server.health().catch((error: unknown) => String(error))
      }
    })
    const pids = { rootPid: server.pid, redisPid: bench.redisPid, postgresPid: bench.postgresPid }
    const cpu = cpuBetween(before, after, load.elapsedMs, pids)
    if (!isAudited) return { variant, load, cpu, audit: null }

    const drainMs = await drained(bench.redis, prefix, endedAt)
    const [start, end] = await Promise.all([backlogAtStart, backlogAtEnd])
    const audit: AuditReport = {
      backlogAtStart: start,
      backlogAtEnd: end,
      writtenPerSecond: load.updatesPerSecond - ((end - start) / load.elapsedMs) * 1000,
      drainMs,
      eventsFound: await bench.postgres.eventsOf(name),
      eventsAcknowledged: load.verification.updates,
      health: await health,
    }
    return { variant, load, cpu, audit }
  } finally {
    await server.stop()
    await bench.redis.clear(prefix)
  }
}

/** Waits until PostgreSQL holds all, so that the next measurement has the machine for itself. */
async function drained(redis: BenchRedis, prefix: string, since: number): Promise<number | null> {
  while (performance.now() - since < DRAIN_MS) {
    if ((await redis.backlog(prefix)) === 0) return performance.now() - since
    await sleep(50)
  }
  return null
}
