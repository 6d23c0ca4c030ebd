/**
 * The queue between the processes that commit and the audit process. A job is only a wake-up: it names a group of
 * partitions (groups.ts) and carries no records. Whatever happens to jobs, the outboxes still hold what is to be
 * written, and the sweep of the audit process finds it.
 *
 * - queue `audit`, BullMQ prefix `{<prefix>}`: its keys are `{<prefix>}:audit:…` (one slot in a Cluster)
 * - job name `drain`, data `{ "group": 0 to 7 }`, job id: BullMQ's counter
 * - deduplication id `g<group>`: one job a group waits at most. With `keepLastIfActive` an addition made while the
 *   group's job runs is kept and becomes a job when that one ends, so that an entry committed right after the job's
 *   last pass does not wait for the sweep.
 */
import { Queue, type JobsOptions } from 'bullmq'
import type { Redis } from 'ioredis'
import { messageOf } from '../../actors/errors.ts'
import type { Logger } from '../../actors/ports.ts'
import { connectRedis, whenReady } from '../redis.ts'
import type { FaultHook } from './fault-points.ts'
import { groupOf, GROUPS } from './groups.ts'
import { rateLimited } from './rate-limited.ts'

export const AUDIT_QUEUE = 'audit'

export function auditQueuePrefix(prefix: string): string {
  return `{${prefix}}`
}

export interface AuditJob {
  readonly group: number
}

/** Attempts for what PostgreSQL refuses as a whole. Its absence uses none. */
const ATTEMPTS = 5

/** BullMQ notes each step of each job in a stream; nobody reads it. */
const EVENTS_KEPT = 1_000
const FAILED_JOBS_KEPT = 100
/** From a commit in a quiet group to its announcement: those of the same moment share one call. */
const GATHER_MS = 25
/**
 * No group is announced more often than this by one process. Under load that is enough: the job of a busy group lasts
 * until a pass finds nothing, and what comes meanwhile is written without being announced.
 */
const PAUSE_MS = 500
const READY_MS = 5_000

/** The queue's options, the same for whoever opens it. */
export function openAuditQueue(connection: Redis, prefix: string): Queue<AuditJob> {
  return new Queue<AuditJob>(AUDIT_QUEUE, {
    connection,
    prefix: auditQueuePrefix(prefix),
    streams: { events: { maxLen: EVENTS_KEPT } },
  })
}

function deduplicationId(group: number): string {
  return `g${group}`
}

export interface AuditWakeupOptions {
  readonly redisUrl: string
  readonly prefix: string
  readonly log: Logger
  /** Base of the wait between the attempts of a job, in ms; it doubles each time. */
  readonly backoffMs?: number
  readonly faultPoint?: FaultHook | undefined
}

/** Tells the audit process which groups of partitions have something for it. */
export class AuditWakeup {
  readonly #redis: Redis
  readonly #queue: Queue<AuditJob>
  readonly #warn: (details: object, message: string) => void
  readonly #jobOptions: readonly JobsOptions[]
  readonly #faultPoint: FaultHook | undefined
  readonly #announcedAt = new Float64Array(GROUPS).fill(-Infinity)
  /** When a group with something new is to be announced; Infinity: nothing new. */
  readonly #dueAt = new Float64Array(GROUPS).fill(Infinity)
  #timer: NodeJS.Timeout | null = null
  #timerAt = Infinity
  #flushing: Promise<void> | null = null
  #stopped = false

  /** Connects at once; {@link stop} when done. */
  constructor({ redisUrl, prefix, log, backoffMs = 1_000, faultPoint }: AuditWakeupOptions) {
    this.#faultPoint = faultPoint
    this.#warn = rateLimited(log, 10_000)
    this.#redis = connectRedis(redisUrl, 'troupe-audit-wakeup', log)
    this.#queue = openAuditQueue(this.#redis, prefix)
    this.#queue.on('error', (error) => this.#warn({ error: error.message }, 'audit: queue failed'))
    this.#jobOptions = Array.from({ length: GROUPS }, (_, group) => ({
      deduplication: { id: deduplicationId(group), keepLastIfActive: true },
      attempts: ATTEMPTS,
      backoff: { type: 'exponential', delay: backoffMs },
      removeOnComplete: true,
      removeOnFail: FAILED_JOBS_KEPT,
      stackTraceLimit: 1,
    }))
  }

  /** Something was committed in this partition. Costs some nanoseconds, never waits, never throws. */
  notify(partition: number): void {
    const group = groupOf(partition)
    if (this.#dueAt[group] !== Infinity) return
    const announcedAt = this.#announcedAt[group] ?? 0
    this.#dueAt[group] = Math.max(performance.now() + GATHER_MS, announcedAt + PAUSE_MS)
    this.#schedule()
  }

  /** Adds what is still to be added, at most for `deadlineMs`, and closes the connection. */
  async stop({ deadlineMs }: { readonly deadlineMs: number }): Promise<void> {
    if (this.#stopped) return
    this.#stopped = true
    if (this.#timer !== null) clearTimeout(this.#timer)
    const last = (async () => {
      await this.#flushing
      await this.#add(Infinity)
      await this.#queue.close()
    })()
    let timer: NodeJS.Timeout | undefined
    await Promise.race([last, new Promise((resolve) => (timer = setTimeout(resolve, deadlineMs)))])
    clearTimeout(timer)
    this.#redis.disconnect()
  }

  /** Sets the timer for the group that is due first. */
  #schedule(): void {
    if (this.#stopped || this.#flushing !== null) return
    const first = Math.min(...this.#dueAt)
    if (first >= this.#timerAt) return
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timerAt = first
    this.#timer = setTimeout(this.#flush, first - performance.now())
  }

  readonly #flush = (): void => {
    this.#timer = null
    this.#timerAt = Infinity
    // Who is due a little later goes along.
    this.#flushing = this.#add(performance.now() + GATHER_MS).finally(() => {
      this.#flushing = null
      this.#schedule()
    })
  }

  /** Announces the groups that are due by then. */
  async #add(dueBy: number): Promise<void> {
    const jobs: { name: string; data: AuditJob; opts: JobsOptions }[] = []
    for (let group = 0; group < GROUPS; group++) {
      const dueAt = this.#dueAt[group] ?? Infinity
      if (dueAt === Infinity || dueAt > dueBy) continue
      this.#dueAt[group] = Infinity
      this.#announcedAt[group] = performance.now()
      jobs.push({ name: 'drain', data: { group }, opts: this.#jobOptions[group] ?? {} })
    }
    if (jobs.length === 0) return
    try {
      await whenReady(this.#redis, READY_MS)
      await this.#faultPoint?.('before-announce')
      await this.#queue.addBulk(jobs)
      await this.#faultPoint?.('after-announce')
    } catch (error) {
      // Nothing is lost: the sweep finds outboxes that nobody announced.
      this.#warn(
        { error: messageOf(error), jobs: jobs.length },
        'audit: could not announce work, the sweep will find it',
      )
    }
  }
}
