/** What callbacks of the TypeScript API hear about sessions. */
import { messageOf } from '../actors/errors.ts'
import type { Logger, Principal } from '../actors/ports.ts'
import type { Position, SessionRecord, SubscriptionEnd } from '../actors/session.ts'
import type { Notification, Subscriber } from '../transport/feed/subscriber.ts'

export type SessionNotice<S> =
  /** `events`: types of the events that led here; empty for the first notice of a subscription. */
  | { readonly kind: 'updated'; readonly session: S; readonly events: readonly string[] }
  | { readonly kind: 'emitted'; readonly position: Position; readonly event: unknown }
  | { readonly kind: 'message'; readonly message: unknown }
  /** Messages or emitted events may have been missed; the session itself is told anew. */
  | { readonly kind: 'gap' }
  | {
      readonly kind: 'ended'
      readonly id: string
      readonly position: Position
      readonly reason: SubscriptionEnd
    }

export class CallbackSubscriber<S> implements Subscriber {
  readonly principal: Principal | null = null
  readonly #sessionOf: (record: SessionRecord) => S
  readonly #callback: (notice: SessionNotice<S>) => void
  readonly #log: Logger

  constructor(
    sessionOf: (record: SessionRecord) => S,
    callback: (notice: SessionNotice<S>) => void,
    log: Logger,
  ) {
    this.#sessionOf = sessionOf
    this.#callback = callback
    this.#log = log
  }

  /** The first notice: the session as it is. */
  begin(record: SessionRecord): void {
    this.#call({ kind: 'updated', session: this.#sessionOf(record), events: [] })
  }

  deliver(notification: Notification): void {
    switch (notification.kind) {
      case 'updated': {
        const events = JSON.parse(notification.events) as string[]
        this.#call({ kind: 'updated', session: this.#sessionOf(notification.record), events })
        return
      }
      case 'emitted': {
        const { epoch, version } = notification
        this.#call({ kind: 'emitted', position: { epoch, version }, event: JSON.parse(notification.event) })
        return
      }
      case 'message':
        this.#call({ kind: 'message', message: JSON.parse(notification.message) })
        return
      case 'gap':
        this.#call({ kind: 'gap' })
        return
      case 'ended':
        this.#call({
          kind: 'ended',
          id: notification.id,
          position: notification.position,
          reason: notification.reason,
        })
        return
      case 'presence':
      // Told to clients that ask for it only.
    }
  }

  /** It was logged; the callback hears of the next update that can be shown. */
  undeliverable(): void {
    return
  }

  #call(notice: SessionNotice<S>): void {
    try {
      this.#callback(notice)
    } catch (error) {
      this.#log.error({ reason: messageOf(error) }, 'a subscribe callback failed')
    }
  }
}
