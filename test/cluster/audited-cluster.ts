/** A cluster whose audit process and PostgreSQL are the test's own, so that each part of the pipeline can be killed by itself. */
import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Redis } from 'ioredis'
import { PARTITIONS } from '../../actors/partitions.ts'
import { Keys } from '../../persistence/keys.ts'
import type { EmbeddedServer } from '../../runtime/embedded/embedded-server.ts'
import { startPostgres } from '../../runtime/embedded/postgres.ts'
import { redisUrl } from '../support/servers.ts'
import { until } from '../support/hosts.ts'
import { Cluster } from './cluster.ts'

export const victims = ['worker', 'audit process', 'thread', 'PostgreSQL'] as const
export type Victim = (typeof victims)[number]

/** In each thread: it ends when its process says so. */
const MORTAL = `
import { BroadcastChannel, isMainThread, threadId } from 'node:worker_threads'
if (!isMainThread) {
  const threads = new BroadcastChannel('threads')
  threads.onmessage = ({ data }) => {
    if (data.end !== threadId) return
    threads.postMessage({ dies: threadId })
    setImmediate(() => {
      if (data.how === 'exit') process.exit(7)
      throw new Error('a fault that nobody caught')
    })
  }
  threads.postMessage({ born: threadId })
  threads.unref()
}
`
/** Code of a module for the threads, which exports `faultPoint`. */
export type Pipeline = (redisUrl: string, keys: Keys) => string

const sound: Pipeline = () => `export async function faultPoint() {}`

export class AuditedCluster {
  readonly cluster: Cluster
  readonly redis = new Redis(redisUrl())
  readonly keys: Keys
  readonly #folder: string
  readonly #pipeline: Pipeline
  #postgres: EmbeddedServer
  #audit: ChildProcess | null = null
  #isStopping = false
  #threadsEnded = 0

  private constructor(folder: string, pipeline: Pipeline, postgres: EmbeddedServer, cluster: Cluster) {
    this.#folder = folder
    this.#pipeline = pipeline
    this.#postgres = postgres
    this.cluster = cluster
    this.keys = new Keys(cluster.prefix)
  }

  static async start(pipeline = sound): Promise<AuditedCluster> {
    const folder = mkdtempSync(join(tmpdir(), 'troupe-proof-'))
    // As in service: what it has acknowledged is there after a crash.
    const postgres = await startPostgres({ dataDir: folder, durable: true, log: () => undefined })
    const servers = { redisUrl: redisUrl(), databaseUrl: postgres.url }
    const cluster = await Cluster.start(servers, { AUDIT: 'false' })
    const audited = new AuditedCluster(folder, pipeline, postgres, cluster)
    await audited.#startAudit()
    return audited
  }

  /** Threads that ended. */
  get threadsEnded(): number {
    return this.#threadsEnded
  }

  /** @returns whether there was one to kill */
  async kill(victim: Victim): Promise<boolean> {
    switch (victim) {
      case 'worker':
        return this.cluster.killServing()
      case 'audit process':
        return this.#audit?.kill('SIGKILL') ?? false
      case 'thread':
        return this.#endThread()
      case 'PostgreSQL':
        // What `pg_ctl -m immediate` sends.
        process.kill(this.#postgres.process.pid, 'SIGQUIT')
        await until(async () => {
          const postgres = await startPostgres({
            dataDir: this.#folder,
            durable: true,
            log: () => undefined,
          }).catch(() => null)
          if (postgres === null || postgres.adopted) return false
          this.#postgres = postgres
          return true
        }, 30_000)
        return true
    }
  }

  /** Entries in all outboxes. */
  async waiting(): Promise<number> {
    const lengths = await Promise.all(
      Array.from({ length: PARTITIONS }, (_, partition) => this.redis.xlen(this.keys.outbox(partition))),
    )
    return lengths.reduce((sum, length) => sum + length, 0)
  }

  async whenWritten(timeoutMs: number): Promise<void> {
    await until(async () => (await this.waiting()) === 0, timeoutMs)
  }

  async stop(): Promise<void> {
    this.#isStopping = true
    await this.cluster.stop()
    this.#audit?.kill('SIGKILL')
    this.redis.disconnect()
    await this.#postgres.stop()
    rmSync(this.#folder, { recursive: true, force: true })
  }

  async #endThread(): Promise<boolean> {
    const before = this.#threadsEnded
    if (this.#audit?.send(before % 2 === 0 ? 'exit' : 'throw') !== true) return false
    return until(() => this.#threadsEnded > before, 10_000).then(
      () => true,
      () => false,
    )
  }

  async #startAudit(): Promise<void> {
    const options = {
      ...{ redisUrl: redisUrl(), databaseUrl: this.cluster.databaseUrl, prefix: this.cluster.prefix },
      ...{ threads: 2, batch: 500, retentionDays: 0 },
      faultModule: `data:text/javascript,${encodeURIComponent(MORTAL + this.#pipeline(redisUrl(), this.keys))}`,
    }
    const script = fileURLToPath(new URL('./audit-to-harm.mjs', import.meta.url))
    const audit = fork(script, [JSON.stringify(options)], { execArgv: [] })
    this.#audit = audit
    audit.on('message', ({ message }: { message: string }) => {
      if (message === 'a thread dies') this.#threadsEnded++
    })
    audit.once('exit', () => {
      if (!this.#isStopping) void this.#startAudit()
    })
    await once(audit, 'message')
  }
}
