/** Processes for tests: each a store, a host and a sink of its own, put together as in runtime/serving.ts. */
import { randomBytes } from 'node:crypto'
import { Redis } from 'ioredis'
import type { FeedMessage } from '../../actors/feed-message.ts'
import type { Caller, Clock, SessionStore } from '../../actors/ports.ts'
import { Registry } from '../../actors/registry.ts'
import { parseSessionId } from '../../actors/session.ts'
import type { SessionId, SessionRecord } from '../../actors/session.ts'
import { Keys } from '../../persistence/keys.ts'
import { RedisSessionStore } from '../../persistence/redis-session-store.ts'
import { systemClock } from '../../runtime/clock.ts'
import { SessionHost } from '../../runtime/host/session-host.ts'
import { KeptLog } from '../transport/support/parts.ts'
import { redisUrl } from './servers.ts'
import type { TcpProxy } from './tcp-proxy.ts'

export const NOBODY: Caller = { principal: null, origin: null }

export function callerNamed(id: string): Caller {
  return { principal: { id }, origin: null }
}

export function sid(text: string): SessionId {
  const id = parseSessionId(text)
  if (id === null) throw new Error(`${text} is not a session id`)
  return id
}

export function sleepMs(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

/** Waits until it holds. @throws after `timeoutMs` */
export async function until(holds: () => boolean | Promise<boolean>, timeoutMs = 5000): Promise<void> {
  const deadline = Date.now() + timeoutMs
  while (!(await holds())) {
    if (Date.now() > deadline) throw new Error(`did not come true in ${timeoutMs} ms: ${String(holds)}`)
    await sleepMs(5)
  }
}

/** Cuts a store off until it has noticed, and waits until it is back: the cut alone may go unnoticed for a while. */
export async function reconnect(proxy: TcpProxy, store: RedisSessionStore): Promise<void> {
  proxy.cut({ refusing: true })
  await until(() => !store.isReady())
  proxy.heal()
  await until(() => store.isReady())
}

export interface StoreOptions {
  /** Where its connections go: a proxy's address, or another server's. */
  readonly url?: string
  readonly commandKeyTtlMs?: number
}

export interface ProcessOptions extends StoreOptions {
  readonly definitions?: readonly unknown[]
  /** Stands between host and store. */
  readonly wrap?: (store: SessionStore) => SessionStore
  readonly clock?: Clock
  readonly sessionTtlMs?: number | null
  readonly warmSessions?: number
  readonly maxSessionBytes?: number
  readonly maxEventBytes?: number
  readonly onTimers?: (record: SessionRecord) => void
  readonly onUnknown?: (partition: number) => void
  readonly refusal?: () => string | null
}

export interface TestProcess {
  readonly node: string
  readonly store: RedisSessionStore
  readonly host: SessionHost
  readonly log: KeptLog
  /** What the host handed to its own subscribers. */
  readonly published: { message: FeedMessage; origins: ReadonlySet<object> }[]
  /** Sessions whose outbox was said to have something new. */
  readonly committed: SessionId[]
  /** Records of its commits that left timers armed. */
  readonly armed: SessionRecord[]
}

/** Some processes on one key prefix that nobody else uses. They do not hear each other's feed. */
export class TestCluster {
  readonly prefix = `test-${randomBytes(6).toString('hex')}`
  readonly keys = new Keys(this.prefix)
  readonly url: string
  /** For looking at what is there. */
  readonly redis: Redis
  readonly #stores: RedisSessionStore[] = []

  constructor(url = redisUrl()) {
    this.url = url
    this.redis = new Redis(url)
  }

  async store({ url = this.url, commandKeyTtlMs = 120_000 }: StoreOptions = {}): Promise<RedisSessionStore> {
    const node = randomBytes(6).toString('hex')
    const store = new RedisSessionStore({ url, keys: this.keys, node, commandKeyTtlMs, log: new KeptLog() })
    this.#stores.push(store)
    await store.start()
    return store
  }

  async process(options: ProcessOptions = {}): Promise<TestProcess> {
    const store = await this.store(options)
    const log = new KeptLog()
    const registry = new Registry()
    for (const definition of options.definitions ?? []) registry.register(definition)
    const published: TestProcess['published'] = []
    const committed: SessionId[] = []
    const armed: SessionRecord[] = []
    const host = new SessionHost({
      store: options.wrap?.(store) ?? store,
      registry,
      sink: { publish: (message, origins) => void published.push({ message, origins }) },
      clock: options.clock ?? systemClock,
      log,
      warmSessions: options.warmSessions ?? 1000,
      sessionTtlMs: options.sessionTtlMs === undefined ? 3_600_000 : options.sessionTtlMs,
      maxSessionBytes: options.maxSessionBytes ?? 1_000_000,
      maxEventBytes: options.maxEventBytes ?? 100_000,
      onCommitted: (id) => void committed.push(id),
      onTimers: options.onTimers ?? ((record) => void armed.push(record)),
      onUnknown: options.onUnknown ?? (() => undefined),
      refusal: options.refusal,
    })
    await host.start()
    return { node: store.node, store, host, log, published, committed, armed }
  }

  async close(): Promise<void> {
    for (const store of this.#stores) store.stop()
    const stream = this.redis.scanStream({ match: `${this.prefix}:*`, count: 1000 })
    for await (const found of stream) {
      const names = found as string[]
      if (names.length > 0) await this.redis.unlink(...names)
    }
    this.redis.disconnect()
  }
}
