/** All parts of a serving process, put together; and the TypeScript API on top of them. */
import type { Server } from 'node:http'
import { randomBytes } from 'node:crypto'
import type { ContextOf, EventOf, InputOf, SessionDefinition, SessionIdOf } from '../actors/define-session.ts'
import { TroupeError } from '../actors/errors.ts'
import { partitionOf, PARTITIONS } from '../actors/partitions.ts'
import type { Caller, Clock, Logger } from '../actors/ports.ts'
import type { Registry } from '../actors/registry.ts'
import { parseSessionId } from '../actors/session.ts'
import type { Position, SessionId, SessionRecord } from '../actors/session.ts'
import type { SessionView } from '../actors/view.ts'
import { AuditWakeup } from '../persistence/audit/queue.ts'
import { startAudit } from '../persistence/audit/worker.ts'
import type { AuditHealth, AuditService } from '../persistence/audit/worker.ts'
import { Keys } from '../persistence/keys.ts'
import { RedisSessionStore } from '../persistence/redis-session-store.ts'
import { connectRedis } from '../persistence/redis.ts'
import { FanOut } from '../transport/feed/fan-out.ts'
import { RedisFeed } from '../transport/feed/redis-feed.ts'
import { waitFor } from '../transport/feed/wait-for.ts'
import type { Until } from '../transport/feed/wait-for.ts'
import { attachGateway } from '../transport/gateway/server.ts'
import type { Gateway } from '../transport/gateway/server.ts'
import { systemClock } from './clock.ts'
import { Clockwork } from './host/clockwork.ts'
import { SessionHost } from './host/session-host.ts'
import { CallbackSubscriber } from './notices.ts'
import type { SessionNotice } from './notices.ts'
import type { Options } from './options.ts'

const HEALTH_TIMEOUT_MS = 1000

/** What a caller of the TypeScript API is to the host: nobody in particular, on no connection. */
const CALLER: Caller = { principal: null, origin: null }

export interface RuntimeParts {
  readonly options: Options & { readonly redisUrl: string }
  readonly registry: Registry
  readonly log: Logger
  readonly clock?: Clock
}

export interface RuntimeHealth {
  readonly ok: boolean
  readonly node: string
  readonly redis: 'ready' | 'unreachable'
  readonly connections: number
  readonly subscribedSessions: number
  /** Absent where the audit runs in another process. */
  readonly audit?: AuditHealth
}

export interface UpdateOptions {
  /** Idempotency key: the same key with the same event is applied once within `commandKeyTtlMs`. */
  readonly key?: string
  /** Apply only if the session is at this version. */
  readonly ifVersion?: number | Position
}

export interface CreateOptions<D> {
  /** Default: a random one, or one derived from `key`. */
  readonly id?: string
  readonly input?: InputOf<D>
  readonly key?: string
  /** What to do if the session exists. Default `error`. */
  readonly ifExists?: 'error' | 'return'
  /** Lifetime in ms after the last commit; `null`: for ever. Default: that of the definition. */
  readonly ttlMs?: number | null
}

/** A session as the TypeScript API shows it: the client's view, with the whole context. */
export type Session<D = unknown> = SessionView<ContextOf<D>> & { readonly id: SessionIdOf<D> }

export class Runtime {
  readonly #options: RuntimeParts['options']
  readonly #log: Logger
  readonly #clock: Clock
  readonly #store: RedisSessionStore
  readonly #feed: RedisFeed
  readonly #fanOut: FanOut
  readonly #host: SessionHost
  readonly #wakeup: AuditWakeup
  readonly #clockwork: Clockwork
  readonly #gateways = new Set<Gateway>()
  #audit: AuditService | null = null
  #closing: Promise<void> | null = null

  /** Use {@link Runtime.start}. */
  private constructor({ options, registry, log, clock = systemClock }: RuntimeParts) {
    this.#options = options
    this.#log = log
    this.#clock = clock
    const url = options.redisUrl
    const keys = new Keys(options.keyPrefix)
    const node = randomBytes(6).toString('hex')
    this.#store = new RedisSessionStore({ url, keys, node, commandKeyTtlMs: options.commandKeyTtlMs, log })
    this.#feed = new RedisFeed({
      redis: connectRedis(url, `troupe-feed-${node}`, log),
      clock,
      logger: log,
      channelOf: (id) => keys.channel(id),
      partitionChannels: Array.from({ length: PARTITIONS }, (_, partition) =>
        keys.partitionChannel(partition),
      ),
      announceListener: () => this.#store.announceListener(),
    })
    this.#fanOut = new FanOut({
      feed: this.#feed,
      node,
      clock,
      logger: log,
      read: (id) => this.#store.read(id),
      positions: (ids) => this.#store.positions(ids),
      encodeView: (record, principal) => this.#host.encodeView(record, principal),
      viewGroup: (record, principal) => this.#host.viewGroup(record, principal),
    })
    this.#wakeup = new AuditWakeup({ redisUrl: url, prefix: options.keyPrefix, log })
    this.#host = new SessionHost({
      store: this.#store,
      registry,
      sink: this.#fanOut,
      clock,
      log,
      warmSessions: options.warmSessions,
      sessionTtlMs: options.sessionTtlMs,
      maxSessionBytes: options.maxSessionBytes,
      maxEventBytes: options.maxEventBytes,
      onCommitted: (id) => this.#wakeup.notify(partitionOf(id)),
      onTimers: (record) => this.#clockwork.arm(record),
      onUnknown: (partition) => this.#clockwork.yield(partition),
    })
    this.#clockwork = new Clockwork({
      store: this.#store,
      expire: (id) => this.#host.expire(id),
      fire: (id, downtime) => this.#host.fire(id, downtime),
      deliver: (partition) => this.#host.deliver(partition),
      takeOver: (id, node) => this.#host.takeOver(id, node),
      clock,
      log,
    })
  }

  /** Connects and starts all parts. @throws Error that says what is wrong and what to do */
  static async start(parts: RuntimeParts): Promise<Runtime> {
    const runtime = new Runtime(parts)
    try {
      await runtime.#start()
    } catch (error) {
      await runtime.close({ deadlineMs: 0 })
      throw error
    }
    return runtime
  }

  async #start(): Promise<void> {
    await this.#store.start()
    await this.#host.start()
    this.#fanOut.start()
    const hear = this.#feed.onMessage
    this.#feed.onMessage = (message) => {
      if (message.kind === 'updated') this.#host.observe(message.record)
      else if (message.kind === 'ended') this.#host.ended(message.id)
      hear(message)
    }
    this.#store.onEpochsRaised = () => this.#feed.onInterrupted()
    await this.#feed.start()
    this.#clockwork.start()
    const { audit, databaseUrl } = this.#options
    if (!audit || databaseUrl === null) return
    this.#audit = await startAudit({
      redisUrl: this.#options.redisUrl,
      databaseUrl,
      prefix: this.#options.keyPrefix,
      threads: this.#options.auditThreads,
      batch: this.#options.auditBatch,
      log: this.#log,
    })
  }

  /**
   * Creates a session.
   * @throws TroupeError `session_exists`, `unknown_machine`, `event_invalid` (the input), `too_large`, `unavailable`, …
   */
  async createSession<D extends SessionDefinition>(
    definition: D | string,
    options: CreateOptions<D> = {},
  ): Promise<Session<D> & { readonly created: boolean }> {
    const machine = typeof definition === 'string' ? definition : definition.name
    const { created, record } = await this.#host.create({ machine, ...options }, CALLER)
    return { created, ...this.#session<D>(record) }
  }

  /** The session as it is now, by one read; `null`: there is none. @throws TroupeError `unavailable` */
  async getSession<D = unknown>(id: SessionIdOf<D> | string): Promise<Session<D> | null> {
    const record = await this.#host.get(asId(id))
    return record === null ? null : this.#session<D>(record)
  }

  /**
   * Sends an event to the session's machine; the transition that it causes is the update.
   * @throws TroupeError `not_found`, `event_invalid`, `session_ended`, `version_conflict`, `contention`, `unavailable`, …
   */
  async updateSession<D = unknown>(
    id: SessionIdOf<D> | string,
    event: EventOf<D>,
    options: UpdateOptions = {},
  ): Promise<
    Session<D> & { readonly outcome: 'committed' | 'unchanged' | 'duplicate'; readonly applied?: number }
  > {
    const request = { id: asId(id), event: checkEvent(event), ...options }
    const { outcome, applied, record } = await this.#host.update(request, CALLER)
    return { outcome, ...(applied === undefined ? {} : { applied }), ...this.#session<D>(record) }
  }

  /** @returns whether there was a session to delete. @throws TroupeError `unavailable` */
  deleteSession(id: string): Promise<boolean> {
    return this.#host.delete(asId(id), CALLER)
  }

  /** Tells all subscribers of the session, at most once; does not ask whether it exists. @throws TroupeError */
  broadcastToSession(id: string, message: unknown): Promise<void> {
    return this.#host.broadcast(asId(id), message)
  }

  /**
   * Calls back with the session as it is now, then for each update, message, emitted event and its end.
   * @returns how to end the subscription
   * @throws TroupeError `not_found`, `unavailable`
   */
  subscribe<D = unknown>(
    id: SessionIdOf<D> | string,
    callback: (notice: SessionNotice<Session<D>>) => void,
  ): Promise<() => void> {
    const sessionId = asId(id)
    const subscriber = new CallbackSubscriber((record) => this.#session<D>(record), callback, this.#log)
    const leave = (): void => this.#fanOut.leave(sessionId, subscriber)
    return new Promise((resolve, reject) => {
      const joined = (record: SessionRecord | null): void => {
        if (record === null) {
          reject(new TroupeError('not_found', `there is no session "${sessionId}": create it first`))
          return
        }
        subscriber.begin(record)
        resolve(leave)
      }
      this.#fanOut.join(sessionId, subscriber, joined, reject)
    })
  }

  /**
   * Resolves once the session is done, has a tag, or is in a state, on whichever process it gets there; at once if it is already.
   * @throws TroupeError `timeout`, `not_found`, `session_ended` (it can no longer come true)
   */
  waitFor<D = unknown>(
    id: SessionIdOf<D> | string,
    until: Until,
    { timeoutMs = 30_000 }: { readonly timeoutMs?: number } = {},
  ): Promise<Session<D>> {
    return new Promise((resolve, reject) => {
      waitFor(
        {
          fanOut: this.#fanOut,
          stateOf: (record) => this.#host.stateOf(record),
          clock: this.#clock,
          id: asId(id),
          until,
          timeoutMs,
        },
        (record) => resolve(this.#session<D>(record)),
        reject,
      )
    })
  }

  /**
   * Calls back for updates and ends of every session, whichever process of the cluster made them; at most once each.
   * @returns how to end it. @throws StoreFailure
   */
  async onUpdate(callback: (notice: SessionNotice<Session>) => void): Promise<() => void> {
    return this.#fanOut.onAny((message) => {
      if (message.kind === 'ended')
        callback({ kind: 'ended', id: message.id, position: message.position, reason: message.reason })
      else
        callback({
          kind: 'updated',
          session: this.#session(message.record),
          events: JSON.parse(message.events) as string[],
        })
    })
  }

  /** Serves WebSocket clients at `/ws` of an HTTP server. Without authentication: connections from this machine only. */
  attach(server: Server): Gateway {
    const {
      maxFrameBytes,
      maxSubscriptions,
      maxConnections,
      maxBufferedBytes,
      maxBacklogBytes,
      heartbeatMs,
    } = this.#options
    const gateway = attachGateway(server, {
      service: this.#host,
      fanOut: this.#fanOut,
      clock: this.#clock,
      logger: this.#log,
      ...(this.#options.allowedOrigins.length > 0 ? { origins: this.#options.allowedOrigins } : {}),
      limits: {
        maxFrameBytes,
        maxBatchLength: this.#options.maxBatchLength,
        maxSubscriptions,
        maxConnections,
        maxBufferedBytes,
        maxBacklogBytes,
        heartbeatMs,
      },
    })
    this.#gateways.add(gateway)
    return gateway
  }

  /** How this process does; asks Redis, and waits at most a second for its answer. */
  async health(): Promise<RuntimeHealth> {
    const redis = (await this.#store.answers(HEALTH_TIMEOUT_MS)) ? 'ready' : 'unreachable'
    return {
      ok: redis === 'ready' && this.#closing === null,
      node: this.#store.node,
      redis,
      connections: [...this.#gateways].reduce((sum, gateway) => sum + gateway.connections, 0),
      subscribedSessions: this.#fanOut.size,
      ...(this.#audit === null ? {} : { audit: this.#audit.health() }),
    }
  }

  /** Sees off connections, finishes what is under way, and closes everything; at most for `deadlineMs`. */
  close({ deadlineMs = this.#options.drainTimeoutMs }: { readonly deadlineMs?: number } = {}): Promise<void> {
    this.#closing ??= this.#close(deadlineMs)
    return this.#closing
  }

  async #close(deadlineMs: number): Promise<void> {
    const deadline = this.#clock.now() + deadlineMs
    const left = (): number => Math.max(0, deadline - this.#clock.now())
    this.#clockwork.stop()
    await Promise.all([...this.#gateways].map((gateway) => gateway.drain({ deadlineMs: left() })))
    const unfinished = await this.#host.drain(left())
    if (unfinished > 0) this.#log.warn({ sessions: unfinished }, 'left with requests under way')
    this.#fanOut.stop()
    await this.#wakeup.stop({ deadlineMs: Math.min(1000, left()) })
    await this.#audit?.stop({ deadlineMs: left() })
    this.#feed.stop()
    this.#store.stop()
  }

  #session<D>(record: SessionRecord): Session<D> {
    return JSON.parse(this.#host.encodeView(record, null)) as Session<D>
  }
}

function asId(text: string): SessionId {
  const id = parseSessionId(text)
  if (id !== null) return id
  throw new TroupeError('invalid_params', `${JSON.stringify(text)} is not a session id`)
}

function checkEvent(event: unknown): { type: string } {
  const type = (event as { type?: unknown } | null)?.type
  if (typeof type === 'string' && type !== '') return event as { type: string }
  throw new TroupeError('invalid_params', 'event: must be an object with a non-empty string "type"')
}
