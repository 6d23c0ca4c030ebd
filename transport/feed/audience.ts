/**
 * The subscribers of one session on this process, and how far each was told.
 *
 * Replies carry views too, so each subscriber has gates of its own: no notification passes that is not newer than
 * what this subscriber has got already.
 */
import type { SessionUpdated } from '../../actors/feed-message.ts'
import type { Logger } from '../../actors/ports.ts'
import { messageOf } from '../../actors/errors.ts'
import { comparePositions, type Position, type SessionId, type SessionRecord } from '../../actors/session.ts'
import { SmallMap } from './small-map.ts'
import type { Notifier, Screen, UpdatedViews } from './notifier.ts'
import type { EndedNotification, Notification, Subscriber } from './subscriber.ts'

interface Member {
  readonly subscriber: Subscriber
  /** The newest view that it got, by notification or reply. */
  seen: Position
  /** Emitted events up to here were delivered, or a gap was told. */
  heard: Position
}

export interface AudienceOptions {
  readonly logger: Logger
  readonly notifier: Notifier
  /** A subscription is over, for whatever reason. */
  readonly onLeft: (id: SessionId, subscriber: Subscriber) => void
}

export class Audience {
  readonly #id: SessionId
  readonly #options: AudienceOptions
  readonly #members = new SmallMap<Subscriber, Member>()
  /** Why it is not known here who may see what the session has become: those who are asked for are told nothing of it. */
  #hidden: { readonly error: unknown } | null = null
  /** Something was not told for that. */
  #hasWithheld = false
  /** The same of who is subscribed. */
  #isPresenceStale = false
  /** What was told last, or is in the reply of who came last: patches begin there. */
  #told: SessionRecord | null = null
  /** The views of that, where any were made. */
  #toldViews: UpdatedViews | null = null

  constructor(id: SessionId, options: AudienceOptions) {
    this.#id = id
    this.#options = options
  }

  get size(): number {
    return this.#members.size
  }

  /** Takes in a subscriber whose reply carries this record. */
  admit(subscriber: Subscriber, record: SessionRecord): void {
    if (this.#members.size === 0) this.#show()
    if (this.#told === null || comparePositions(record, this.#told) > 0) {
      this.#told = record
      this.#toldViews?.passed()
      this.#toldViews = null
    }
    const member = this.#members.get(subscriber)
    if (member === undefined) this.#members.set(subscriber, { subscriber, seen: record, heard: record })
    else if (comparePositions(record, member.seen) > 0) member.seen = record
  }

  /** @throws TroupeError if this subscriber may not see the record, or it is not known here whether it may */
  check(subscriber: Subscriber, record: SessionRecord): void {
    if (subscriber.watches === undefined) return
    const error = this.#options.notifier.screen(record)?.(subscriber.principal, subscriber.watches) ?? null
    if (error !== null) throw error
  }

  /** The session has become this: whoever may not see that is told so, and let go. */
  screen(record: SessionRecord): void {
    let screen: Screen | null
    try {
      screen = this.#options.notifier.screen(record)
    } catch (error) {
      this.#hidden = { error }
      return
    }
    if (screen !== null) this.#dismissWhomItForbids(screen, record)
    this.#hidden = null
    if (!this.#hasWithheld && !this.#isPresenceStale) return
    const gap = this.#options.notifier.gap(this.#id, 0, this.#isPresenceStale)
    this.#show()
    for (const { subscriber } of this.#members.values())
      if (subscriber.watches !== undefined) this.#tell(subscriber, gap)
  }

  /** This subscriber has other claims now: is it still to see the session? What is not known here shows with the next update. */
  recheck(subscriber: Subscriber, record: SessionRecord): void {
    if (this.#members.get(subscriber) === undefined) return
    try {
      const screen = this.#options.notifier.screen(record)
      if (screen !== null) this.#dismissWhomItForbids(screen, record, [subscriber])
    } catch (error) {
      this.#hidden = { error }
    }
  }

  #dismissWhomItForbids(
    screen: Screen,
    record: SessionRecord,
    subscribers: readonly Subscriber[] = [...this.#members.keys()],
  ): void {
    let ended: EndedNotification | null = null
    for (const subscriber of subscribers) {
      const { watches, principal } = subscriber
      if (watches === undefined || screen(principal, watches) === null) continue
      this.#members.delete(subscriber)
      const { epoch, version } = record
      ended ??= this.#options.notifier.ended(this.#id, { epoch, version }, 'forbidden')
      this.#tell(subscriber, ended)
      this.#options.onLeft(this.#id, subscriber)
    }
  }

  leave(subscriber: Subscriber): void {
    if (this.#members.delete(subscriber)) this.#options.onLeft(this.#id, subscriber)
  }

  clear(): void {
    this.#show()
    this.#members.clear()
  }

  /** What this subscriber has seen last; `undefined`: it is none. */
  seenBy(subscriber: Subscriber): Position | undefined {
    return this.#members.get(subscriber)?.seen
  }

  /** The replies of these connections carry this position. */
  answered(origins: ReadonlySet<object>, position: Position): void {
    for (const origin of origins) {
      const member = this.#members.get(origin as Subscriber)
      if (member !== undefined && comparePositions(position, member.seen) > 0) member.seen = position
    }
  }

  tellEmitted(news: SessionUpdated): void {
    for (const { version, event } of news.emitted) {
      const notification = this.#options.notifier.emitted(this.#id, news.record.epoch, version, event)
      for (const member of this.#members.values()) {
        if (comparePositions(notification, member.heard) > 0)
          this.#tellIfShown(member.subscriber, notification)
      }
    }
    this.heardUpTo(news.record)
  }

  /** Nothing emitted up to this position will be told any more. */
  heardUpTo(position: Position): void {
    for (const member of this.#members.values()) {
      if (comparePositions(position, member.heard) > 0) member.heard = position
    }
  }

  tellUpdated(record: SessionRecord, events: string): void {
    const { notifier } = this.#options
    const before = this.#toldViews ?? (this.#told && notifier.updated(this.#told, '[]', null))
    const views = notifier.updated(record, events, before)
    before?.passed()
    this.#told = record
    this.#toldViews = views
    for (const member of this.#members.values()) {
      if (comparePositions(record, member.seen) <= 0) continue
      member.seen = record
      const { subscriber } = member
      if (this.#hidden !== null && subscriber.watches !== undefined) {
        subscriber.undeliverable(this.#hidden.error)
        continue
      }
      try {
        // The view is asked of the definition, which may fail, or be of a version that is not known here.
        subscriber.deliver(views.for(subscriber.principal))
      } catch (error) {
        this.#failed('updated', error)
        subscriber.undeliverable(error)
        // Behind, but not without knowing.
        this.#tell(subscriber, this.#options.notifier.gap(this.#id, 1))
      }
    }
  }

  /** Emitted events before `next` may be missing. A new epoch is a new life, of which nothing was missed. */
  tellGapBefore(next: Position): void {
    const gap = this.#options.notifier.gap(this.#id)
    for (const { subscriber, heard } of this.#members.values()) {
      if (heard.epoch === next.epoch && heard.version < next.version) this.#tell(subscriber, gap)
    }
  }

  tellGap(): void {
    this.#tellAll(this.#options.notifier.gap(this.#id))
  }

  tellMessage(text: string): void {
    const notification = this.#options.notifier.message(this.#id, text)
    for (const subscriber of this.#members.keys()) this.#tellIfShown(subscriber, notification)
  }

  /** Tells the end to all but `origins`, whose replies do, and lets all go. */
  dismiss(ended: EndedNotification, origins: ReadonlySet<object> | null): void {
    const members = [...this.#members.keys()]
    this.clear()
    for (const subscriber of members) {
      if (origins?.has(subscriber) !== true) this.#tell(subscriber, ended)
      this.#options.onLeft(this.#id, subscriber)
    }
  }

  #tellAll(notification: Notification): void {
    for (const subscriber of this.#members.keys()) this.#tell(subscriber, notification)
  }

  /** Members have come or gone. @returns whether that must not be told: a gap tells of it later */
  withholdsPresence(): boolean {
    if (this.#hidden === null) return false
    this.#isPresenceStale = true
    return true
  }

  #show(): void {
    this.#hidden = null
    this.#hasWithheld = this.#isPresenceStale = false
  }

  #tellIfShown(subscriber: Subscriber, notification: Notification): void {
    if (this.#hidden !== null && subscriber.watches !== undefined) this.#hasWithheld = true
    else this.#tell(subscriber, notification)
  }

  /** One subscriber's fault must not keep the news from the others. */
  #tell(subscriber: Subscriber, notification: Notification): void {
    try {
      subscriber.deliver(notification)
    } catch (error) {
      this.#failed(notification.kind, error)
    }
  }

  #failed(kind: Notification['kind'], error: unknown): void {
    this.#options.logger.error(
      { id: this.#id, kind, reason: messageOf(error) },
      'a subscriber failed at a notification',
    )
  }
}
