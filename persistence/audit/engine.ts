/**
 * What does the work of an audit process: a BullMQ worker on the main thread, so that the locks of its jobs are
 * renewed while threads are busy, and a pool of threads that run its jobs. It can be thrown away and built anew as a
 * whole, because neither holds anything that is not in the outbox.
 */
import { Worker, type Job } from 'bullmq'
import { Redis } from 'ioredis'
import { fileURLToPath } from 'node:url'
import { Piscina } from 'piscina'
import type { Logger } from '../../actors/ports.ts'
import { loadFaultHook, type FaultHook, type FaultPoint } from './fault-points.ts'
import { GROUPS } from './groups.ts'
import { TASKS_PER_THREAD, type Task, type TaskOutcome, type ThreadData } from './task.ts'
import { AUDIT_QUEUE, auditQueuePrefix, type AuditJob } from './queue.ts'
import { rateLimited } from './rate-limited.ts'

/** A process that was killed holds its jobs for so long, in ms; they are free at the next check after that. */
const LOCK_MS = 4_000
const STALLED_CHECK_MS = 1_500
/** Processes may die in the middle of a job as often as they like: the job is not to blame. */
const MAX_STALLED = 1_000_000
/**
 * From one pass over a group to the next. Rows gather meanwhile: a row in a statement of 100 costs PostgreSQL a fifth
 * more than in one of 400, and a pass over the outboxes of a group costs the same however little it finds.
 */
const PASS_MS = 400
const FIRST_WAIT_MS = 200
const LONGEST_WAIT_MS = 5_000

export interface EngineOptions extends ThreadData {
  readonly threads: number
  readonly batch: number
  readonly log: Logger
  /** The module that threads run; default: that beside this one, which is there once this one is compiled. */
  readonly threadFile?: string | undefined
  /** Most that the heap of a thread may take, in MB; what Node allows by default. A thread that needs more ends, and another takes its place. */
  readonly threadMemoryMb?: number | undefined
  /** Called with the outcome of each pass. */
  readonly onOutcome: (group: number, outcome: TaskOutcome) => void
}

/** What PostgreSQL refuses as a whole: fails the attempt, not the process. */
class Refused extends Error {
  constructor(reason: string) {
    super(`PostgreSQL refuses the batch: ${reason}`)
    this.name = 'Refused'
  }
}

export class Engine {
  readonly #options: EngineOptions
  readonly #pool: Piscina<Task, TaskOutcome>
  readonly #redis: Redis
  readonly #worker: Worker<AuditJob>
  readonly #stopping = new AbortController()
  readonly #hurrying = new AbortController()
  readonly #faultPoint: Promise<FaultHook | undefined> | undefined
  /** Earliest time of the next pass, by group. */
  readonly #nextPassAt = new Float64Array(GROUPS)

  /** Starts at once. */
  constructor(options: EngineOptions) {
    const { redisUrl, databaseUrl, prefix, answerMs, faultModule, threads, log } = options
    this.#options = options
    const warn = rateLimited(log, 10_000)
    if (faultModule !== undefined) this.#faultPoint = loadFaultHook(faultModule)
    this.#pool = new Piscina<Task, TaskOutcome>({
      filename: options.threadFile ?? fileURLToPath(new URL('./pool-task.js', import.meta.url)),
      minThreads: threads,
      maxThreads: threads,
      idleTimeout: Infinity,
      concurrentTasksPerWorker: TASKS_PER_THREAD,
      // With atomics a thread is frozen between tasks: its sockets would not be served.
      atomics: 'disabled',
      workerData: { redisUrl, databaseUrl, prefix, answerMs, faultModule } satisfies ThreadData,
      ...(options.threadMemoryMb === undefined
        ? {}
        : { resourceLimits: { maxOldGenerationSizeMb: options.threadMemoryMb } }),
    })
    this.#pool.on('error', (error: Error) => warn({ error: error.message }, 'audit: a thread failed'))

    // No command timeout: the worker's blocking connection is made with the same options.
    this.#redis = new Redis(redisUrl, {
      connectionName: 'troupe-audit-worker',
      maxRetriesPerRequest: null,
      retryStrategy: (attempt) => Math.min(20 * attempt, 500),
      reconnectOnError: (error) => (error.message.startsWith('READONLY') ? 2 : false),
    })
    this.#redis.on('error', (error) => warn({ error: error.message }, 'audit: connection to Redis failed'))
    this.#worker = new Worker<AuditJob>(AUDIT_QUEUE, (job) => this.#complete(job), {
      connection: this.#redis,
      prefix: auditQueuePrefix(prefix),
      // Jobs mostly wait for their next pass; how many work at once is the pool's affair.
      concurrency: GROUPS,
      lockDuration: LOCK_MS,
      stalledInterval: STALLED_CHECK_MS,
      maxStalledCount: MAX_STALLED,
      runRetryDelay: 1_000,
    })
    this.#worker.on('error', (error) => warn({ error: error.message }, 'audit: worker failed'))
    if (this.#faultPoint !== undefined) this.#worker.on('completed', () => void this.#reach('after-complete'))
    this.#worker.on('failed', (job, error) =>
      warn({ group: job?.data.group, attempt: job?.attemptsMade, error: error.message }, 'audit: job failed'),
    )
  }

  /**
   * Waits for the jobs under way, at most for `deadlineMs`, and ends threads and connections. What is left undone is
   * in the outbox.
   */
  async stop({ deadlineMs }: { readonly deadlineMs: number }): Promise<void> {
    this.#stopping.abort()
    this.#hurrying.abort()
    await atMost(this.#worker.close(), deadlineMs)
    // Where Redis is away, closing waits for it; the connections of the worker are then cut.
    await atMost(this.#worker.getBackend().close(true), 1_000)
    this.#redis.disconnect()
    await this.#pool.destroy()
  }

  /** From now on passes follow each other without a pause: for those who wait for the end of the backlog. */
  hurry(): void {
    this.#hurrying.abort()
  }

  /** What returns here completes the job. */
  async #complete(job: Job<AuditJob>): Promise<void> {
    await this.#drain(job)
    if (this.#faultPoint !== undefined) await this.#reach('before-complete')
  }

  async #reach(point: FaultPoint): Promise<void> {
    await (
      await this.#faultPoint
    )?.(point)
  }

  /**
   * Empties the outboxes of one group. The job lasts until a pass finds nothing, so that a busy group costs one job
   * and not one for each pass. Empty outboxes are success.
   */
  async #drain(job: Job<AuditJob>): Promise<void> {
    const { group } = job.data
    const { batch, onOutcome } = this.#options
    const { signal } = this.#stopping
    let waitMs = FIRST_WAIT_MS
    for (;;) {
      await sleep((this.#nextPassAt[group] ?? 0) - performance.now(), this.#hurrying.signal)
      // A job that stops early is done all the same: the sweep announces what is left.
      if (signal.aborted) return
      const startedAt = performance.now()
      const outcome = await this.#pool.run({ group, batch })
      onOutcome(group, outcome)
      switch (outcome.kind) {
        case 'done':
          // Who comes after a quiet time is not kept waiting, nor is a backlog.
          this.#nextPassAt[group] = outcome.more || outcome.read === 0 ? 0 : nextTurn(group, startedAt)
          if (outcome.read === 0) return
          waitMs = FIRST_WAIT_MS
          break
        case 'away':
          // The job stays active, its lock is renewed, no attempt is used; trying again is how the return is noticed.
          await sleep(waitMs, signal)
          waitMs = Math.min(waitMs * 2, LONGEST_WAIT_MS)
          break
        case 'refused':
          throw new Refused(outcome.reason)
      }
    }
  }
}

/** Groups take turns, so that the passes of all do not fall on one instant. */
function nextTurn(group: number, startedAt: number): number {
  const offset = (group * PASS_MS) / GROUPS
  return Math.ceil((startedAt - offset) / PASS_MS + 0.25) * PASS_MS + offset
}

/** Resolves after `ms` (0 and less: at once) or when the signal is aborted. */
export function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (ms <= 0 || signal.aborted) return resolve()
    const done = (): void => {
      clearTimeout(timer)
      signal.removeEventListener('abort', done)
      resolve()
    }
    const timer = setTimeout(done, ms)
    signal.addEventListener('abort', done)
  })
}

/** Waits for `work`, however it ends, but not longer than `ms`. */
export async function atMost(work: Promise<unknown>, ms: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  await Promise.race([
    work.catch(() => undefined),
    new Promise((resolve) => (timer = setTimeout(resolve, ms))),
  ])
  clearTimeout(timer)
}
