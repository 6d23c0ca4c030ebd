/**
 * The feed on Redis' sharded pub/sub, by one connection of its own.
 *
 * Channels of a partition lie in one slot, so they are subscribed together. After every reconnect this file subscribes
 * again itself, because only then is it known when messages surely arrive again (a client library's own resubscribing
 * tells nobody when it is done, and logs what fails).
 */
import type { Redis } from 'ioredis'
import type { Clock, Feed, Logger } from '../../actors/ports.ts'
import { StoreFailure } from '../../actors/ports.ts'
import { messageOf } from '../../actors/errors.ts'
import { parseFeedMessage, type FeedMessage } from '../../actors/feed-message.ts'
import { PARTITIONS, partitionOf } from '../../actors/partitions.ts'
import type { SessionId } from '../../actors/session.ts'

export interface RedisFeedOptions {
  /** Any connection to the server; the feed opens one of its own with the same settings. */
  readonly redis: Redis
  readonly clock: Clock
  readonly logger: Logger
  readonly channelOf: (id: SessionId) => string
  /** The channel of each partition, for {@link Feed.subscribeAll}. */
  readonly partitionChannels: readonly string[]
  /** Asks that commits be published on the channels of partitions too, as nobody hears them mostly. */
  readonly announceListener: () => Promise<void>
  /** A connection that does not answer a PING in this time is opened anew. Default 3000. */
  readonly pingMs?: number
}

/** Channels in one command. */
const CHUNK = 200

export class RedisFeed implements Feed {
  onMessage: (message: FeedMessage) => void = () => undefined
  onInterrupted: () => void = () => undefined

  readonly #options: RedisFeedOptions
  readonly #redis: Redis
  /** Not their channels: the client library keeps those already. */
  readonly #wanted = new Set<SessionId>()
  readonly #partitionChannels: ReadonlySet<string>
  #all = false
  #wasReady = false
  #isOpen = false
  #stopped = false
  #pingTimer: { cancel(): void } | null = null
  #retryTimer: { cancel(): void } | null = null

  constructor(options: RedisFeedOptions) {
    this.#options = options
    this.#partitionChannels = new Set(options.partitionChannels)
    this.#redis = options.redis.duplicate({
      lazyConnect: true,
      autoResubscribe: false,
      // A subscription that cannot be made now fails now: whoever wants it is told `unavailable`.
      enableOfflineQueue: false,
      maxRetriesPerRequest: 0,
      enableAutoPipelining: false,
      retryStrategy: (attempt: number) => Math.min(50 * attempt, 1000),
    })
    this.#redis.on('error', (error) => options.logger.debug({ reason: messageOf(error) }, 'feed connection'))
    this.#redis.on('smessage', (channel: string, text: string) => this.#heard(channel, text))
    this.#redis.on('ready', () => void this.#ready())
    this.#redis.on('close', () => {
      if (!this.#stopped && this.#isOpen) options.logger.warn({}, 'the feed has lost its connection to Redis')
      this.#isOpen = false
    })
  }

  /** @throws StoreFailure if Redis cannot be reached now. */
  async start(): Promise<void> {
    try {
      await this.#redis.connect()
    } catch (error) {
      throw new StoreFailure('not-applied', `The feed cannot connect to Redis: ${messageOf(error)}`, error)
    }
    this.#ping()
  }

  stop(): void {
    this.#stopped = true
    this.#pingTimer?.cancel()
    this.#retryTimer?.cancel()
    this.#redis.disconnect()
  }

  async subscribe(id: SessionId): Promise<void> {
    this.#wanted.add(id)
    try {
      await this.#redis.ssubscribe(this.#options.channelOf(id))
    } catch (error) {
      this.#wanted.delete(id)
      throw new StoreFailure('not-applied', `The feed cannot subscribe: ${messageOf(error)}`, error)
    }
  }

  unsubscribe(id: SessionId): void {
    if (!this.#wanted.delete(id)) return
    // If it fails the connection is gone, and with it the subscription.
    this.#redis.sunsubscribe(this.#options.channelOf(id)).catch(() => undefined)
  }

  async subscribeAll(): Promise<void> {
    if (this.#all) return
    try {
      // Only then are these channels relied on in place of those of sessions.
      await this.#options.announceListener()
      await Promise.all(this.#options.partitionChannels.map((channel) => this.#redis.ssubscribe(channel)))
      this.#all = true
    } catch (error) {
      throw new StoreFailure('not-applied', `The feed cannot subscribe: ${messageOf(error)}`, error)
    }
  }

  #heard(channel: string, text: string): void {
    // With all partitions subscribed each commit comes by two channels, but broadcasts and members only by their session's.
    const ofPartition = this.#partitionChannels.has(channel)
    if (this.#all && ofPartition === (text[0] === 'm' || text[0] === 'p')) return
    let message: FeedMessage | null
    try {
      message = parseFeedMessage(text)
    } catch (error) {
      this.#options.logger.warn({ channel, reason: messageOf(error) }, 'a feed message could not be read')
      return
    }
    if (message !== null) this.onMessage(message)
  }

  async #ready(): Promise<void> {
    this.#isOpen = true
    if (!this.#wasReady) {
      this.#wasReady = true
      return
    }
    try {
      for (const ids of this.#groups()) {
        // Those given up meanwhile must not come back.
        const wanted = ids.filter((id) => this.#wanted.has(id))
        if (wanted.length > 0) await this.#redis.ssubscribe(...wanted.map(this.#options.channelOf))
      }
      if (this.#all) {
        // The server may be another one, or have lost its data.
        await this.#options.announceListener()
        for (const channel of this.#options.partitionChannels) await this.#redis.ssubscribe(channel)
      }
      this.#options.logger.info({ sessions: this.#wanted.size }, 'the feed is connected again')
      this.onInterrupted()
    } catch (error) {
      if (this.#stopped) return
      this.#options.logger.warn(
        { reason: messageOf(error) },
        'the feed could not subscribe again; it connects anew',
      )
      // A refused subscription (a slot on the move, a server still loading) would otherwise stay missing for good.
      this.#retryTimer?.cancel()
      this.#retryTimer = this.#options.clock.setTimeout(() => this.#redis.disconnect(true), 500)
    }
  }

  /** All that is wanted, sessions of a partition together. */
  #groups(): SessionId[][] {
    const groups: SessionId[][] = Array.from({ length: PARTITIONS }, () => [])
    for (const id of this.#wanted) groups[partitionOf(id)]?.push(id)
    return groups.flatMap((group) =>
      Array.from({ length: Math.ceil(group.length / CHUNK) }, (_, n) =>
        group.slice(n * CHUNK, (n + 1) * CHUNK),
      ),
    )
  }

  /** A peer that vanished without a word is noticed by silence only. */
  #ping(): void {
    const pingMs = this.#options.pingMs ?? 3000
    const { clock } = this.#options
    this.#pingTimer = clock.setTimeout(() => {
      if (this.#redis.status !== 'ready') {
        this.#ping()
        return
      }
      let answered = false
      this.#redis.ping().then(
        () => (answered = true),
        () => (answered = true),
      )
      this.#pingTimer = clock.setTimeout(() => {
        if (!answered) this.#redis.disconnect(true)
        this.#ping()
      }, pingMs)
    }, pingMs)
  }
}
