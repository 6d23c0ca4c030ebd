import { Queue } from 'bullmq'
import { Redis } from 'ioredis'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { PARTITIONS, partitionOf } from '../../actors/partitions.ts'
import { GROUPS } from '../../persistence/audit/groups.ts'
import { migrate, MIGRATION_LOCK } from '../../persistence/audit/migrations.ts'
import { AUDIT_QUEUE, AuditWakeup, auditQueuePrefix } from '../../persistence/audit/queue.ts'
import { findGaps } from '../../persistence/audit/verify.ts'
import { databaseUrl, redisUrl } from '../support/servers.ts'
import { AuditPlace, quiet, shortTimes, slowAt, transitions, until } from './audit-support.ts'

/** The sweep looks, but announces nothing: only wake-ups count. */
const noSweep = { ...shortTimes, staleMs: 3_600_000 }

describe('the audit service', { timeout: 90_000 }, () => {
  let place: AuditPlace
  let wakeup: AuditWakeup

  beforeEach(async () => {
    place = await AuditPlace.create(redisUrl(), databaseUrl())
    wakeup = new AuditWakeup({ redisUrl: place.redisUrl, prefix: place.prefix, log: quiet, backoffMs: 50 })
  })
  afterEach(async () => {
    await wakeup.stop({ deadlineMs: 1_000 })
    await place.destroy()
  })

  /** Sessions of 20 transitions each, committed and announced as by a process that serves. */
  async function commit(name: string, sessions: number): Promise<number> {
    for (let n = 0; n < sessions; n++) {
      await place.append(transitions(`${name}${n}`, 20))
      wakeup.notify(partitionOf(`${name}${n}`))
    }
    return sessions * 20
  }

  async function isDrained(): Promise<boolean> {
    return (await place.waiting()) === 0
  }

  async function withQueue<T>(ask: (queue: Queue) => Promise<T>): Promise<T> {
    const connection = new Redis(place.redisUrl)
    const queue = new Queue(AUDIT_QUEUE, { connection, prefix: auditQueuePrefix(place.prefix) })
    try {
      return await ask(queue)
    } finally {
      await queue.close()
      connection.disconnect()
    }
  }

  function hasNoJob(): Promise<boolean> {
    return withQueue(async (queue) => (await queue.getJobCountByTypes()) === 0)
  }

  it('AU3 writes what was announced, without the sweep, and leaves no job behind', async () => {
    const service = await place.start({ times: noSweep })
    const count = await commit('s', 100)
    await until(isDrained, 'drained')
    expect(await place.count('troupe_transitions')).toBe(count)
    expect(await place.count('troupe_sessions')).toBe(100)
    expect(await findGaps(place.pool)).toEqual([])
    await until(() => service.health().backlog === 0, 'health has seen it')
    expect(service.health()).toEqual({
      status: 'ok',
      backlog: 0,
      oldestMs: 0,
      rowsWritten: count,
      rejected: 0,
    })
    await until(hasNoJob, 'no job is left')
  })

  it('AU3 an entry committed right after the last read of its job does not wait for the sweep', async () => {
    await place.start({ times: noSweep, faultModule: slowAt('after-insert', 400) })
    await place.append(transitions('a', 5))
    wakeup.notify(partitionOf('a'))
    await until(
      async () => (await place.count('troupe_transitions').catch(() => 0)) === 5,
      'the first batch is written',
    )
    // The job is active and has read all it will read.
    await place.append(transitions('a', 7))
    wakeup.notify(partitionOf('a'))
    await until(isDrained, 'drained', 5_000)
    expect(await place.count('troupe_transitions')).toBe(12)
  })

  it('AU3 what nobody announced is found by the sweep, also when all jobs are lost', async () => {
    await place.append(transitions('a', 30))
    await place.start()
    await until(isDrained, 'drained')
    await commit('b', 20)
    const jobs = await place.redis.keys(`${auditQueuePrefix(place.prefix)}:*`)
    if (jobs.length > 0) await place.redis.del(jobs)
    await until(isDrained, 'drained again')
    expect(await place.count('troupe_transitions')).toBe(430)
  })

  it('AU1 AU3 PostgreSQL cut off under load: nothing is lost, no attempt is used, the backlog drains', async () => {
    const proxy = await place.proxy(place.databaseUrl)
    const service = await place.start({ databaseUrl: proxy.url })
    let count = await commit('before', 20)
    await until(() => service.health().rowsWritten > 0, 'it writes')
    proxy.cut()
    for (let round = 0; round < 10; round++) count += await commit(`during${round}-`, 20)
    await until(
      () => service.health().reason?.startsWith('PostgreSQL cannot be used now') ?? false,
      'health says so',
    )
    expect(service.health()).toMatchObject({ status: 'degraded' })
    expect(service.health().backlog).toBeGreaterThan(0)
    await new Promise((resolve) => setTimeout(resolve, 2_000))
    await withQueue(async (queue) => {
      const jobs = await queue.getJobs(['active', 'wait', 'delayed', 'failed', 'prioritized'])
      expect(jobs.length).toBeGreaterThan(0)
      for (const job of jobs) expect(job.attemptsMade).toBe(0)
      expect(await queue.getJobCountByTypes('failed', 'delayed')).toBe(0)
    })
    proxy.restore()
    await until(isDrained, 'drained')
    expect(await place.count('troupe_transitions')).toBe(count)
    expect(await place.count('troupe_rejects')).toBe(0)
    expect(await findGaps(place.pool)).toEqual([])
    await until(() => service.health().status === 'ok', 'health is well again')
  })

  it('AU3 a read-only PostgreSQL is waited for without using attempts', async () => {
    const service = await place.start()
    await commit('before', 5)
    await until(isDrained, 'drained')
    const name = new URL(place.databaseUrl).pathname.slice(1)
    const end = `select pg_terminate_backend(pid) from pg_stat_activity where datname = '${name}' and pid <> pg_backend_pid()`
    await place.pool.query(`alter database ${name} set default_transaction_read_only = on`)
    await place.pool.query(end)
    await commit('during', 5)
    await until(() => service.health().reason?.includes('25006') ?? false, 'health says so')
    expect(await withQueue((queue) => queue.getJobCountByTypes('failed', 'delayed'))).toBe(0)
    await place.pool.query(
      `set default_transaction_read_only = off; alter database ${name} reset default_transaction_read_only`,
    )
    await place.pool.query(end)
    await until(isDrained, 'drained')
    expect(await place.count('troupe_transitions')).toBe(200)
  })

  it('AU3 starts without PostgreSQL and without Redis, and begins when they are there', async () => {
    const database = await place.proxy(place.databaseUrl)
    const redis = await place.proxy(place.redisUrl)
    database.cut()
    redis.cut()
    const service = await place.start({ databaseUrl: database.url, redisUrl: redis.url })
    const count = await commit('s', 10)
    await until(
      () => service.health().reason?.startsWith('Redis cannot be used now') ?? false,
      'health tells of Redis',
    )
    redis.restore()
    await until(
      () => service.health().reason?.startsWith('PostgreSQL cannot be used yet') ?? false,
      'then of PostgreSQL',
    )
    expect(service.health().backlog).toBe(count)
    database.restore()
    await until(isDrained, 'drained')
    expect(await place.count('troupe_transitions')).toBe(count)
  })

  it('AU3 what PostgreSQL refuses as a whole is tried 5 times, stays, and is written once it is mended', async () => {
    const service = await place.start()
    await commit('before', 2)
    await until(isDrained, 'drained')
    await place.pool.query('alter table troupe_sessions rename to elsewhere')
    const count = 40 + (await commit('during', 1))
    await until(() => withQueue(async (queue) => (await queue.getFailedCount()) > 0), 'the job failed')
    const [failed] = await withQueue((queue) => queue.getFailed())
    expect(failed?.attemptsMade).toBe(5)
    expect(failed?.failedReason).toContain('troupe_sessions')
    expect(service.health()).toMatchObject({ status: 'degraded' })
    expect(await place.waiting()).toBe(20)
    await place.pool.query('alter table elsewhere rename to troupe_sessions')
    await until(isDrained, 'drained')
    expect(await place.count('troupe_transitions')).toBe(count)
    expect(await place.count('troupe_rejects')).toBe(0)
  })

  it('AU3 makes its tables again when PostgreSQL came back without them', async () => {
    await place.start()
    await commit('before', 2)
    await until(isDrained, 'drained')
    await place.pool.query(
      'drop table troupe_transitions, troupe_sessions, troupe_rejects, troupe_migrations cascade',
    )
    const count = await commit('after', 2)
    await until(isDrained, 'drained')
    expect(await place.count('troupe_transitions')).toBe(count)
  })

  it('AU1 two audit processes at once write every row once', async () => {
    // A statement that a busy machine answers late is not to be given up: what it wrote would be counted by nobody.
    const times = { ...shortTimes, answerMs: 20_000, hungMs: 30_000 }
    const services = [await place.start({ times }), await place.start({ times })]
    let count = 0
    const idle = () => services.filter((service) => service.health().rowsWritten === 0)
    // One may come late, and whoever has got a group keeps it while more comes: let them begin anew until both had one.
    for (let round = 0; round < 3 || (round < 20 && idle().length > 0); round++) {
      for (let part = 0; part < 3; part++) count += await commit(`r${round}-${part}-`, 60)
      await until(isDrained, 'drained')
    }
    expect(await place.count('troupe_transitions')).toBe(count)
    expect(await findGaps(place.pool)).toEqual([])
    await until(
      () => services.reduce((sum, each) => sum + each.health().rowsWritten, 0) === count,
      'both have counted',
    )
    expect(idle()).toEqual([])
  })

  it('AU3 goes on after Redis was cut off', async () => {
    const proxy = await place.proxy(place.redisUrl)
    const service = await place.start({ redisUrl: proxy.url })
    let count = await commit('before', 10)
    await until(() => service.health().rowsWritten > 0, 'it writes')
    proxy.cut()
    count += await commit('during', 10)
    await until(() => service.health().status === 'degraded', 'health says so')
    proxy.restore()
    await until(isDrained, 'drained', 30_000)
    expect(await place.count('troupe_transitions')).toBe(count)
    expect(await findGaps(place.pool)).toEqual([])
  })

  it('AU3 an engine whose connections are dead without saying so is replaced', async () => {
    const proxy = await place.proxy(place.redisUrl)
    const warnings: string[] = []
    const log = { ...quiet, warn: (_details: object, message: string) => void warnings.push(message) }
    await place.start({ redisUrl: proxy.url, log })
    let count = await commit('before', 10)
    await until(isDrained, 'drained')
    // A job under way would notice the silence, and go on by itself; a worker that waits for one does not.
    await until(hasNoJob, 'the worker waits')
    proxy.freeze()
    count += await commit('during', 10)
    await until(isDrained, 'drained', 45_000)
    expect(await place.count('troupe_transitions')).toBe(count)
    expect(warnings).toContain('audit: the engine hangs, building it anew')
  })

  it('stop writes what waits within its deadline, and leaves the rest', async () => {
    const service = await place.start({ times: noSweep })
    await until(() => service.health().status === 'ok', 'started')
    await place.append(transitions('unannounced', 300))
    await service.stop({ deadlineMs: 10_000 })
    expect(await place.waiting()).toBe(0)

    await place.append(transitions('more', 10))
    const other = await place.start({ times: noSweep })
    const from = performance.now()
    await other.stop({ deadlineMs: 0 })
    expect(performance.now() - from).toBeLessThan(3_000)
    expect(await place.waiting()).toBe(10)
  })

  it('stop waits for a start that is under way, and writes what waits', async () => {
    const lock = await place.pool.connect()
    await lock.query(`select pg_advisory_lock($1)`, [MIGRATION_LOCK])
    const service = await place.start({ times: noSweep })
    await place.append(transitions('early', 100))
    const stopped = service.stop({ deadlineMs: 20_000 })
    await until(async () => {
      const { rows } = await place.pool.query(
        `select 1 from pg_locks join pg_database on pg_database.oid = database
          where datname = current_database() and locktype = 'advisory' and not granted`,
      )
      return rows.length > 0
    }, 'the start waits for the lock')
    lock.release(true)
    await stopped
    expect(await place.waiting()).toBe(0)
    expect(await place.count('troupe_transitions')).toBe(100)
  })

  it('announces a group at most once a pause, and never waits', async () => {
    await migrate(place.pool)
    const from = performance.now()
    for (let n = 0; n < 640_000; n++) wakeup.notify(n % PARTITIONS)
    expect((performance.now() - from) / 640_000).toBeLessThan(0.002)
    await until(() => withQueue(async (queue) => (await queue.getWaitingCount()) === GROUPS), 'one job each')
  })
})
