/**
 * Hands what happens to sessions, here or on other processes, to the subscribers on this process: sockets and
 * callbacks alike. What is told in which order is the business of {@link Subject}; this file knows which sessions
 * have subscribers, and keeps the feed subscribed to exactly those.
 */
import type { FeedMessage, PresenceChange, SessionEnded, SessionUpdated } from '../../actors/feed-message.ts'
import type { Clock, Feed, Logger, UpdateSink } from '../../actors/ports.ts'
import { PARTITIONS, partitionOf } from '../../actors/partitions.ts'
import { TroupeError, messageOf } from '../../actors/errors.ts'
import { checkAccess } from '../../actors/access.ts'
import { comparePositions, type Position, type SessionId, type SessionRecord } from '../../actors/session.ts'
import { Comparison } from './comparison.ts'
import { Notifier, type NotifierOptions } from './notifier.ts'
import { Presence, withoutPresence, type PresenceParts } from './presence.ts'
import { Subject, type SubjectOptions } from './subject.ts'
import type { Subscriber } from './subscriber.ts'

export interface FanOutOptions extends NotifierOptions {
  readonly feed: Feed
  /** Id of this process among the writers: its own news comes by {@link FanOut.publish}, not by the feed. */
  readonly node: string
  readonly clock: Clock
  readonly logger: Logger
  /** One read of the store; `null`: no such session. */
  readonly read: (id: SessionId) => Promise<SessionRecord | null>
  /** The last commits of a session, `count` at most, oldest first; empty if it keeps none. */
  readonly history: (record: SessionRecord, count: number) => Promise<readonly SessionUpdated[]>
  /** Where sessions stand, all of one partition; `null`: gone. */
  readonly positions: (ids: readonly SessionId[]) => Promise<(Position | null)[]>
  /** Absent: no definition has presence. */
  readonly presence?: PresenceParts
  /** Default 50. */
  readonly gapHoldMs?: number
  /** Default 2000. */
  readonly goneHoldMs?: number
  /** How often every subscribed session is compared with the store. Default 8000. */
  readonly compareEveryMs?: number
  /** How long a session without subscribers stays subscribed, so that quick returns cost nothing. Default 1000. */
  readonly lingerMs?: number
}

/** Commits between the reads of a record and of its history that do no harm. */
const SPARE = 8

export interface JoinOptions {
  /** What the subscriber holds already. */
  readonly since?: Position | undefined
  /** Tell it who is subscribed: `invalid_params` where the definition does not say that one may ask. */
  readonly presence?: boolean | undefined
}

export type AnyListener = (message: SessionUpdated | SessionEnded) => void

export class FanOut implements UpdateSink {
  readonly #options: FanOutOptions
  readonly #subjectOptions: SubjectOptions
  readonly #subjects = new Map<SessionId, Subject>()
  readonly #byPartition: readonly Set<Subject>[]
  /** Joins under way of a session: it must not be let go. */
  readonly #joining = new Map<SessionId, number>()
  readonly #lingering = new Map<SessionId, { cancel(): void }>()
  readonly #anyListeners = new Set<AnyListener>()
  readonly #comparison: Comparison
  readonly #presence: Presence | null
  /** News of this process that the feed brought before `publish` did. */
  #own: SessionUpdated[] = []
  #ownTimer: { cancel(): void } | null = null
  #stopped = false

  constructor(options: FanOutOptions) {
    this.#options = options
    this.#subjectOptions = {
      clock: options.clock,
      logger: options.logger,
      notifier: new Notifier(options),
      read: options.read,
      onLeft: (id, subscriber) => this.#presence?.leave(id, subscriber),
      onEnded: (subject) => this.#letGo(subject),
      gapHoldMs: options.gapHoldMs ?? 50,
      goneHoldMs: options.goneHoldMs ?? 2000,
      retryMs: { first: 200, longest: 2000 },
    }
    const { presence } = options
    const withholds = (id: SessionId): boolean => this.#subjects.get(id)?.withholdsPresence() ?? false
    this.#presence =
      presence === undefined ? null : new Presence({ ...this.#subjectOptions, ...presence, withholds })
    this.#byPartition = Array.from({ length: PARTITIONS }, () => new Set<Subject>())
    this.#comparison = new Comparison({
      clock: options.clock,
      logger: options.logger,
      intervalMs: options.compareEveryMs ?? 8000,
      idsOf: (partition) => Array.from(this.#byPartition[partition] ?? [], (subject) => subject.id),
      positions: options.positions,
      onPosition: (id, position) => this.#compared(id, position),
    })
  }

  /** Listens to the feed. Call once, before the first {@link join}. */
  start(): void {
    const { feed } = this.#options
    feed.onMessage = (message) => this.#heard(message)
    feed.onInterrupted = () => {
      for (const subject of this.#subjects.values()) subject.interrupted()
      this.#presence?.interrupted()
      void this.#comparison.compareAll()
    }
    this.#comparison.start()
  }

  /** The members of this process leave, for all others. Call it before {@link stop}; never rejects. */
  async depart(): Promise<void> {
    await this.#presence?.stop()
  }

  /** Forgets all subscribers. The feed is stopped by whoever started it. */
  stop(): void {
    this.#stopped = true
    this.#comparison.stop()
    this.#ownTimer?.cancel()
    for (const timer of this.#lingering.values()) timer.cancel()
    for (const subject of this.#subjects.values()) subject.stop()
    this.#subjects.clear()
    this.#lingering.clear()
    this.#own = []
    this.#anyListeners.clear()
  }

  /** Number of sessions that this process listens to. */
  get size(): number {
    return this.#subjects.size
  }

  /**
   * Subscribes. Either `joined` is called, with the newest record (`null`: no such session, not subscribed) and with what happened
   * after `since`, where all of that is known (`null`: it is not), and with `presence` how to get the list of its members as it is at
   * any time; or `failed`. Notifications flow from the call of `joined` on, so it must pass the record on before it returns.
   * To give up while joining, call {@link leave} in `joined`.
   */
  join(
    id: SessionId,
    subscriber: Subscriber,
    joined: (
      record: SessionRecord | null,
      missed: readonly SessionUpdated[] | null,
      roster: (() => string) | null,
    ) => void,
    failed: (error: unknown) => void,
    { since, presence: wantsRoster = false }: JoinOptions = {},
  ): void {
    try {
      if (subscriber.watches !== undefined) checkAccess(subscriber.principal, subscriber.watches, id)
    } catch (error) {
      failed(error)
      return
    }
    const subject = this.#subjectOf(id)
    this.#joining.set(id, (this.#joining.get(id) ?? 0) + 1)
    let letGoOfList = (): void => undefined
    const over = (): void => {
      letGoOfList()
      const joining = (this.#joining.get(id) ?? 1) - 1
      if (joining > 0) this.#joining.set(id, joining)
      else this.#joining.delete(id)
    }
    const fail = (error: unknown): void => {
      this.#presence?.leave(id, subscriber)
      failed(error)
    }
    // The feed first, then the read: a commit in between is in one of both.
    subject.opened
      .then(async () => {
        if (wantsRoster) letGoOfList = await this.#arrive(subject, subscriber)
      })
      .then(() => this.#read(id, since))
      .then(
        ({ record, history }) => {
          over()
          if (this.#subjects.get(id) !== subject) fail(leaving())
          else
            try {
              const newest = subject.admit(subscriber, record)
              const missed =
                newest === null || since === undefined ? null : missedBetween(history, since, newest)
              const roster =
                newest === null ? null : (this.#presence?.admitted(subscriber, newest, wantsRoster) ?? null)
              if (newest === null) this.#presence?.leave(id, subscriber)
              joined(newest, missed !== null && subject.maySee(subscriber, missed) ? missed : null, roster)
            } catch (error) {
              subject.leave(subscriber)
              fail(error)
            }
          this.#letGo(subject)
        },
        (error: unknown) => {
          over()
          fail(error)
          this.#letGo(subject)
        },
      )
      .catch((error: unknown) => {
        this.#options.logger.error({ id, reason: messageOf(error) }, 'a subscriber failed while joining')
      })
  }

  /** Who may not see the session, or asks for what it has not, is no member for a moment either. */
  async #arrive(subject: Subject, subscriber: Subscriber): Promise<() => void> {
    const record = await this.#options.read(subject.id)
    if (record === null) return () => undefined
    subject.check(subscriber, record)
    if (this.#presence === null) throw withoutPresence(record)
    return this.#presence.arrive(subscriber, record)
  }

  async #read(
    id: SessionId,
    since: Position | undefined,
  ): Promise<{ record: SessionRecord | null; history: readonly SessionUpdated[] }> {
    const { read, history } = this.#options
    const record = await read(id)
    const isBehind = record !== null && since?.epoch === record.epoch && since.version < record.version
    // Each commit has one version or more. Read after the record, so that it reaches as far; what came between may be missing at the start.
    return { record, history: isBehind ? await history(record, record.version - since.version + SPARE) : [] }
  }

  /** Ends a subscription, if there is one. */
  leave(id: SessionId, subscriber: Subscriber): void {
    const subject = this.#subjects.get(id)
    if (subject === undefined) return
    subject.leave(subscriber)
    this.#letGo(subject)
  }

  /** The subscriber's principal has other claims now: whoever has no right to the session any more is told so, and let go. */
  recheck(id: SessionId, subscriber: Subscriber): void {
    this.#subjects.get(id)?.recheck(subscriber)
  }

  /** See {@link Subject.settle}: every reply that carries a record asks first. */
  settle(subscriber: Subscriber, record: SessionRecord): SessionRecord {
    return this.#subjects.get(record.id)?.settle(subscriber, record) ?? record
  }

  /** What this process committed. Call it before the replies to `origins` are sent. */
  publish(message: FeedMessage, origins: ReadonlySet<object>): void {
    if (message.kind === 'presence') return
    const subject = this.#subjects.get(message.id)
    if (subject !== undefined) this.#tell(subject, message, origins)
  }

  /**
   * Calls back for updates and ends of every session of every process, at most once each: as the feed tells them,
   * without repair of what it loses. @returns how to end it. @throws StoreFailure
   */
  async onAny(listener: AnyListener): Promise<() => void> {
    await this.#options.feed.subscribeAll()
    this.#anyListeners.add(listener)
    return () => void this.#anyListeners.delete(listener)
  }

  #heard(message: FeedMessage): void {
    if (message.kind === 'presence') {
      this.#presence?.heard(message)
      return
    }
    const subject = this.#subjects.get(message.id)
    if (subject !== undefined) {
      if (message.kind === 'updated' && message.node === this.#options.node) this.#heardOwn(subject, message)
      else this.#tell(subject, message, null)
    }
    if (message.kind === 'message' || this.#anyListeners.size === 0) return
    for (const listener of this.#anyListeners) {
      try {
        listener(message)
      } catch (error) {
        this.#options.logger.error(
          { id: message.id, reason: messageOf(error) },
          'an onUpdate callback failed',
        )
      }
    }
  }

  /**
   * The feed is often faster than the reply of the commit, and must not tell the connection that caused an update
   * before its reply does. It counts only if `publish` does not come (the reply was lost).
   */
  #heardOwn(subject: Subject, news: SessionUpdated): void {
    if (subject.known !== null && comparePositions(news.record, subject.known) <= 0) return
    this.#own.push(news)
    this.#ownTimer ??= this.#options.clock.setTimeout(() => {
      this.#ownTimer = null
      const waiting = this.#own
      this.#own = []
      for (const own of waiting) this.#subjects.get(own.id)?.update(own, null)
    }, this.#subjectOptions.gapHoldMs)
  }

  #tell(
    subject: Subject,
    message: Exclude<FeedMessage, PresenceChange>,
    origins: ReadonlySet<object> | null,
  ): void {
    switch (message.kind) {
      case 'updated':
        subject.update(message, origins)
        return
      case 'message':
        subject.message(message.message)
        return
      case 'ended':
        subject.end(message, origins)
    }
  }

  #compared(id: SessionId, position: Position | null): void {
    const subject = this.#subjects.get(id)
    if (position === null) subject?.expectEnd()
    else subject?.expect(position)
  }

  #subjectOf(id: SessionId): Subject {
    const known = this.#subjects.get(id)
    if (known !== undefined) return known
    const opened = this.#stopped ? Promise.reject(leaving()) : this.#options.feed.subscribe(id)
    const subject = new Subject(id, opened, this.#subjectOptions)
    this.#subjects.set(id, subject)
    this.#byPartition[partitionOf(id)]?.add(subject)
    opened.catch(() => this.#drop(subject))
    return subject
  }

  /** Unsubscribes a while after the last subscriber left. */
  #letGo(subject: Subject): void {
    const { id } = subject
    if (subject.size > 0 || this.#lingering.has(id) || this.#subjects.get(id) !== subject) return
    const timer = this.#options.clock.setTimeout(() => {
      this.#lingering.delete(id)
      if (subject.size > 0 || this.#joining.has(id) || this.#subjects.get(id) !== subject) return
      this.#drop(subject)
      this.#options.feed.unsubscribe(id)
    }, this.#options.lingerMs ?? 1000)
    this.#lingering.set(id, timer)
  }

  #drop(subject: Subject): void {
    subject.stop()
    this.#byPartition[partitionOf(subject.id)]?.delete(subject)
    if (this.#subjects.get(subject.id) === subject) this.#subjects.delete(subject.id)
  }
}

/** All commits behind `since` up to `newest`; `null` if some are not there. */
function missedBetween(
  history: readonly SessionUpdated[],
  since: Position,
  newest: Position,
): readonly SessionUpdated[] | null {
  const missed = history.filter(
    ({ record }) => comparePositions(record, since) > 0 && comparePositions(record, newest) <= 0,
  )
  let at = since
  for (const { record, baseVersion } of missed) {
    if (record.epoch !== at.epoch || baseVersion > at.version) return null
    at = record
  }
  return missed.length > 0 && comparePositions(at, newest) === 0 ? missed : null
}

function leaving(): TroupeError {
  return new TroupeError('draining', 'This process is leaving; connect again.')
}
