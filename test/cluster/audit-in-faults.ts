/** An audit process that is harmed at named points of its pipeline while there is something to write, and the check of what it wrote. */
import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type pg from 'pg'
import { expect } from 'vitest'
import { PARTITIONS, partitionOf } from '../../actors/partitions.ts'
import type { FaultPoint } from '../../persistence/audit/fault-points.ts'
import { GROUPS, groupOf } from '../../persistence/audit/groups.ts'
import { migrate } from '../../persistence/audit/migrations.ts'
import { verify } from '../../persistence/audit/verify.ts'
import { AuditPlace, shortTimes, transitions, until, type Proxy } from '../persistence/audit-support.ts'
import { FaultDirector, type Death, type Order, type Reached } from './fault-director.ts'

/** An instant of the pipeline; at `insert-sent`, whether PostgreSQL has committed the statement by then. */
export interface Moment {
  readonly point: FaultPoint
  readonly statement?: 'open' | 'committed'
}

export type Fault =
  /** The process, with -9. */
  | 'kill'
  /** The thread; those of the pool, where the instant is one of the main thread. */
  | Death
  /** All connections to PostgreSQL are cut, and new ones refused for a moment. */
  | 'connections'
  /** Redis, with -9; then it is started again. */
  | 'redis'

const SESSIONS = 3
const TRANSITIONS = 10
/** A thread has about 15 MB before it does anything. */
const THREAD_MEMORY_MB = 48
/** Where a commit waits for the next point is found by the sweep, or by BullMQ after its lock is over. */
const HIT_MS = 60_000
/** The locks of a process that was killed are not to look like an engine that hangs. */
const times = { ...shortTimes, hungMs: 15_000 }

interface Strike extends Moment {
  readonly fault: Fault
  readonly done: () => void
  readonly failed: (error: unknown) => void
  /** Rows that were there before. */
  readonly rows: number
}

export class AuditInFaults {
  /** What was struck, as `<fault> at <point>`. */
  readonly struck: string[] = []
  readonly warnings: string[] = []
  readonly #place: AuditPlace
  readonly #director: FaultDirector
  readonly #proxy: Proxy
  readonly #restartRedis: () => Promise<void>
  #child: ChildProcess | null = null
  #strike: Strike | null = null
  /** Holds a lock that keeps statements from being committed. */
  #lock: Promise<pg.PoolClient> | null = null
  #batches = 0

  private constructor(
    place: AuditPlace,
    director: FaultDirector,
    proxy: Proxy,
    restartRedis: () => Promise<void>,
  ) {
    this.#place = place
    this.#director = director
    this.#proxy = proxy
    this.#restartRedis = restartRedis
    director.onPoint = (reached) => this.#reached(reached)
    place.redis.on('error', () => undefined)
  }

  static async start(
    redisUrl: string,
    databaseUrl: string,
    restartRedis: () => Promise<void>,
  ): Promise<AuditInFaults> {
    const place = await AuditPlace.create(redisUrl, databaseUrl)
    await migrate(place.pool)
    const proxy = await place.proxy(place.databaseUrl)
    const one = new AuditInFaults(place, await FaultDirector.open(), proxy, restartRedis)
    await one.#startProcess()
    return one
  }

  get pid(): number | undefined {
    return this.#child?.pid
  }

  /** Threads that ended. */
  get deaths(): number {
    return this.#director.dying.size
  }

  /** Commits something, and does this when that comes to the instant. Resolves when it is done. */
  async strike({ point, statement }: Moment, fault: Fault): Promise<void> {
    const rows = await this.#place.count('troupe_transitions')
    const done = new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`${point} was not reached`)), HIT_MS)
      const over = (act: () => void): void => {
        clearTimeout(timer)
        act()
      }
      this.#strike = {
        ...{ point, fault, rows },
        ...(statement === undefined ? {} : { statement }),
        done: () => over(resolve),
        failed: (error) => over(() => reject(error as Error)),
      }
    })
    await Promise.all([done, this.#commit()])
    this.struck.push(`${fault} at ${point}${statement === undefined ? '' : ` (${statement})`}`)
  }

  /** Waits for the end of the backlog: every row is there once, and nothing else is. */
  async check(): Promise<void> {
    await until(async () => (await this.#place.waiting()) === 0, 'all is written', 60_000)
    expect(await this.#place.count('troupe_transitions')).toBe(this.#batches * SESSIONS * TRANSITIONS)
    expect(await this.#place.count('troupe_sessions')).toBe(this.#batches * SESSIONS)
    expect(await this.#place.count('troupe_rejects')).toBe(this.#batches)
    const { rows, counts } = await verify(this.#place.pool)
    expect(rows).toBe(this.#batches * SESSIONS * TRANSITIONS)
    const { rejected, ...others } = counts
    expect(rejected).toBe(this.#batches)
    expect(
      Object.values(others).every((count) => count === 0),
      JSON.stringify(others),
    ).toBe(true)
  }

  async stop(): Promise<void> {
    this.#strike = null
    this.#director.close()
    this.#child?.kill('SIGKILL')
    await this.#unlock()
    await this.#place.destroy()
  }

  async #startProcess(): Promise<void> {
    const { redisUrl, prefix } = this.#place
    const options = {
      ...{ redisUrl, prefix, databaseUrl: this.#proxy.url, threads: 1, batch: 50, times },
      ...{ faultModule: this.#director.module, threadMemoryMb: THREAD_MEMORY_MB },
    }
    const child = fork(
      fileURLToPath(new URL('./audit-under-faults.mjs', import.meta.url)),
      [JSON.stringify(options)],
      { execArgv: [] },
    )
    this.#child = child
    child.on('message', ({ message, error }: { message: string; error?: string }) =>
      this.warnings.push(error === undefined ? message : `${message}: ${error}`),
    )
    await once(child, 'message')
  }

  /** In one group of partitions; the next time in the next one, because that of a killed process waits for its lock. */
  async #commit(): Promise<void> {
    const batch = this.#batches++
    const ids = idsOf(batch % GROUPS, `b${batch}-`)
    await this.#place.append(ids.flatMap((id) => transitions(id, TRANSITIONS)))
    await this.#place.append([{ i: ids[0] ?? '', c: `refused-${batch}` }])
    for (const partition of new Set(ids.map(partitionOf))) this.#child?.send(partition)
  }

  async #reached({ point }: Reached): Promise<Order> {
    const strike = this.#strike
    if (strike === null) return 'go'
    if (point === 'before-insert' && strike.point === 'insert-sent') await this.#prepare(strike)
    if (point !== strike.point) return 'go'
    // A pass that finds nothing also comes by.
    const isIdle = point === 'before-read' && (await this.#place.waiting()) === 0
    // Nor is it this statement where that began before the lock.
    const isOther = strike.statement === 'open' && !(await this.#isBlocked())
    if (isIdle || isOther || this.#strike !== strike) return 'go'
    this.#strike = null
    try {
      return await this.#harm(strike)
    } catch (error) {
      strike.failed(error)
      return 'go'
    }
  }

  async #prepare({ statement, fault }: Strike): Promise<void> {
    if (statement === 'committed' && fault === 'connections') this.#proxy.mute()
    if (statement !== 'open' || this.#lock !== null) return
    this.#lock = this.#place.pool.connect().then(async (client) => {
      await client.query('begin')
      await client.query('lock table troupe_transitions in share mode')
      return client
    })
    await this.#lock
  }

  async #harm({ statement, fault, rows, done, failed }: Strike): Promise<Order> {
    const place = this.#place
    if (statement === 'committed')
      await until(async () => (await place.count('troupe_transitions')) > rows, 'the statement is committed')
    switch (fault) {
      case 'kill': {
        const exited = once(this.#child as ChildProcess, 'exit')
        this.#child?.kill('SIGKILL')
        await exited
        await this.#unlock()
        await this.#startProcess()
        break
      }
      case 'connections':
        // Of an open statement nothing is to be left.
        if (statement === 'open') await place.pool.query(END_STATEMENTS, [await this.#blocked()])
        this.#proxy.cut()
        await sleep(50)
        await this.#unlock()
        this.#proxy.restore()
        break
      case 'redis':
        await this.#restartRedis()
        await this.#unlock()
        break
      default: {
        this.#whenDying()
          .then(async () => {
            await sleep(50)
            await this.#unlock()
            done()
          })
          .catch(failed)
        return fault
      }
    }
    done()
    return 'go'
  }

  /** A thread that has done nothing yet hears of no death: there is to be something to do. */
  async #whenDying(): Promise<void> {
    const before = this.deaths
    let asked = 0
    const isDying = async (): Promise<boolean> => {
      if (this.deaths > before) return true
      if (++asked % 80 === 20) await this.#commit()
      return false
    }
    await until(isDying, 'a thread is ending', HIT_MS)
  }

  async #blocked(): Promise<number[]> {
    const { rows } = await this.#place.pool.query<{ pid: number }>(
      `select pid from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
    )
    return rows.map(({ pid }) => pid)
  }

  /** Whether a statement waits for the lock, now or in a moment. */
  async #isBlocked(): Promise<boolean> {
    if (this.#lock === null) return false
    for (let asked = 0; asked < 20; asked++) {
      if ((await this.#blocked()).length > 0) return true
      await sleep(25)
    }
    return false
  }

  async #unlock(): Promise<void> {
    const lock = await this.#lock
    this.#lock = null
    await lock?.query('rollback')
    lock?.release()
  }
}

const END_STATEMENTS = 'select pg_terminate_backend(pid) from unnest($1::integer[]) as pid'

/** Ids of sessions that lie in this group of partitions. */
function idsOf(group: number, start: string): string[] {
  const ids: string[] = []
  for (let n = 0; ids.length < SESSIONS && n < PARTITIONS * 100; n++)
    if (groupOf(partitionOf(`${start}${n}`)) === group) ids.push(`${start}${n}`)
  return ids
}
