/**
 * The queue between the processes that commit and the audit process. A job is only a wake-up: it names a partition
 * and carries no records. Whatever happens to jobs, the outbox still holds what is to be written, and the sweep of
 * the audit process finds it.
 *
 * Names: queue `audit` with the BullMQ prefix `{<prefix>}`, so its keys are `{<prefix>}:audit:…` (one slot in a
 * Cluster). One job a partition waits at most: its deduplication id is `p<partition>`. With `keepLastIfActive` an
 * addition made while the partition's job runs is kept and becomes a job when that one ends, so that an entry
 * committed right after the job's last read does not wait for the sweep.
 */
import { Queue, type JobsOptions } from 'bullmq'
import type { Redis } from 'ioredis'
import { messageOf } from '../../actors/errors.ts'
import { PARTITIONS } from '../../actors/partitions.ts'
import type { Logger } from '../../actors/ports.ts'
import { connectRedis, whenReady } from '../redis.ts'
import { rateLimited } from './rate-limited.ts'

export const AUDIT_QUEUE = 'audit'

export function auditQueuePrefix(prefix: string): string {
  return `{${prefix}}`
}

export interface AuditJob {
  readonly partition: number
}

/** Attempts for what PostgreSQL refuses as a whole. Its absence uses none. */
export const ATTEMPTS = 5

/** BullMQ notes each step of each job in a stream; nobody reads it. */
const EVENTS_KEPT = 1_000
const FAILED_JOBS_KEPT = 100
/** No partition is announced more often than this by one process. */
const SHORTEST_PAUSE_MS = 50
/**
 * The more partitions are busy, the longer the pause (all 64: 960 ms). A statement of 8 rows costs PostgreSQL three
 * times as much a row as one of 500, so under load it pays to let rows gather.
 */
const PAUSE_PER_JOB_MS = 15
const READY_MS = 5_000

/** The queue's options, the same for whoever opens it. */
export function openAuditQueue(connection: Redis, prefix: string): Queue<AuditJob> {
  return new Queue<AuditJob>(AUDIT_QUEUE, {
    connection,
    prefix: auditQueuePrefix(prefix),
    streams: { events: { maxLen: EVENTS_KEPT } },
  })
}

export function deduplicationId(partition: number): string {
  return `p${partition}`
}

export interface AuditWakeupOptions {
  readonly redisUrl: string
  readonly prefix: string
  readonly log: Logger
  /** Base of the wait between the attempts of a job, in ms; it doubles each time. */
  readonly backoffMs?: number
}

/** Tells the audit process which partitions have something for it. */
export class AuditWakeup {
  readonly #redis: Redis
  readonly #queue: Queue<AuditJob>
  readonly #warn: (details: object, message: string) => void
  readonly #jobOptions: readonly JobsOptions[]
  readonly #isDirty = new Uint8Array(PARTITIONS)
  #dirtyCount = 0
  #timer: NodeJS.Timeout | null = null
  #flushing: Promise<void> | null = null
  #pauseMs = SHORTEST_PAUSE_MS
  #stopped = false

  /** Connects at once; {@link stop} when done. */
  constructor({ redisUrl, prefix, log, backoffMs = 1_000 }: AuditWakeupOptions) {
    this.#warn = rateLimited(log, 10_000)
    this.#redis = connectRedis(redisUrl, 'troupe-audit-wakeup', log)
    this.#queue = openAuditQueue(this.#redis, prefix)
    this.#queue.on('error', (error) => this.#warn({ error: error.message }, 'audit: queue failed'))
    this.#jobOptions = Array.from({ length: PARTITIONS }, (_, partition) => ({
      deduplication: { id: deduplicationId(partition), keepLastIfActive: true },
      attempts: ATTEMPTS,
      backoff: { type: 'exponential', delay: backoffMs },
      removeOnComplete: true,
      removeOnFail: FAILED_JOBS_KEPT,
      stackTraceLimit: 1,
    }))
  }

  /** Something was committed in this partition. Costs some nanoseconds, never waits, never throws. */
  notify(partition: number): void {
    if (this.#isDirty[partition] !== 0) return
    this.#isDirty[partition] = 1
    this.#dirtyCount += 1
    this.#timer ??= this.#stopped ? null : setTimeout(this.#flush, this.#pauseMs)
  }

  /** Adds what is still to be added, at most for `deadlineMs`, and closes the connection. */
  async stop({ deadlineMs }: { readonly deadlineMs: number }): Promise<void> {
    if (this.#stopped) return
    this.#stopped = true
    if (this.#timer !== null) clearTimeout(this.#timer)
    const last = (async () => {
      await this.#flushing
      await this.#add()
      await this.#queue.close()
    })()
    let timer: NodeJS.Timeout | undefined
    await Promise.race([last, new Promise((resolve) => (timer = setTimeout(resolve, deadlineMs)))])
    clearTimeout(timer)
    this.#redis.disconnect()
  }

  readonly #flush = (): void => {
    this.#flushing = this.#add().finally(() => {
      this.#flushing = null
      this.#timer = this.#dirtyCount > 0 && !this.#stopped ? setTimeout(this.#flush, this.#pauseMs) : null
    })
  }

  async #add(): Promise<void> {
    if (this.#dirtyCount === 0) return
    const jobs: { name: string; data: AuditJob; opts: JobsOptions }[] = []
    for (let partition = 0; partition < PARTITIONS; partition++) {
      if (this.#isDirty[partition] === 0) continue
      this.#isDirty[partition] = 0
      jobs.push({ name: 'drain', data: { partition }, opts: this.#jobOptions[partition] ?? {} })
    }
    this.#dirtyCount = 0
    this.#pauseMs = Math.max(SHORTEST_PAUSE_MS, jobs.length * PAUSE_PER_JOB_MS)
    try {
      await whenReady(this.#redis, READY_MS)
      await this.#queue.addBulk(jobs)
    } catch (error) {
      // Nothing is lost: the sweep finds outboxes that nobody announced.
      this.#warn(
        { error: messageOf(error), jobs: jobs.length },
        'audit: could not announce work, the sweep will find it',
      )
    }
  }
}
