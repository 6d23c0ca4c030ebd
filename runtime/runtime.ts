/** All parts of a serving process on Redis, put together. */
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Server as TlsServer } from 'node:https'
import type { BlockList } from 'node:net'
import { randomBytes } from 'node:crypto'
import { TroupeError } from '../actors/errors.ts'
import type { SessionPage } from '../actors/session-list.ts'
import { partitionOf, PARTITIONS } from '../actors/partitions.ts'
import type { Clock, Logger } from '../actors/ports.ts'
import type { Registry } from '../actors/registry.ts'
import { AuditWakeup } from '../persistence/audit/queue.ts'
import { OutboxAge } from '../persistence/audit/outbox-age.ts'
import { SessionList } from '../persistence/audit/session-list.ts'
import { startAudit } from '../persistence/audit/worker.ts'
import type { AuditHealth, AuditService } from '../persistence/audit/worker.ts'
import { Keys } from '../persistence/keys.ts'
import { RedisSessionStore } from '../persistence/redis-session-store.ts'
import { connectRedis } from '../persistence/redis.ts'
import { signAccessToken } from '../transport/auth/access-token.ts'
import type { AccessTokenRequest } from '../transport/auth/access-token.ts'
import type { RequestAuthenticator } from '../transport/auth/authenticator.ts'
import type { Gatekeeper } from '../transport/auth/gatekeeper.ts'
import { RedisFeed } from '../transport/feed/redis-feed.ts'
import { AddressPlaces } from '../transport/gateway/address-places.ts'
import { addressList } from '../transport/gateway/client-address.ts'
import { defaultLimits } from '../transport/gateway/limits.ts'
import type { GatewayLimits } from '../transport/gateway/limits.ts'
import { attachGateway } from '../transport/gateway/server.ts'
import type { Gateway } from '../transport/gateway/server.ts'
import { HttpApi } from '../transport/http/api.ts'
import { createGatekeeper } from './authentication.ts'
import { farewell, systemClock } from './clock.ts'
import type { Options } from './options.ts'
import { Serving } from './serving.ts'
import { WriteGate } from './write-gate.ts'
import type { WriteHealth } from './write-gate.ts'
import { ListPermissions } from './host/list-permissions.ts'
import { CALLER, SessionApi } from './session-api.ts'
import { asListRequest } from './list-request.ts'
import type { ListOptions } from './list-request.ts'
import { SessionListing } from './session-listing.ts'

const HEALTH_TIMEOUT_MS = 1000

export interface RuntimeParts {
  readonly options: Options & { readonly redisUrl: string }
  readonly registry: Registry
  readonly log: Logger
  readonly clock?: Clock
  /** See `RuntimeConfig.authenticate`. */
  readonly authenticate?: RequestAuthenticator | undefined
}

export interface RuntimeHealth {
  readonly ok: boolean
  readonly node: string
  readonly pid: number
  readonly redis: 'ready' | 'unreachable'
  readonly connections: number
  readonly subscribedSessions: number
  /** Whether Redis has room for what is to be written. */
  readonly writes: WriteHealth
  /** Absent where the audit runs in another process. */
  readonly audit?: AuditHealth
}

export class Runtime extends SessionApi {
  readonly #options: RuntimeParts['options']
  readonly #log: Logger
  readonly #clock: Clock
  readonly #store: RedisSessionStore
  readonly #feed: RedisFeed
  readonly #wakeup: AuditWakeup
  readonly #gate: WriteGate
  protected readonly serving: Serving
  /** Finds out who clients are; `null`: no authentication is configured. */
  readonly gatekeeper: Gatekeeper | null
  readonly #gateways = new Set<Gateway>()
  readonly #http: HttpApi
  /** Of the connections of all kinds. */
  readonly #places: AddressPlaces
  readonly #proxies: BlockList | null
  readonly #list: SessionList | null
  readonly #outboxAge: OutboxAge
  readonly #listing: SessionListing
  #audit: AuditService | null = null
  #closing: Promise<void> | null = null

  /** Use {@link Runtime.start}. */
  private constructor({ options, registry, log, clock = systemClock, authenticate }: RuntimeParts) {
    super()
    const gatekeeper = createGatekeeper(options, authenticate ?? null, log)
    this.gatekeeper = gatekeeper
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
    this.#wakeup = new AuditWakeup({ redisUrl: url, prefix: options.keyPrefix, log })
    this.#gate = new WriteGate({
      read: () => this.#store.pressure(),
      maxOutboxBytes: options.maxOutboxBytes,
      maxRedisMemoryPercent: options.maxRedisMemoryPercent,
      clock,
      log,
    })
    this.serving = new Serving({
      store: this.#store,
      feed: this.#feed,
      registry,
      clock,
      log,
      limits: options,
      onCommitted: (id) => this.#wakeup.notify(partitionOf(id)),
      refusal: () => this.#gate.refusal,
    })
    this.#places = new AddressPlaces(options.maxConnectionsPerAddress)
    this.#proxies = options.trustProxy.length > 0 ? addressList(options.trustProxy) : null
    this.#list = options.databaseUrl === null ? null : new SessionList(options.databaseUrl)
    this.#outboxAge = new OutboxAge(url, keys, log)
    this.#listing = new SessionListing({
      list: this.#list,
      outbox: this.#outboxAge,
      secret: () => this.#store.secret(),
      registry,
      permissions: new ListPermissions({ registry, isAuthenticated: gatekeeper !== null, log }),
      now: () => this.#store.now(),
    })
    this.#http = new HttpApi({
      list: (request, caller) => this.#listing.page(request, caller),
      service: this.serving.host,
      fanOut: this.serving.fanOut,
      clock,
      logger: log,
      ...(options.allowedOrigins.length > 0 ? { origins: options.allowedOrigins } : {}),
      limits: gatewayLimits(options),
      ...(gatekeeper === null ? {} : { authenticate: (request) => gatekeeper.identify(request) }),
      otherConnections: () => this.#webSockets,
      places: this.#places,
      proxies: this.#proxies,
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
    await this.#gate.start()
    await this.serving.start()
    this.#store.onEpochsRaised = () => this.#feed.onInterrupted()
    await this.#feed.start()
    this.serving.clockwork.start()
    const { audit, databaseUrl } = this.#options
    if (!audit || databaseUrl === null) return
    this.#audit = await startAudit({
      redisUrl: this.#options.redisUrl,
      databaseUrl,
      prefix: this.#options.keyPrefix,
      threads: this.#options.auditThreads,
      batch: this.#options.auditBatch,
      retentionDays: this.#options.auditRetentionDays,
      log: this.#log,
    })
  }

  /** Serves WebSocket clients at `/ws` of an HTTP server. Without authentication: connections from this machine only. */
  attach(server: Server | TlsServer): Gateway {
    const gateway = attachGateway(server, {
      service: this.serving.host,
      fanOut: this.serving.fanOut,
      clock: this.#clock,
      logger: this.#log,
      ...(this.#options.allowedOrigins.length > 0 ? { origins: this.#options.allowedOrigins } : {}),
      gatekeeper: this.gatekeeper,
      proxies: this.#proxies,
      places: this.#places,
      limits: gatewayLimits(this.#options),
      otherConnections: () => this.#http.connections,
    })
    this.#gateways.add(gateway)
    return gateway
  }

  /**
   * Sessions by definition, state, tag or status, those created last first, a page at a time. They come from PostgreSQL, into which
   * transitions come a little later: `lagMs` tells how far it is behind. Has no part in what happens to sessions.
   * @throws TroupeError `invalid_params`, `unknown_machine`; `unavailable` where PostgreSQL is away, or there is none
   */
  listSessions(options: ListOptions = {}): Promise<SessionPage> {
    return this.#listing.page(asListRequest(options), CALLER)
  }

  /**
   * A token (JWT) whose holder may do only this with this session, checked wherever tokens are; what the definition's `authorize`
   * forbids its principal it forbids the holder too. Needs `authSecret`.
   * @throws TroupeError `invalid_params`
   */
  async createAccessToken(request: AccessTokenRequest): Promise<string> {
    const { authSecret, authAudience, authIssuer } = this.#options
    if (authSecret === null)
      throw new TroupeError('invalid_params', 'access tokens are signed with authSecret: give that option')
    return signAccessToken({ secret: authSecret, audience: authAudience, issuer: authIssuer }, request)
  }

  /**
   * Answers a request of an HTTP server if it is one of the HTTP API (docs/guide/http.md), below the path `base`. Never
   * rejects; a request that is not its own is left as it was. Without authentication: from this machine only.
   * @returns whether it was one of its own
   */
  handleHttp(
    request: IncomingMessage,
    response: ServerResponse,
    { base = '' }: { readonly base?: string } = {},
  ): Promise<boolean> {
    return this.#http.handle(request, response, base)
  }

  get #webSockets(): number {
    return [...this.#gateways].reduce((sum, gateway) => sum + gateway.connections, 0)
  }

  /** How this process does; asks Redis, and waits at most a second for its answer. */
  async health(): Promise<RuntimeHealth> {
    const redis = (await this.#store.answers(HEALTH_TIMEOUT_MS)) ? 'ready' : 'unreachable'
    return {
      ok: redis === 'ready' && this.#closing === null,
      node: this.#store.node,
      pid: process.pid,
      redis,
      connections: this.#webSockets + this.#http.connections,
      subscribedSessions: this.serving.fanOut.size,
      writes: this.#gate.health(),
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
    await Promise.all([...this.#gateways, this.#http].map((clients) => clients.drain({ deadlineMs: left() })))
    // Not before: clients still send events meanwhile, and the timers that these arm are to be on time.
    this.serving.clockwork.stop()
    const unfinished = await this.serving.host.drain(left())
    if (unfinished > 0) this.#log.warn({ sessions: unfinished }, 'left with requests under way')
    await farewell(this.#clock, deadline, this.serving.fanOut.depart())
    this.serving.fanOut.stop()
    await this.#wakeup.stop({ deadlineMs: Math.min(1000, left()) })
    await this.#audit?.stop({ deadlineMs: left() })
    this.#gate.stop()
    await farewell(this.#clock, deadline, this.#list?.close() ?? Promise.resolve())
    this.#outboxAge.close()
    this.#feed.stop()
    this.#store.stop()
  }
}

/** Those of the gateway's limits that are options. */
function gatewayLimits(options: Options): Partial<GatewayLimits> {
  const names = Object.keys(defaultLimits) as (keyof GatewayLimits)[]
  return Object.fromEntries(
    names.flatMap((name) => (name in options ? [[name, options[name as keyof Options]]] : [])),
  )
}
