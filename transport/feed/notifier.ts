/** Builds notifications, each with a frame that is encoded at most once (per group of equal views). */
import type { TroupeError } from '../../actors/errors.ts'
import type { Principal } from '../../actors/ports.ts'
import type { Epoch, Position, SessionId, SessionRecord, SubscriptionEnd } from '../../actors/session.ts'
import {
  gapText,
  presenceChangedText,
  sessionEmittedText,
  sessionEndedText,
  sessionMessageText,
  sessionPatchedText,
  sessionUpdatedText,
} from '../protocol/notification-text.ts'
import {
  Frame,
  type EmittedNotification,
  type EndedNotification,
  type GapNotification,
  type MessageNotification,
  type PresenceNotification,
  type UpdatedNotification,
} from './subscriber.ts'
import { patchText } from './view-patch.ts'

export interface ViewOptions {
  /** JSON text of the record's view for this principal. */
  readonly encodeView: (record: SessionRecord, principal: Principal | null) => string
  /** Principals of the same group get the same view; a constant where the definition has no view of its own. */
  readonly viewGroup: (record: SessionRecord, principal: Principal | null) => string
}

/** Whether a principal may see a record; the error if not. */
export type Screen = (principal: Principal | null, action: 'subscribe' | 'waitFor') => TroupeError | null

export interface NotifierOptions extends ViewOptions {
  /** What subscribers are held to when a session has become this; absent, or `null`: nothing. @throws if that is not known here */
  readonly screen?: (record: SessionRecord) => Screen | null
}

export class Notifier {
  readonly #options: NotifierOptions

  constructor(options: NotifierOptions) {
    this.#options = options
  }

  /** Who may see this record; `null`: everybody. @throws TroupeError if that is not known here */
  screen(record: SessionRecord): Screen | null {
    return this.#options.screen?.(record) ?? null
  }

  /** @param before what its subscribers were told last */
  updated(record: SessionRecord, events: string, before: UpdatedViews | null): UpdatedViews {
    return new UpdatedViews(this.#options, record, events, before)
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

  /** JSON texts of members that have come, and that have gone. */
  presence(id: SessionId, joined: readonly string[], left: readonly string[]): PresenceNotification {
    return { kind: 'presence', id, frame: new Frame(() => presenceChangedText(id, joined, left)) }
  }

  /** Without a count: how many were missed is not known. */
  gap(id: SessionId, dropped = 0, isPresenceStale = false): GapNotification {
    const frame = new Frame(() => gapText(id, dropped, isPresenceStale))
    return { kind: 'gap', id, dropped, isPresenceStale, frame }
  }
}

/** The notifications of one record: one for each group of principals that see it alike. */
export class UpdatedViews {
  readonly record: SessionRecord
  readonly #options: ViewOptions
  readonly #events: string
  /** What was told before; only until the next is told, so that they do not form a chain. */
  #before: UpdatedViews | null
  #lastPrincipal: Principal | null = null
  #lastGroup: string | null = null
  #last: GroupView | null = null
  #byGroup: Map<string, GroupView> | null = null

  constructor(options: ViewOptions, record: SessionRecord, events: string, before: UpdatedViews | null) {
    this.#options = options
    this.record = record
    this.#events = events
    this.#before = before
  }

  for(principal: Principal | null): UpdatedNotification {
    return this.#groupOf(principal).notification
  }

  /** Another one is told after this one. */
  passed(): void {
    this.#before = null
  }

  #groupOf(principal: Principal | null): GroupView {
    // Mostly one after another is nobody in particular, and the definition need not be found for each.
    if (this.#last !== null && principal === this.#lastPrincipal) return this.#last
    const group = this.#options.viewGroup(this.record, principal)
    if (this.#last !== null && group === this.#lastGroup) return this.#last
    this.#byGroup ??= new Map()
    let view = this.#byGroup.get(group)
    if (view === undefined) {
      view = new GroupView({
        record: this.record,
        events: this.#events,
        encode: () => this.#options.encodeView(this.record, principal),
        base: this.#before?.record ?? null,
        before: (subscriber) => (this.#before === null ? null : this.#before.#groupOf(subscriber)),
      })
      this.#byGroup.set(group, view)
    }
    this.#lastPrincipal = principal
    this.#lastGroup = group
    return (this.#last = view)
  }
}

interface GroupViewParts {
  readonly record: SessionRecord
  readonly events: string
  readonly encode: () => string
  /** What was told before. */
  readonly base: SessionRecord | null
  /** How a principal saw that; it may be gone by the time that it is asked for. */
  readonly before: (principal: Principal | null) => GroupView | null
}

/** A view that some principals see alike: encoded and parsed at most once, and compared once with each that they saw before. */
class GroupView {
  readonly notification: UpdatedNotification
  readonly #parts: GroupViewParts
  #text: string | null = null
  #parsed: unknown = undefined
  /** By the view before: those who see alike now need not have done so then. */
  readonly #patches = new Map<GroupView, Frame | null>()

  constructor(parts: GroupViewParts) {
    this.#parts = parts
    const { record, events, base } = parts
    this.notification = {
      kind: 'updated',
      id: record.id,
      record,
      events,
      frame: new Frame(() => this.#wholeText()),
      patch:
        base !== null && isShownAlike(base, record)
          ? { base, frame: (principal) => this.#patch(base, principal) }
          : null,
    }
  }

  #patch(base: Position, principal: Principal | null): Frame | null {
    const before = this.#viewBefore(principal)
    if (before === null) return null
    let frame = this.#patches.get(before)
    if (frame === undefined) {
      frame = this.#makePatch(base, before)
      this.#patches.set(before, frame)
    }
    return frame
  }

  #viewBefore(principal: Principal | null): GroupView | null {
    try {
      return this.#parts.before(principal)
    } catch {
      return null
    }
  }

  #makePatch(base: Position, before: GroupView): Frame | null {
    const { record, events } = this.#parts
    const whole = this.#wholeText()
    const patch = this.#patchText(before)
    if (patch === null) return null
    const text = sessionPatchedText(record, base, patch, events)
    return text.length < whole.length ? new Frame(() => text) : null
  }

  #patchText(before: GroupView): string | null {
    try {
      return patchText(before.#json(), this.#json())
    } catch {
      // The definition's view of what was before fails: that of what is now need not.
      return null
    }
  }

  #wholeText(): string {
    return sessionUpdatedText(this.#view(), this.#parts.events)
  }

  #view(): string {
    return (this.#text ??= this.#parts.encode())
  }

  #json(): unknown {
    return (this.#parsed ??= JSON.parse(this.#view()))
  }
}

/** What was shown by one version of a definition cannot be made again once another shows it: a session is migrated between the two. */
function isShownAlike(before: SessionRecord, now: SessionRecord): boolean {
  return before.epoch === now.epoch && before.machineVersion === now.machineVersion
}
