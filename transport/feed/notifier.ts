/** Builds notifications, each with a frame that is encoded at most once (per group of equal views). */
import type { TroupeError } from '../../actors/errors.ts'
import type { Principal } from '../../actors/ports.ts'
import type { Epoch, Position, SessionId, SessionRecord, SubscriptionEnd } from '../../actors/session.ts'
import {
  gapText,
  sessionEmittedText,
  sessionEndedText,
  sessionMessageText,
  sessionUpdatedText,
} from '../protocol/notification-text.ts'
import {
  Frame,
  type EmittedNotification,
  type EndedNotification,
  type GapNotification,
  type MessageNotification,
  type UpdatedNotification,
} from './subscriber.ts'

export interface ViewOptions {
  /** JSON text of the record's view for this principal. */
  readonly encodeView: (record: SessionRecord, principal: Principal | null) => string
  /** Principals of the same group get the same view; a constant where the definition has no view of its own. */
  readonly viewGroup: (record: SessionRecord, principal: Principal | null) => string
}

/** Whether a principal may see a record; the error if not. */
export type Screen = (principal: Principal | null, action: 'subscribe' | 'waitFor') => TroupeError | null

export interface NotifierOptions extends ViewOptions {
  /** What subscribers are held to when a session has become this; absent, or `null`: nothing. */
  readonly screen?: (record: SessionRecord) => Screen | null
}

export class Notifier {
  readonly #options: NotifierOptions

  constructor(options: NotifierOptions) {
    this.#options = options
  }

  /** Who may see this record; `null`: everybody. */
  screen(record: SessionRecord): Screen | null {
    return this.#options.screen?.(record) ?? null
  }

  updated(record: SessionRecord, events: string): UpdatedViews {
    return new UpdatedViews(this.#options, record, events)
  }

  emitted(id: SessionId, epoch: Epoch, version: number, event: string): EmittedNotification {
    const frame = new Frame(() => sessionEmittedText(id, epoch, version, event))
    return { kind: 'emitted', id, epoch, version, event, frame }
  }

  message(id: SessionId, message: string): MessageNotification {
    return { kind: 'message', id, message, frame: new Frame(() => sessionMessageText(id, message)) }
  }

  ended(id: SessionId, position: Position, reason: SubscriptionEnd): EndedNotification {
    return {
      kind: 'ended',
      id,
      position,
      reason,
      frame: new Frame(() => sessionEndedText(id, position, reason)),
    }
  }

  /** Without a count: how many were missed is not known. */
  gap(id: SessionId, dropped = 0): GapNotification {
    return { kind: 'gap', id, dropped, frame: new Frame(() => gapText(id, dropped)) }
  }
}

/** The notifications of one record: one for each group of principals that see it alike. */
export class UpdatedViews {
  readonly #options: ViewOptions
  readonly #record: SessionRecord
  readonly #events: string
  #lastGroup: string | null = null
  #last: UpdatedNotification | null = null
  #byGroup: Map<string, UpdatedNotification> | null = null

  constructor(options: ViewOptions, record: SessionRecord, events: string) {
    this.#options = options
    this.#record = record
    this.#events = events
  }

  for(principal: Principal | null): UpdatedNotification {
    const group = this.#options.viewGroup(this.#record, principal)
    if (this.#last !== null && group === this.#lastGroup) return this.#last
    this.#byGroup ??= new Map()
    let notification = this.#byGroup.get(group)
    if (notification === undefined) {
      notification = this.#make(principal)
      this.#byGroup.set(group, notification)
    }
    this.#lastGroup = group
    return (this.#last = notification)
  }

  #make(principal: Principal | null): UpdatedNotification {
    const record = this.#record
    const events = this.#events
    const { encodeView } = this.#options
    const frame = new Frame(() => sessionUpdatedText(encodeView(record, principal), events))
    return { kind: 'updated', id: record.id, record, events, frame }
  }
}
