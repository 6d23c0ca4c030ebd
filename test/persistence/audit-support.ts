/** What the tests of the audit share: databases of their own, outboxes filled as `commit.lua` fills them. */
import { randomBytes } from 'node:crypto'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import pg from 'pg'
import { PARTITIONS, partitionOf } from '../../actors/partitions.ts'
import type { Logger } from '../../actors/ports.ts'
import type { FaultPoint } from '../../persistence/audit/fault-points.ts'
import { startAudit, type AuditOptions, type AuditService } from '../../persistence/audit/worker.ts'
import { Keys } from '../../persistence/keys.ts'

/** Threads run what is compiled: from the sources each would load a compiler first. */
const threadFile = join(import.meta.dirname, '..', '..', 'dist/persistence/audit/pool-task.js')

/** Times short enough for tests; the ratios are those of service. */
export const shortTimes = { sweepMs: 200, staleMs: 1_000, hungMs: 4_000, answerMs: 3_000, backoffMs: 50 }

export const quiet: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
}

/** A database and a key prefix that no other test uses. */
export class AuditPlace {
  readonly prefix = `audit-${randomBytes(4).toString('hex')}`
  readonly keys = new Keys(this.prefix)
  readonly redis: Redis
  readonly pool: pg.Pool
  readonly redisUrl: string
  readonly databaseUrl: string
  readonly #admin: pg.Pool
  readonly #database: string
  readonly #opened: { stop(): Promise<void> }[] = []

  private constructor(redisUrl: string, adminUrl: string, database: string, admin: pg.Pool) {
    const url = new URL(adminUrl)
    url.pathname = `/${database}`
    this.redisUrl = redisUrl
    this.databaseUrl = url.href
    this.redis = new Redis(redisUrl)
    this.pool = new pg.Pool({ connectionString: url.href, max: 4 })
    this.pool.on('error', () => undefined)
    this.#admin = admin
    this.#database = database
  }

  static async create(redisUrl: string, adminUrl: string): Promise<AuditPlace> {
    const admin = new pg.Pool({ connectionString: adminUrl, max: 1 })
    admin.on('error', () => undefined)
    const database = `audit_${randomBytes(4).toString('hex')}`
    await admin.query(`create database ${database}`)
    return new AuditPlace(redisUrl, adminUrl, database, admin)
  }

  /** Starts an audit service that ends with this place. */
  async start(options: Partial<AuditOptions> = {}): Promise<AuditService> {
    const { redisUrl, databaseUrl, prefix } = this
    const service = await startAudit({
      ...{ redisUrl, databaseUrl, prefix, threadFile },
      ...{ threads: 2, batch: 200, retentionDays: 0, log: quiet, times: shortTimes },
      ...options,
    })
    this.#opened.push({ stop: () => service.stop({ deadlineMs: 0 }) })
    return service
  }

  async proxy(targetUrl: string): Promise<Proxy> {
    const proxy = await Proxy.open(targetUrl)
    this.#opened.push({ stop: () => proxy.close() })
    return proxy
  }

  /** Appends entries as a commit does; each is one call. */
  async append(entries: readonly TestEntry[]): Promise<void> {
    const pipeline = this.redis.pipeline()
    for (const entry of entries) {
      pipeline.xadd(this.keys.outbox(partitionOf(entry.i)), '*', ...packed(entry))
    }
    for (const [error] of (await pipeline.exec()) ?? []) if (error !== null) throw error
  }

  async waiting(): Promise<number> {
    let sum = 0
    for (let partition = 0; partition < PARTITIONS; partition++)
      sum += await this.redis.xlen(this.keys.outbox(partition))
    return sum
  }

  async count(table: string): Promise<number> {
    const { rows } = await this.pool.query<{ count: number }>(
      `select count(*)::integer as count from ${table}`,
    )
    return rows[0]?.count ?? -1
  }

  async destroy(): Promise<void> {
    await Promise.all(this.#opened.map((each) => each.stop()))
    const keys = await this.redis.keys(`*${this.prefix}*`)
    if (keys.length > 0) await this.redis.del(keys)
    this.redis.disconnect()
    await this.pool.end()
    await this.#admin.query(`drop database ${this.#database} with (force)`)
    await this.#admin.end()
  }
}

/** What an outbox entry says: session id, epoch, version, commit id, the one before, kind, time, and the texts m and s. */
export type TestEntry = { readonly i: string } & Readonly<Record<string, string>>

/** Fields and values of an entry as `commit.lua` writes them. */
export function packed(entry: Readonly<Record<string, string | Buffer>>): (string | Buffer)[] {
  const words = ['i', 'e', 'v', 'c', 'p', 'k', 't'].map((name) => Buffer.from(entry[name] ?? ''))
  const header = Buffer.concat(
    words.flatMap((word, index) => (index === 0 ? [word] : [Buffer.from(' '), word])),
  )
  const { m, s } = entry
  return ['h', header, ...(m === undefined ? [] : ['m', m]), ...(s === undefined ? [] : ['s', s])]
}

let clock = 0

/** A session's transitions 1 to `count`, each a commit of its own, chained. */
export function transitions(id: string, count: number, context: object = { n: 1 }): TestEntry[] {
  const epoch = String(Date.now() * 1_000 + (clock++ % 1_000))
  return Array.from({ length: count }, (_, index) => {
    const version = index + 1
    return {
      i: id,
      e: epoch,
      v: String(version),
      c: `node-${id}-${version}`,
      p: version === 1 ? '-' : `node-${id}-${version - 1}`,
      t: String(Date.now()),
      k: version === 1 ? 'created' : 'event',
      m: JSON.stringify({
        machine: 'counter',
        machineVersion: 1,
        node: 'node',
        ...(version === 1 ? { input: { start: 0 } } : { event: { type: 'ADD', by: version }, from: 'on' }),
      }),
      s: JSON.stringify({ status: 'active', value: 'on', context, tags: [], accepts: ['ADD'] }),
    }
  })
}

/** A module for the threads that waits at a point. */
export function slowAt(point: FaultPoint, ms: number): string {
  return moduleOf(`if (point === '${point}') await new Promise((resolve) => setTimeout(resolve, ${ms}))`)
}

function moduleOf(body: string): string {
  const code = `let reached = 0; export async function faultPoint(point) { ${body} }`
  return `data:text/javascript,${encodeURIComponent(code)}`
}

export async function until(
  condition: () => boolean | Promise<boolean>,
  what: string,
  ms = 20_000,
): Promise<void> {
  const end = performance.now() + ms
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`not within ${ms} ms: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 25))
  }
}

/** A TCP proxy before a real server, to cut it off or to leave its connections dead. */
export class Proxy {
  readonly url: string
  readonly #server: Server
  readonly #target: { host: string; port: number }
  readonly #pairs = new Set<readonly [Socket, Socket]>()
  #refusing = false

  private constructor(targetUrl: string, server: Server) {
    const url = new URL(targetUrl)
    this.#target = { host: url.hostname, port: Number(url.port) }
    this.#server = server
    const address = server.address()
    url.hostname = '127.0.0.1'
    url.port = String(typeof address === 'object' && address !== null ? address.port : 0)
    this.url = url.href
    server.on('connection', (client: Socket) => this.#accept(client))
  }

  static async open(targetUrl: string): Promise<Proxy> {
    const server = createServer()
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    return new Proxy(targetUrl, server)
  }

  /** Ends all connections, and every new one at once. */
  cut(): void {
    this.#refusing = true
    for (const pair of this.#pairs) for (const socket of pair) socket.destroy()
  }

  restore(): void {
    this.#refusing = false
  }

  /** The connections of now go silent for ever, without being closed; new ones work. */
  freeze(): void {
    for (const [client, server] of this.#pairs) {
      client.unpipe(server)
      server.unpipe(client)
      client.pause()
      server.pause()
    }
  }

  /** What the server answers on the connections of now reaches nobody any more; what it is asked still does. */
  mute(): void {
    for (const [client, server] of this.#pairs) {
      server.unpipe(client)
      server.resume()
    }
  }

  async close(): Promise<void> {
    this.cut()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  #accept(client: Socket): void {
    client.on('error', () => undefined)
    if (this.#refusing) return void client.destroy()
    const server = connect(this.#target)
    server.on('error', () => undefined)
    const pair = [client, server] as const
    this.#pairs.add(pair)
    client.pipe(server)
    server.pipe(client)
    for (const socket of pair) {
      socket.on('close', () => {
        this.#pairs.delete(pair)
        for (const each of pair) each.destroy()
      })
    }
  }
}
