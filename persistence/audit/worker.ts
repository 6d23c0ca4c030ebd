/**
 * The audit process's work, from the first connection to the last: brings the schema up to date, runs the engine,
 * sweeps the outboxes, replaces an engine that hangs, and says how it is doing.
 *
 * Sessions never depend on it: it waits for a PostgreSQL that cannot be reached, for as long as it takes, and so
 * do the entries in the outboxes.
 */
import type { Redis } from 'ioredis'
import type pg from 'pg'
import { messageOf } from '../../actors/errors.ts'
import { PARTITIONS } from '../../actors/partitions.ts'
import type { Logger } from '../../actors/ports.ts'
import { Keys } from '../keys.ts'
import { connectRedis, whenReady } from '../redis.ts'
import { openDatabase } from './database.ts'
import { daysAhead, ensureDays } from './days.ts'
import { atMost, Engine, sleep } from './engine.ts'
import { reasonOf } from './failure.ts'
import { groupOf, GROUPS } from './groups.ts'
import { migrate } from './migrations.ts'
import { Outbox, OutboxFailure, type OutboxDepth } from './outbox.ts'
import type { TaskOutcome } from './task.ts'
import { AuditWakeup } from './queue.ts'
import { rateLimited } from './rate-limited.ts'
import { retain } from './retention.ts'

export interface AuditOptions {
  readonly redisUrl: string
  readonly databaseUrl: string
  /** Prefix of all keys of this cluster. */
  readonly prefix: string
  /** Threads; each works on two groups of partitions at once, with a connection to PostgreSQL for each. */
  readonly threads: number
  /** Entries written by one statement, at most. */
  readonly batch: number
  /** Days that are kept beside today; 0: all. */
  readonly retentionDays: number
  readonly log: Logger
  /** Times in ms; those of service by default. */
  readonly times?: Partial<AuditTimes> | undefined
  /** See {@link Engine}. */
  readonly threadFile?: string | undefined
  /** See {@link Engine}. */
  readonly threadMemoryMb?: number | undefined
  /** URL of a module that exports `faultPoint`, see fault-points.ts. */
  readonly faultModule?: string | undefined
}

interface AuditTimes {
  /** Between two looks at the outboxes. */
  readonly sweepMs: number
  /** An entry of this age is announced again. */
  readonly staleMs: number
  /** An engine that reports nothing for so long, with stale entries waiting, is replaced. */
  readonly hungMs: number
  /** How long PostgreSQL may leave a statement unanswered; shorter than `hungMs`. */
  readonly answerMs: number
  /** First wait after a refused attempt; it doubles each time. */
  readonly backoffMs: number
}

const TIMES: AuditTimes = {
  sweepMs: 1_000,
  staleMs: 5_000,
  hungMs: 30_000,
  answerMs: 20_000,
  backoffMs: 1_000,
}

export interface AuditHealth {
  readonly status: 'ok' | 'degraded'
  /** Entries in all outboxes at the last sweep. */
  readonly backlog: number
  /** Age of the oldest of them in ms, by Redis' clock. */
  readonly oldestMs: number
  /** By this process. Rows whose insert was answered by nobody (PostgreSQL cut off just then) are not counted. */
  readonly rowsWritten: number
  readonly rejected: number
  /** Why it is degraded. */
  readonly reason?: string
}

export interface AuditService {
  health(): AuditHealth
  /** Writes what waits, at most for `deadlineMs` (0: leaves it to the next start), and closes everything. */
  stop(options: { readonly deadlineMs: number }): Promise<void>
}

/** A backlog of this age, though all seems well, is worth a warning. */
const LATE_MS = 30_000
const HOUR_MS = 3_600_000
/** What is said until PostgreSQL has answered for the first time, be it with an error. */
const STARTING = 'starting'
/** A table, or a column, is not there. */
const UNDEFINED = new Set<string | null>(['42P01', '42703'])

/** Starts the audit. Resolves at once; what cannot be reached is waited for and shows in `health()`. */
export async function startAudit(options: AuditOptions): Promise<AuditService> {
  return new RunningAudit(options)
}

class RunningAudit implements AuditService {
  readonly #options: AuditOptions
  readonly #times: AuditTimes
  readonly #log: Logger
  readonly #warn: (details: object, message: string) => void
  readonly #redis: Redis
  readonly #pool: pg.Pool
  readonly #outbox: Outbox
  readonly #wakeup: AuditWakeup
  readonly #stopping = new AbortController()
  readonly #loops: Promise<void>[]
  #engine: Engine | null = null
  #stopped: Promise<void> | null = null
  #depths: readonly OutboxDepth[] = []
  #rowsWritten = 0
  #rejected = 0
  /** What keeps everything from being written, and what keeps single groups. */
  #obstacle: string | null = STARTING
  #redisObstacle: string | null = null
  #restoring: Promise<void> | null = null
  readonly #troubled = new Map<number, string>()
  readonly #announcedAt = new Float64Array(GROUPS).fill(-Infinity)
  /** When a pass was last seen to end, here or elsewhere. */
  #lastProgressAt = performance.now()

  constructor(options: AuditOptions) {
    const { redisUrl, databaseUrl, prefix, log } = options
    this.#options = options
    this.#times = { ...TIMES, ...options.times }
    this.#log = log
    this.#warn = rateLimited(log, 10_000)
    this.#redis = connectRedis(redisUrl, 'troupe-audit-sweep', log)
    this.#outbox = new Outbox(this.#redis, new Keys(prefix))
    this.#pool = openDatabase({ databaseUrl, max: 1, statementMs: this.#times.answerMs })
    this.#wakeup = new AuditWakeup({ redisUrl, prefix, log, backoffMs: this.#times.backoffMs })
    this.#loops = [this.#work(), this.#sweep()]
  }

  health(): AuditHealth {
    const backlog = this.#depths.reduce((sum, depth) => sum + depth.length, 0)
    const oldestMs = this.#depths.reduce((oldest, depth) => Math.max(oldest, depth.oldestMs), 0)
    const [troubled] = this.#troubled.values()
    const late =
      oldestMs > LATE_MS ? `the oldest entry has been waiting for ${Math.round(oldestMs / 1_000)} s` : null
    const reason = this.#redisObstacle ?? this.#obstacle ?? troubled ?? late
    return {
      status: reason === null ? 'ok' : 'degraded',
      backlog,
      oldestMs,
      rowsWritten: this.#rowsWritten,
      rejected: this.#rejected,
      ...(reason === null ? {} : { reason }),
    }
  }

  stop(options: { readonly deadlineMs: number }): Promise<void> {
    this.#stopped ??= this.#stop(options.deadlineMs)
    return this.#stopped
  }

  async #stop(deadlineMs: number): Promise<void> {
    const until = performance.now() + deadlineMs
    const left = (): number => Math.max(0, until - performance.now())
    this.#engine?.hurry()
    // Also one that is told to leave while it starts: what was answered meanwhile would wait for the next start.
    const isAble = (): boolean =>
      (this.#obstacle === null || this.#obstacle === STARTING) && this.#troubled.size === 0
    while (left() > 0 && isAble()) {
      const looked = await this.#look().then(
        () => true,
        () => false,
      )
      const waiting = this.#depths.filter((depth) => depth.length > 0)
      if (!looked || waiting.length === 0) break
      for (const { partition } of waiting) this.#wakeup.notify(partition)
      await sleep(Math.min(100, left()), this.#stopping.signal)
    }
    this.#stopping.abort()
    await this.#wakeup.stop({ deadlineMs: Math.max(500, left()) })
    await this.#engine?.stop({ deadlineMs: Math.max(500, left()) })
    await atMost(Promise.all(this.#loops), Math.max(500, left()))
    this.#redis.disconnect()
    await atMost(this.#pool.end(), 1_000)
  }

  /** Schema first, then the engine; after that, day by day, the partitions of the days to come, and of those that go. */
  async #work(): Promise<void> {
    const { signal } = this.#stopping
    let waitMs = 200
    while (!signal.aborted) {
      try {
        const steps = await migrate(this.#pool)
        if (steps.length > 0) this.#log.info({ steps }, 'audit: schema brought up to date')
        await ensureDays(this.#pool, daysAhead(Date.now()))
        this.#obstacle = null
        waitMs = 200
        if (!signal.aborted && this.#engine === null) {
          this.#engine = this.#build()
          if (this.#stopped !== null) this.#engine.hurry()
        }
        await this.#retain()
        await sleep(HOUR_MS, signal)
      } catch (error) {
        // Once the engine runs, its own batches say how PostgreSQL does.
        if (this.#engine === null) this.#obstacle = `PostgreSQL cannot be used yet: ${reasonOf(error)}`
        this.#warn(
          { error: reasonOf(error) },
          'audit: waiting for PostgreSQL; sessions go on, entries stay in Redis',
        )
        await sleep(waitMs, signal)
        waitMs = Math.min(waitMs * 2, 5_000)
      }
    }
  }

  /** What is not dropped now is an hour later. */
  async #retain(): Promise<void> {
    const { retentionDays } = this.#options
    if (retentionDays === 0) return
    const retained = await retain(this.#pool, retentionDays, Date.now())
    if (retained.busy.length > 0)
      this.#log.warn(retained, 'audit: days are read and could not be dropped yet')
    else if (retained.dropped.length > 0) this.#log.info(retained, 'audit: old days dropped')
  }

  #build(): Engine {
    const { redisUrl, databaseUrl, prefix, threads, batch, log } = this.#options
    const { threadFile, threadMemoryMb, faultModule } = this.#options
    const { answerMs } = this.#times
    this.#lastProgressAt = performance.now()
    return new Engine({
      ...{ redisUrl, databaseUrl, prefix, threads, batch, log, answerMs },
      ...{ threadFile, threadMemoryMb, faultModule },
      onOutcome: this.#onOutcome,
    })
  }

  readonly #onOutcome = (group: number, outcome: TaskOutcome): void => {
    this.#lastProgressAt = performance.now()
    switch (outcome.kind) {
      case 'done':
        this.#rowsWritten += outcome.rows
        this.#rejected += outcome.rejected
        this.#troubled.delete(group)
        if (outcome.rejected > 0) {
          this.#warn(
            { group, rejected: outcome.rejected },
            'audit: entries were refused, see table troupe_rejects',
          )
        }
        break
      case 'away':
        this.#troubled.set(group, `${outcome.server} cannot be used now: ${outcome.reason}`)
        this.#warn({ server: outcome.server, error: outcome.reason }, 'audit: waiting; entries stay in Redis')
        break
      case 'refused':
        this.#troubled.set(group, `PostgreSQL refuses the batch: ${outcome.reason}`)
        if (UNDEFINED.has(outcome.code)) this.#restoring ??= this.#restoreSchema()
        break
    }
  }

  async #sweep(): Promise<void> {
    const { sweepMs, staleMs } = this.#times
    while (!this.#stopping.signal.aborted) {
      try {
        await this.#look()
        this.#redisObstacle = null
        const now = performance.now()
        for (const group of [...this.#troubled.keys()]) {
          const isEmpty = ({ partition, length }: OutboxDepth): boolean =>
            length === 0 || groupOf(partition) !== group
          if (this.#depths.every(isEmpty)) this.#troubled.delete(group)
        }
        for (const { partition, oldestMs } of this.#depths) {
          const group = groupOf(partition)
          if (oldestMs < staleMs || now - (this.#announcedAt[group] ?? 0) < staleMs) continue
          this.#announcedAt[group] = now
          this.#wakeup.notify(partition)
        }
        await this.#replaceHungEngine(now)
      } catch (error) {
        this.#redisObstacle = `Redis cannot be used now: ${messageOf(error)}`
        if (error instanceof OutboxFailure && error.isSilence) this.#redis.disconnect(true)
        // While Redis is away nothing can be expected of the engine.
        this.#lastProgressAt = performance.now()
      }
      await sleep(sweepMs, this.#stopping.signal)
    }
  }

  async #look(): Promise<void> {
    await whenReady(this.#redis, 3_000)
    const before = this.#depths
    this.#depths = await this.#outbox.peek(Array.from({ length: PARTITIONS }, (_, partition) => partition))
    // Where the oldest entry is another one, some audit process is at work.
    const moved = before.some(
      (depth, index) => depth.length > 0 && depth.oldest !== this.#depths[index]?.oldest,
    )
    if (moved) this.#lastProgressAt = performance.now()
  }

  /**
   * A worker of BullMQ can hang after a failover of Redis, and a connection can be dead without saying so. A sound
   * engine with entries to write reports something every few seconds, if only that PostgreSQL is away.
   */
  async #replaceHungEngine(now: number): Promise<void> {
    const { staleMs, hungMs } = this.#times
    const hung = this.#engine
    const isBehind = this.#depths.some((depth) => depth.oldestMs >= staleMs)
    if (hung === null || !isBehind || now - this.#lastProgressAt < hungMs) return
    const answers = await this.#pool.query('select 1').then(
      () => true,
      () => false,
    )
    if (this.#stopping.signal.aborted) return
    if (answers) {
      this.#log.warn(
        { quietMs: Math.round(now - this.#lastProgressAt) },
        'audit: the engine hangs, building it anew',
      )
      this.#engine = this.#build()
      void hung.stop({ deadlineMs: 1_000 }).catch((error: unknown) => {
        this.#warn({ error: messageOf(error) }, 'audit: the engine that hung could not be closed')
      })
    } else {
      this.#lastProgressAt = now
    }
  }

  /** PostgreSQL came back without the tables, or as it was before the newest steps (restored, or another one): take them again. */
  async #restoreSchema(): Promise<void> {
    try {
      const steps = await migrate(this.#pool)
      if (steps.length > 0) this.#log.info({ steps }, 'audit: schema restored')
      await ensureDays(this.#pool, daysAhead(Date.now()))
    } catch (error) {
      this.#warn({ error: reasonOf(error) }, 'audit: the schema could not be restored')
    }
    this.#restoring = null
  }
}
