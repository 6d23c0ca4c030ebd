/** What of a serving process is the same wherever its sessions are kept: host, fan-out and clockwork, put together. */
import type { Clock, Feed, Logger, SessionStore } from '../actors/ports.ts'
import type { Registry } from '../actors/registry.ts'
import type { SessionId } from '../actors/session.ts'
import { FanOut } from '../transport/feed/fan-out.ts'
import { Clockwork } from './host/clockwork.ts'
import { SessionHost } from './host/session-host.ts'
import type { Options } from './options.ts'

export type ServingLimits = Pick<
  Options,
  'warmSessions' | 'sessionTtlMs' | 'maxSessionBytes' | 'maxEventBytes'
>

export interface ServingParts {
  readonly store: SessionStore
  readonly feed: Feed
  readonly registry: Registry
  readonly clock: Clock
  readonly log: Logger
  readonly limits: ServingLimits
  /** Called after each commit, with the session it wrote; must return at once. */
  readonly onCommitted: (id: SessionId) => void
  /** Why no writes are taken now; `null` and by default: they are. */
  readonly refusal?: () => string | null
  /** See {@link Clockwork}. */
  readonly firstPartition?: number
}

export class Serving {
  readonly host: SessionHost
  readonly fanOut: FanOut
  readonly clockwork: Clockwork
  readonly clock: Clock
  readonly log: Logger
  readonly #feed: Feed

  constructor(parts: ServingParts) {
    const { store, feed, registry, clock, log, limits, onCommitted, firstPartition } = parts
    this.clock = clock
    this.log = log
    this.#feed = feed
    this.fanOut = new FanOut({
      feed,
      node: store.node,
      clock,
      logger: log,
      read: async (id) => {
        const record = await store.read(id)
        return record === null ? null : this.host.shared(record)
      },
      history: async (record, count) =>
        this.host.keepsHistory(record) ? store.history(record.id, count) : [],
      positions: (ids) => store.positions(ids),
      encodeView: (record, principal) => this.host.encodeView(record, principal),
      viewGroup: (record, principal) => this.host.viewGroup(record, principal),
      screen: (record) => this.host.screen(record),
      presence: {
        tell: (partition, entries) => store.tellPresence(partition, entries),
        memberOf: (record) => this.host.memberOf(record),
      },
    })
    this.host = new SessionHost({
      store,
      registry,
      sink: this.fanOut,
      clock,
      log,
      warmSessions: limits.warmSessions,
      sessionTtlMs: limits.sessionTtlMs,
      maxSessionBytes: limits.maxSessionBytes,
      maxEventBytes: limits.maxEventBytes,
      onCommitted,
      refusal: parts.refusal,
      onTimers: (record) => this.clockwork.arm(record),
      onUnknown: (partition) => this.clockwork.yield(partition),
    })
    this.clockwork = new Clockwork({
      store,
      expire: (id) => this.host.expire(id),
      fire: (id, downtime) => this.host.fire(id, downtime),
      deliver: (partition) => this.host.deliver(partition),
      takeOver: (id, node) => this.host.takeOver(id, node),
      clock,
      log,
      firstPartition,
    })
  }

  /** Tells other processes what is served here, then hears the feed; call it before that begins to bring messages. */
  async start(): Promise<void> {
    await this.host.start()
    this.fanOut.start()
    const hear = this.#feed.onMessage
    this.#feed.onMessage = (message) => {
      if (message.kind === 'updated') this.host.observe(message.record)
      else if (message.kind === 'ended') this.host.ended(message.id, message.position)
      hear(message)
    }
  }
}
