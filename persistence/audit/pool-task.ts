/**
 * What runs in a thread of the audit's pool: one pass over a group of partitions. A thread keeps its own connections to Redis
 * and PostgreSQL between tasks; they are opened by the first task, because a thread that dies while it starts is
 * never replaced by the pool.
 */
import type { Redis } from 'ioredis'
import type pg from 'pg'
import Piscina from 'piscina'
import type { Logger } from '../../actors/ports.ts'
import { Keys } from '../keys.ts'
import { connectRedis, whenReady } from '../redis.ts'
import { openDatabase } from './database.ts'
import { drain, type DrainParts } from './drain.ts'
import { classifyFailure, codeOf, reasonOf } from './failure.ts'
import { loadFaultHook } from './fault-points.ts'
import { partitionsOf } from './groups.ts'
import { Outbox, OutboxFailure } from './outbox.ts'
import { TASKS_PER_THREAD, type Task, type TaskOutcome, type ThreadData } from './task.ts'

type Connections = DrainParts & { readonly redis: Redis; readonly pool: pg.Pool }

class AuditThread {
  readonly #data: ThreadData
  #connections: Promise<Connections> | null = null

  constructor(data: ThreadData) {
    this.#data = data
  }

  async run({ group, batch }: Task): Promise<TaskOutcome> {
    this.#connections ??= this.#connect()
    const connections = await this.#connections
    try {
      await whenReady(connections.redis, this.#data.answerMs).catch((error: unknown) => {
        throw new OutboxFailure(error)
      })
      return { kind: 'done', ...(await drain(connections, partitionsOf(group), batch)) }
    } catch (error) {
      if (error instanceof OutboxFailure) {
        if (error.isSilence) connections.redis.disconnect(true)
        return { kind: 'away', server: 'Redis', reason: error.message }
      }
      const reason = reasonOf(error)
      if (classifyFailure(error) === 'away') return { kind: 'away', server: 'PostgreSQL', reason }
      // What was believed to exist may be what is missing.
      connections.knownDays.clear()
      return { kind: 'refused', reason, code: codeOf(error) }
    }
  }

  async #connect(): Promise<Connections> {
    const { redisUrl, databaseUrl, prefix, answerMs, faultModule } = this.#data
    const redis = connectRedis(redisUrl, 'troupe-audit-thread', silent)
    const pool = openDatabase({ databaseUrl, max: TASKS_PER_THREAD, statementMs: answerMs })
    const faultPoint = await loadFaultHook(faultModule)
    return { redis, pool, outbox: new Outbox(redis, new Keys(prefix)), knownDays: new Set(), faultPoint }
  }
}

/** What a task reports, the service logs: a thread has no logger. */
const silent: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
}

const thread = new AuditThread(Piscina.workerData as ThreadData)

/** The pool's task. */
export default function runTask(task: Task): Promise<TaskOutcome> {
  return thread.run(task)
}
