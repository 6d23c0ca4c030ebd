/** A cluster of real processes, started as `npm start` starts it, on a key prefix and a database of its own. */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { randomBytes } from 'node:crypto'
import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import type { RuntimeHealth } from '../../runtime/runtime.ts'
import type { AuditHealth } from '../../persistence/audit/worker.ts'

const PROJECT = join(import.meta.dirname, '..', '..')
const START_MS = 30_000

export type Health = RuntimeHealth & { readonly audit: AuditHealth | null }

export class Cluster {
  readonly url: string
  readonly prefix: string
  readonly databaseUrl: string
  /** What it wrote to its standard error. */
  readonly log: () => string
  readonly #primary: ChildProcess
  readonly #adminUrl: string

  private constructor(
    primary: ChildProcess,
    url: string,
    names: { prefix: string; databaseUrl: string; adminUrl: string },
    log: () => string,
  ) {
    this.#primary = primary
    this.url = url
    this.prefix = names.prefix
    this.databaseUrl = names.databaseUrl
    this.#adminUrl = names.adminUrl
    this.log = log
  }

  static async start(
    servers: { redisUrl: string; databaseUrl: string },
    env: Record<string, string> = {},
    files: readonly string[] = [],
  ): Promise<Cluster> {
    const prefix = `t${randomBytes(4).toString('hex')}`
    await query(servers.databaseUrl, `create database ${prefix}`)
    const database = new URL(servers.databaseUrl)
    database.pathname = `/${prefix}`
    const databaseUrl = env['DATABASE_URL'] ?? database.href
    const primary = spawn(process.execPath, [join(PROJECT, 'dist/runtime/cli/main.js'), ...files], {
      env: {
        PATH: process.env['PATH'],
        PORT: '0',
        WORKERS: '2',
        LOG_LEVEL: 'warn',
        REDIS_URL: servers.redisUrl,
        DATABASE_URL: databaseUrl,
        KEY_PREFIX: prefix,
        ...env,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let said = ''
    let complained = ''
    primary.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()))
    primary.stderr.on('data', (chunk: Buffer) => (complained += chunk.toString()))
    const deadline = Date.now() + START_MS
    for (;;) {
      const url = /ready at (wss?:\S+)/.exec(said)?.[1]
      if (url !== undefined) {
        const names = { prefix, databaseUrl, adminUrl: servers.databaseUrl }
        return new Cluster(primary, url, names, () => complained)
      }
      if (primary.exitCode !== null || Date.now() > deadline) {
        primary.kill('SIGKILL')
        throw new Error(`the cluster did not start: ${said} ${complained}`)
      }
      await sleep(20)
    }
  }

  get pid(): number {
    return this.#primary.pid ?? 0
  }

  /** Processes of this cluster whose script has this name (`worker.js`, `audit.js`). */
  pids(script: string): number[] {
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name) && parentOf(name) === this.pid && commandOf(name).includes(script))
      .map(Number)
  }

  /** Ends one process of this cluster with -9, the one that has lived longest: each in turn, and none for ever. @returns whether there was one */
  killOne(script: string): boolean {
    const [pid] = this.pids(script).sort((a, b) => a - b)
    if (pid === undefined) return false
    process.kill(pid, 'SIGKILL')
    return true
  }

  /** Ends a worker with -9 that has connections, and so sessions under way. @returns whether there was one */
  async killServing(): Promise<boolean> {
    // Asked a few times: each answer is of another worker.
    for (let asked = 0; asked < 4; asked++) {
      const { pid, connections } = await this.health().catch(() => ({ pid: 0, connections: 0 }))
      if (connections > 0) return process.kill(pid, 'SIGKILL')
      await sleep(50)
    }
    return false
  }

  /** Of one worker; asked again, of the next one: a connection that is kept would lead to the same. */
  async health(): Promise<Health> {
    const url = this.url.replace(/^ws/, 'http').replace(/\/ws$/, '/healthz')
    const response = await fetch(url, { headers: { connection: 'close' } })
    return (await response.json()) as Health
  }

  /** WebSockets that are open now, at all workers. */
  async connections(): Promise<number> {
    const workers = this.pids('worker.js').length
    const byWorker = new Map<number, number>()
    while (byWorker.size < workers) {
      const { pid, connections } = await this.health()
      byWorker.set(pid, connections)
    }
    return [...byWorker.values()].reduce((sum, each) => sum + each, 0)
  }

  /** Resolves once PostgreSQL holds all that was committed. */
  async whenAuditCaughtUp(timeoutMs: number): Promise<void> {
    const deadline = Date.now() + timeoutMs
    let quiet = 0
    for (;;) {
      // Who was killed last may still be asked.
      const { audit } = await this.health().catch(() => ({ audit: null }))
      quiet = audit?.status === 'ok' && audit.backlog === 0 ? quiet + 1 : 0
      // The health is of the last sweep, a second ago at most.
      if (quiet === 4) return
      if (Date.now() > deadline) throw new Error(`the audit did not catch up: ${JSON.stringify(audit)}`)
      await sleep(500)
    }
  }

  signal(signal: NodeJS.Signals): void {
    this.#primary.kill(signal)
  }

  /** @returns the exit code */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
    if (this.#primary.exitCode === null && this.#primary.signalCode === null) {
      const exited = once(this.#primary, 'exit')
      this.#primary.kill(signal)
      await exited
    }
    return this.#primary.exitCode
  }

  rows<T extends pg.QueryResultRow>(text: string, values: unknown[] = []): Promise<T[]> {
    return query<T>(this.databaseUrl, text, values)
  }

  async dropDatabase(): Promise<void> {
    await query(this.#adminUrl, `drop database ${this.prefix} with (force)`)
  }
}

async function query<T extends pg.QueryResultRow>(
  url: string,
  text: string,
  values: unknown[] = [],
): Promise<T[]> {
  const client = new pg.Client(url)
  await client.connect()
  try {
    return (await client.query<T>(text, values)).rows
  } finally {
    await client.end()
  }
}

/** Whether there is such a process. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

function parentOf(pid: string): number {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1])
  } catch {
    return -1
  }
}

function commandOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8')
  } catch {
    return ''
  }
}
