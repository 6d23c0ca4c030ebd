/**
 * One session as the subscribers of this process see it.
 *
 * News comes from three sides that know nothing of each other's order: commits of this process (`publish`), the feed,
 * and reads. What holds whatever arrives when:
 *  1. no subscriber gets a position twice or an older one after a newer one (each has its own gates, because replies
 *     carry views too);
 *  2. news that does not follow on what is known waits `gapHoldMs` for what is missing, then the session is read
 *     again: all subscribers end at the newest version;
 *  3. emitted events come in the order of their versions, each before its view; where some may be missing, a `gap`
 *     says so. A new epoch starts afresh and is never a gap.
 */
import type { SessionEnded, SessionUpdated } from '../../actors/feed-message.ts'
import type { Clock } from '../../actors/ports.ts'
import { messageOf } from '../../actors/errors.ts'
import {
  compareEpochs,
  comparePositions,
  type EndReason,
  type Position,
  type SessionId,
  type SessionRecord,
} from '../../actors/session.ts'
import { Audience, type AudienceOptions } from './audience.ts'
import { MAX_HELD, NOTHING_HELD, withNews, type HeldNews } from './held-news.ts'
import type { Subscriber } from './subscriber.ts'

export interface SubjectOptions extends AudienceOptions {
  readonly clock: Clock
  /** One read of the store; `null`: no such session. */
  readonly read: (id: SessionId) => Promise<SessionRecord | null>
  /** How long news may come out of order before the session is read again. */
  readonly gapHoldMs: number
  /** How long a session that a read did not find may still be told about before it counts as lost. */
  readonly goneHoldMs: number
  /** All subscriptions have ended with the session. */
  readonly onEnded: (subject: Subject) => void
  /** First and longest pause before a failed read is tried again. */
  readonly retryMs: { readonly first: number; readonly longest: number }
}

const OPENED = Promise.resolve()

export class Subject {
  readonly id: SessionId
  /** `null`: done. */
  #opening: Promise<void> | null
  readonly #options: SubjectOptions
  readonly #audience: Audience
  /** Where the unbroken row of news stands; `null`: nobody was told anything yet. */
  #known: Position | null = null
  /** The newest record seen in any way; at or after every member's `seen`. */
  #latest: SessionRecord | null = null
  #ended: Position | null = null
  #held = NOTHING_HELD
  /** A position that is known to exist while its news has not come yet. */
  #expected: Position | null = null
  #holdTimer: { cancel(): void } | null = null
  #goneTimer: { cancel(): void } | null = null
  #retryTimer: { cancel(): void } | null = null
  #retryMs = 0
  #reading = false
  #stopped = false

  constructor(id: SessionId, opening: Promise<void>, options: SubjectOptions) {
    this.id = id
    this.#opening = opening
    opening.then(
      () => (this.#opening = null),
      () => undefined,
    )
    this.#options = options
    this.#audience = new Audience(id, options)
  }

  /** Resolves when the feed surely brings this session's messages. */
  get opened(): Promise<void> {
    return this.#opening ?? OPENED
  }

  get size(): number {
    return this.#audience.size
  }

  get known(): Position | null {
    return this.#known
  }

  stop(): void {
    this.#stopped = true
    for (const timer of [this.#holdTimer, this.#goneTimer, this.#retryTimer]) timer?.cancel()
    this.#audience.clear()
    this.#held = NOTHING_HELD
  }

  // ── subscribers ────────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Takes in a subscriber with a record that was read after {@link opened}.
   * @returns the newest record, which the caller must tell the subscriber in the same go; `null`: it has ended.
   */
  admit(subscriber: Subscriber, record: SessionRecord | null): SessionRecord | null {
    if (record === null) {
      this.expectEnd()
      return null
    }
    const newest =
      this.#latest !== null && comparePositions(this.#latest, record) >= 0 ? this.#latest : record
    if (this.#ended !== null && comparePositions(newest, this.#ended) <= 0) return null
    this.#audience.check(subscriber, newest)
    this.#saw(newest)
    if (this.#audience.size === 0) this.#restart(newest)
    this.#audience.admit(subscriber, newest)
    this.expect(newest)
    return newest
  }

  /** @throws TroupeError `forbidden` if the subscriber may not see the record */
  check(subscriber: Subscriber, record: SessionRecord): void {
    this.#audience.check(subscriber, record)
  }

  /** Whether the subscriber may see all of these: one who may see a session now need not have had the right before. */
  maySee(subscriber: Subscriber, missed: readonly SessionUpdated[]): boolean {
    try {
      for (const { record } of missed) this.#audience.check(subscriber, record)
      return true
    } catch {
      return false
    }
  }

  /** Its principal has other claims now. */
  recheck(subscriber: Subscriber): void {
    if (this.#latest !== null) this.#audience.recheck(subscriber, this.#latest)
    if (this.#audience.size === 0) this.#options.onEnded(this)
  }

  leave(subscriber: Subscriber): void {
    this.#audience.leave(subscriber)
  }

  /**
   * A reply is about to carry `record` to this subscriber.
   * @returns what it must carry instead, so that the subscriber's stream never goes back.
   */
  settle(subscriber: Subscriber, record: SessionRecord): SessionRecord {
    const seen = this.#audience.seenBy(subscriber)
    if (seen === undefined) return record
    this.#saw(record)
    const newest = comparePositions(record, seen) < 0 ? (this.#latest ?? record) : this.#shared(record)
    if (newest !== record) this.#audience.check(subscriber, newest)
    this.#audience.admit(subscriber, newest)
    this.expect(newest)
    return newest
  }

  // ── news ───────────────────────────────────────────────────────────────────────────────────────────────────────

  /** A commit, of this process or from the feed. `origins`: their replies carry it. */
  update(news: SessionUpdated, origins: ReadonlySet<object> | null): void {
    const { record } = news
    if (this.#ended !== null && comparePositions(record, this.#ended) <= 0) return
    if (news.baseVersion === 0) this.#endLifeBefore(record)
    this.#saw(record)
    if (this.#audience.size === 0) return
    if (origins !== null && origins.size > 0) this.#audience.answered(origins, record)
    if (this.#known === null || comparePositions(record, this.#known) <= 0) return
    if (record.epoch === this.#known.epoch && news.baseVersion > this.#known.version) {
      this.#hold(news)
    } else {
      this.#apply(news)
      this.#catchUp()
    }
  }

  /** The session was created while one of an earlier life is known: that has ended, though its news is late. */
  #endLifeBefore(created: SessionRecord): void {
    const [known, last] = [this.#known, this.#latest]
    if (known === null || last === null || compareEpochs(last.epoch, created.epoch) >= 0) return
    const isExpired = last.expiresAt !== null && last.expiresAt <= created.createdAt
    this.#finish({ epoch: last.epoch, version: last.version + 1 }, isExpired ? 'expired' : 'deleted', null)
  }

  message(text: string): void {
    this.#audience.tellMessage(text)
  }

  /** See {@link Audience.withholdsPresence}. */
  withholdsPresence(): boolean {
    return this.#audience.withholdsPresence()
  }

  /** `origins`: their replies tell them. All subscriptions end. */
  end(news: SessionEnded, origins: ReadonlySet<object> | null): void {
    const { position } = news
    if (this.#latest !== null && comparePositions(position, this.#latest) < 0) return
    if (this.#ended !== null && comparePositions(position, this.#ended) <= 0) return
    this.#finish(position, news.reason, origins)
  }

  /** Everybody may have missed messages and emitted events. */
  interrupted(): void {
    this.#audience.tellGap()
  }

  /** The store says that the session is (at least) at this position: its news must come soon, or is read. */
  expect(position: Position): void {
    if (this.#audience.size === 0 || this.#known === null) return
    if (comparePositions(position, this.#known) <= 0) return
    if (this.#expected === null || comparePositions(position, this.#expected) > 0) this.#expected = position
    this.#armHold()
  }

  /** The store does not know the session: the feed tells why soon, or it counts as lost. */
  expectEnd(): void {
    if (this.#audience.size === 0 || this.#goneTimer !== null || this.#stopped) return
    const before = this.#latest
    this.#goneTimer = this.#options.clock.setTimeout(() => {
      this.#goneTimer = null
      // News came in the meantime: what the store said was older, or the id lives again.
      if (this.#latest === before) this.#read(true)
    }, this.#options.goneHoldMs)
  }

  // ── how it is done ─────────────────────────────────────────────────────────────────────────────────────────────

  /** The same object for all who get the same position, since each keeps it. */
  #shared(record: SessionRecord): SessionRecord {
    return this.#latest !== null && comparePositions(this.#latest, record) === 0 ? this.#latest : record
  }

  #saw(record: SessionRecord): void {
    if (this.#latest === null || comparePositions(record, this.#latest) > 0) this.#latest = record
  }

  /** Nobody has been told anything: the row of news starts here. */
  #restart(position: Position): void {
    this.#known = position
    this.#held = NOTHING_HELD
    this.#expected = null
    this.#disarmHold()
  }

  #hold(news: SessionUpdated): void {
    const held = withNews(this.#held, news)
    if (held === this.#held) return
    const isTooMuch = held.length > MAX_HELD
    this.#held = isTooMuch ? held.slice(1) : held
    if (isTooMuch) this.#read(false)
    else this.#armHold()
  }

  #apply(news: SessionUpdated): void {
    this.#known = news.record
    this.#screen(news.record)
    this.#audience.tellEmitted(news)
    this.#audience.tellUpdated(news.record, news.events)
  }

  /** Lets go whoever may not see what the session has become, before anything of it is told. */
  #screen(record: SessionRecord): void {
    this.#audience.screen(record)
    if (this.#audience.size === 0) this.#options.onEnded(this)
  }

  /** After `known` went on: news that was held may follow now. */
  #catchUp(): void {
    for (let next = this.#held[0]; next !== undefined && this.#known !== null; next = this.#held[0]) {
      const isNew = comparePositions(next.record, this.#known) > 0
      if (isNew && next.record.epoch === this.#known.epoch && next.baseVersion > this.#known.version) break
      this.#held = this.#held.slice(1)
      if (isNew) this.#apply(next)
    }
    const [expected, known] = [this.#expected, this.#known]
    if (expected !== null && known !== null && comparePositions(expected, known) <= 0) this.#expected = null
    if (this.#held.length === 0 && this.#expected === null) this.#disarmHold()
  }

  #armHold(): void {
    if (this.#holdTimer !== null || this.#reading || this.#retryTimer !== null || this.#stopped) return
    this.#holdTimer = this.#options.clock.setTimeout(() => {
      this.#holdTimer = null
      this.#read(false)
    }, this.#options.gapHoldMs)
  }

  #disarmHold(): void {
    this.#holdTimer?.cancel()
    this.#holdTimer = null
  }

  /** `gone`: this read decides whether the session still exists. */
  #read(gone: boolean): void {
    if (this.#reading || this.#stopped) return
    this.#disarmHold()
    this.#reading = true
    const before = { held: this.#held, expected: this.#expected }
    this.#options.read(this.id).then(
      (record) => {
        this.#reading = false
        this.#retryMs = 0
        if (!this.#stopped) this.#wasRead(record, before, gone)
      },
      (error: unknown) => {
        this.#reading = false
        this.#options.logger.debug(
          { id: this.id, reason: messageOf(error) },
          'a session could not be read again yet',
        )
        if (!this.#stopped) this.#readLater(gone)
      },
    )
  }

  #readLater(gone: boolean): void {
    if (this.#retryTimer !== null) return
    const { first, longest } = this.#options.retryMs
    this.#retryMs = Math.min(Math.max(first, this.#retryMs * 2), longest)
    this.#retryTimer = this.#options.clock.setTimeout(() => {
      this.#retryTimer = null
      if (this.#audience.size > 0) this.#read(gone)
    }, this.#retryMs)
  }

  #wasRead(
    record: SessionRecord | null,
    before: { readonly held: HeldNews; readonly expected: Position | null },
    gone: boolean,
  ): void {
    if (this.#audience.size === 0 || this.#known === null) return
    if (record === null) {
      if (gone) this.#lost()
      else this.expectEnd()
      return
    }
    this.#saw(record)
    if (comparePositions(record, this.#known) > 0) this.#skipTo(record)
    // What was held before the read began is either covered by it, or its predecessors are lost for good.
    for (const news of before.held) {
      if (comparePositions(news.record, this.#known) <= 0) continue
      this.#audience.tellGapBefore(news.record)
      this.#apply(news)
    }
    if (this.#expected === before.expected) this.#expected = null
    this.#catchUp()
    if (this.#held.length > 0 || this.#expected !== null) this.#armHold()
  }

  /** News between `known` and a record that was read did not come: tell what is there of it, then the view. */
  #skipTo(record: SessionRecord): void {
    this.#screen(record)
    this.#audience.tellGapBefore(record)
    let events = '[]'
    for (const news of this.#held) {
      const order = comparePositions(news.record, record)
      if (order > 0) break
      if (order === 0) events = news.events
      else this.#screen(news.record)
      this.#audience.tellEmitted(news)
    }
    this.#audience.heardUpTo(record)
    this.#known = record
    this.#audience.tellUpdated(record, events)
  }

  #lost(): void {
    const last = this.#latest
    if (last === null) return
    // Expired sessions are gone for reads before the sweep tells; if it never does, this is still the likely reason.
    const expired = last.expiresAt !== null && last.expiresAt <= Date.now()
    this.#finish(last, expired ? 'expired' : 'lost', null)
    // Nobody has told that this position is over: should it be found again, it may be subscribed to.
    this.#ended = null
  }

  #finish(position: Position, reason: EndReason, origins: ReadonlySet<object> | null): void {
    const told = this.#options.notifier.ended(
      this.id,
      { epoch: position.epoch, version: position.version },
      reason,
    )
    const known = this.#known
    this.#goneTimer?.cancel()
    this.#goneTimer = null
    this.#ended = told.position
    this.#latest = null
    this.#known = null
    this.#held = NOTHING_HELD
    this.#expected = null
    this.#disarmHold()
    const missed = known !== null && known.epoch === position.epoch && position.version > known.version + 1
    if (missed) this.#audience.tellGap()
    this.#audience.dismiss(told, origins)
    this.#options.onEnded(this)
  }
}
